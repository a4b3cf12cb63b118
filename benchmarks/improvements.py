"""Improvements over the best baseline, over repeated trainings and divided data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.shared.intervals import (
    BootstrapParams,
    Interval,
    Items,
    Measure,
    bootstrap_difference,
    describe_difference,
)


@dataclass(frozen=True)
class Improvement:
    """The difference from a baseline; above 0 is better than it."""

    baseline: str  # that is compared with
    difference: float
    interval: Interval


def find_improvements(
    first: Measure,
    second: Measure,
    strata: NDArray[np.int64],
    params: BootstrapParams,
    baseline: str,
) -> dict[str, Improvement]:
    """The improvement in every score: first - second of all items, and its interval.

    Args:
        first: scores of chosen items.
        second: likewise.
        strata: `(N,)`, stratum of each item.
        params: of the intervals.
        baseline: which is compared.
    """
    everything: Items = np.arange(len(strata))
    minuends, subtrahends = first(everything), second(everything)
    improvements = {}
    for score, interval in bootstrap_difference(first, second, strata, params).items():
        improvements[score] = Improvement(baseline, minuends[score] - subtrahends[score], interval)
    return improvements


def say_improvement(improvement: Improvement) -> str:
    """Difference [interval], the baseline, and what may be said of it."""
    low, high = improvement.interval["low"], improvement.interval["high"]
    difference = f"{improvement.difference:+.2g} [{low:+.2g}, {high:+.2g}]"
    return f"{difference} {improvement.baseline}: {describe_difference(improvement.interval)}"
