"""How far ahead of the best baseline something is, over repeated trainings and divided data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.shared.intervals import BootstrapParams, Interval, Items, Measure, bootstrap_difference
from stages.shared.verdicts import judge


@dataclass(frozen=True)
class Lead:
    """The difference from a baseline; above 0 is better than it."""

    over: str
    difference: float
    interval: Interval


def find_leads(
    first: Measure, second: Measure, strata: NDArray[np.int64], params: BootstrapParams, over: str
) -> dict[str, Lead]:
    """The lead in every score: first - second of all items, and its interval.

    Args:
        first: scores of chosen items.
        second: likewise.
        strata: `(N,)`, stratum of each item.
        params: of the intervals.
        over: which baseline is compared.
    """
    everything: Items = np.arange(len(strata))
    minuends, subtrahends = first(everything), second(everything)
    leads = {}
    for score, interval in bootstrap_difference(first, second, strata, params).items():
        leads[score] = Lead(over, minuends[score] - subtrahends[score], interval)
    return leads


def say_lead(lead: Lead) -> str:
    """Difference [interval], the baseline, and what may be said of it."""
    low, high = lead.interval["low"], lead.interval["high"]
    return f"{lead.difference:+.2g} [{low:+.2g}, {high:+.2g}] {lead.over}: {judge(lead.interval)}"
