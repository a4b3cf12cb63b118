"""95 % intervals of scores by the bootstrap: what another draw of as many test items would give.

Scores are taken again and again of items drawn from the test with replacement, and an interval
leaves out 2.5 % of them on each side (Efron's percentile method). Of a paired difference both
scores are taken of the same draw: what is hard for both does not widen its interval.

Items that overlap with their neighbours, such as forecasts from one sample after another, err
alike: drawn one by one they would count as more than they are, and the interval be too narrow.
They are drawn in blocks of neighbours (Künsch, 1989), the last followed by the first (Politis &
Romano, 1992). Few blocks still make it too narrow.
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

STREAM = 0xB007  # joins every seed, so that no interval draws the numbers of a training
PERCENTILES = (2.5, 97.5)


class BootstrapParams(Params):
    """How intervals are found."""

    resamples: Annotated[int, Field(gt=0, le=10**5)]
    seed: Seed


def draw_resamples(
    strata: NDArray[np.int64], params: BootstrapParams, block: int = 1
) -> Iterator[Items]:
    """As many items as there are, again and again; each stratum keeps its number of items.

    Args:
        strata: `(N,)`, stratum of each item.
        params: how often, and the seed.
        block: neighbours that are drawn together; above 1 all items are of one stratum.
    """
    generator = np.random.default_rng([params.seed, STREAM])
    if block > 1:
        yield from _draw_blocks(len(strata), params.resamples, block, generator)
        return
    order = np.argsort(strata, kind="stable")
    _, firsts, counts = np.unique(strata[order], return_index=True, return_counts=True)
    first_of, size_of = np.repeat(firsts, counts), np.repeat(counts, counts)
    for _ in range(params.resamples):
        yield order[first_of + generator.integers(size_of)]


def _draw_blocks(
    num_items: int, resamples: int, block: int, generator: np.random.Generator
) -> Iterator[Items]:
    num_blocks = -(-num_items // block)
    for _ in range(resamples):
        firsts = generator.integers(num_items, size=(num_blocks, 1))
        yield ((firsts + np.arange(block)) % num_items).ravel()[:num_items]


def bootstrap(
    measure: Measure, strata: NDArray[np.int64], params: BootstrapParams, block: int = 1
) -> dict[str, Interval]:
    """The interval of every score that `measure` takes of the chosen items."""
    drawn: dict[str, list[float]] = {}
    for chosen in draw_resamples(strata, params, block):
        for name, value in measure(chosen).items():
            drawn.setdefault(name, []).append(value)
    return {name: find_interval(values) for name, values in drawn.items()}


def bootstrap_difference(
    first: Measure,
    second: Measure,
    strata: NDArray[np.int64],
    params: BootstrapParams,
    block: int = 1,
) -> dict[str, Interval]:
    """The interval of first - second for every score, both taken of the same items."""

    def subtract(chosen: Items) -> dict[str, float]:
        subtrahends = second(chosen)
        return {name: value - subtrahends[name] for name, value in first(chosen).items()}

    return bootstrap(subtract, strata, params, block)


def find_interval(values: list[float]) -> Interval:
    """Bounds that leave out 2.5 % of the values on each side; each bound is one of them."""
    low, high = np.percentile(values, PERCENTILES, method="inverted_cdf")
    return {"low": float(low), "high": float(high)}


def describe_difference(interval: Mapping[str, float]) -> str:
    """`ahead` or `behind` only if the interval of a difference excludes zero."""
    if interval["low"] > 0:
        return "ahead"
    return "behind" if interval["high"] < 0 else "within the noise"
