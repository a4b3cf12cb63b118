"""95 % intervals of scores by the bootstrap over test items.

A score is computed again and again on items drawn from the test with replacement; the interval
leaves out 2.5 % of the values on each side (Efron's percentile method). For a paired difference
both scores are computed on the same draw: items that are hard for both do not widen it.

Items that overlap with their neighbours, such as forecasts from consecutive samples, have
correlated errors: drawn one by one they would give too narrow an interval. They are drawn in blocks
of neighbours (Künsch, 1989), the last followed by the first (Politis & Romano, 1992). With few
blocks the interval is still too narrow.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.shared.params import Params, Seed

Items = NDArray[np.int64]  # indices of test items
Interval = dict[str, float]  # low, high
Measure = Callable[[Items], dict[str, float]]  # chosen items -> their scores


class BootstrapParams(Params):
    """How intervals are computed."""

    resamples: Annotated[int, Field(gt=0, le=10**5)]
    seed: Seed


def draw_resamples(
    strata: NDArray[np.int64], params: BootstrapParams, block: int = 1
) -> Iterator[Items]:
    """Draw N of N items with replacement, again and again; each stratum keeps its size.

    Args:
        strata: `(N,)`, stratum of each item.
        params: how often, and the seed.
        block: neighbours that are drawn together; above 1 all items are of one stratum.
    """
    generator = np.random.default_rng([params.seed, 0xB007])  # not the numbers of a training
    num_items = len(strata)
    if block > 1:
        num_blocks = -(-num_items // block)
        for _ in range(params.resamples):
            firsts = generator.integers(num_items, size=(num_blocks, 1))
            yield ((firsts + np.arange(block)) % num_items).ravel()[:num_items]
        return
    order = np.argsort(strata, kind="stable")
    _, firsts, counts = np.unique(strata[order], return_index=True, return_counts=True)
    first_of, size_of = np.repeat(firsts, counts), np.repeat(counts, counts)
    for _ in range(params.resamples):
        yield order[first_of + generator.integers(size_of)]


def bootstrap(
    measure: Measure, strata: NDArray[np.int64], params: BootstrapParams, block: int = 1
) -> dict[str, Interval]:
    """The interval of every score that `measure` gives for the chosen items."""
    drawn: dict[str, list[float]] = {}
    for chosen in draw_resamples(strata, params, block):
        for name, value in measure(chosen).items():
            drawn.setdefault(name, []).append(value)
    intervals = {}
    for name, values in drawn.items():
        # each bound is one of the values
        low, high = np.percentile(values, (2.5, 97.5), method="inverted_cdf")
        intervals[name] = {"low": float(low), "high": float(high)}
    return intervals


def bootstrap_difference(
    first: Measure,
    second: Measure,
    strata: NDArray[np.int64],
    params: BootstrapParams,
    block: int = 1,
) -> dict[str, Interval]:
    """The interval of first - second for every score, both for the same items."""

    def subtract(chosen: Items) -> dict[str, float]:
        subtrahends = second(chosen)
        return {name: value - subtrahends[name] for name, value in first(chosen).items()}

    return bootstrap(subtract, strata, params, block)


def describe_difference(interval: Mapping[str, float]) -> str:
    """`ahead` or `behind` only if the interval of a difference excludes zero."""
    if interval["low"] > 0:
        return "ahead"
    return "behind" if interval["high"] < 0 else "within the noise"
