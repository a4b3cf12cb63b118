"""95 % intervals of scores.

Items of a test that are independent: the bootstrap. A score is computed again and again on items
drawn with replacement; the interval leaves out 2.5 % of the values on each side (Efron's percentile
method). Of a mean over classes with few items each, such as macro F1, it holds the true score less
often than that: `python -m benchmarks intervals` measures it. For a paired difference both scores
are computed on the same draw: items that are hard for both do not widen it.

Forecasts from consecutive samples overlap, and their errors are correlated: Student's t over means
of batches of them.
"""

import math
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


def draw_resamples(strata: NDArray[np.int64], params: BootstrapParams) -> Iterator[Items]:
    """Draw N of N items with replacement, again and again; each stratum `(N,)` keeps its size."""
    generator = np.random.default_rng([params.seed, 0xB007])  # not the numbers of a training
    order = np.argsort(strata, kind="stable")
    _, firsts, counts = np.unique(strata[order], return_index=True, return_counts=True)
    first_of, size_of = np.repeat(firsts, counts), np.repeat(counts, counts)
    for _ in range(params.resamples):
        yield order[first_of + generator.integers(size_of)]


def bootstrap(
    measure: Measure, strata: NDArray[np.int64], params: BootstrapParams
) -> dict[str, Interval]:
    """The interval of every score that `measure` gives for the chosen items."""
    drawn: dict[str, list[float]] = {}
    for chosen in draw_resamples(strata, params):
        for name, value in measure(chosen).items():
            drawn.setdefault(name, []).append(value)
    intervals = {}
    for name, values in drawn.items():
        # each bound is one of the values
        low, high = np.percentile(values, (2.5, 97.5), method="inverted_cdf")
        intervals[name] = {"low": float(low), "high": float(high)}
    return intervals


def bootstrap_difference(
    first: Measure, second: Measure, strata: NDArray[np.int64], params: BootstrapParams
) -> dict[str, Interval]:
    """The interval of first - second for every score, both for the same items."""

    def subtract(chosen: Items) -> dict[str, float]:
        subtrahends = second(chosen)
        return {name: value - subtrahends[name] for name, value in first(chosen).items()}

    return bootstrap(subtract, strata, params)


def find_batch_interval(values: NDArray[np.float64], block: int) -> Interval:
    """Interval of the mean of correlated values `(N,)`, in their order.

    Values are averaged in batches of twice the `block` of neighbours that depend on each other, at
    least two batches; their means are taken as independent (batch means, Schmeiser, 1982). What it
    holds on simulated series is measured by `python -m benchmarks intervals`.
    """
    from scipy.special import stdtrit  # quantiles of Student's t; imported only for backtests

    length = min(2 * block, len(values) // 2)
    num_batches = len(values) // length
    means = values[: num_batches * length].reshape(num_batches, length).mean(axis=1)
    half = stdtrit(num_batches - 1, 0.975) * means.std(ddof=1) / math.sqrt(num_batches)
    return {"low": float(values.mean() - half), "high": float(values.mean() + half)}


def describe_difference(interval: Mapping[str, float]) -> str:
    """`ahead` or `behind` only if the interval of a difference excludes zero."""
    if interval["low"] > 0:
        return "ahead"
    return "behind" if interval["high"] < 0 else "within the noise"
