"""95 % intervals of scores.

Independent test items: the bootstrap. A score is computed on many samples of items, drawn with
replacement; the interval leaves out 2.5 % of the values on each side (Efron's percentile method).
For a mean over classes with few items each, such as macro F1, coverage is lower; `python -m
benchmarks intervals` measures it. For a paired difference both scores are computed on the same
draws, so items that are hard for both do not widen the interval.

Forecasts from consecutive samples overlap, so their errors are correlated: Student's t over batch
means.
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
    """Params of the bootstrap."""

    resamples: Annotated[int, Field(gt=0, le=10**5)]
    seed: Seed


def draw_resamples(strata: NDArray[np.int64], params: BootstrapParams) -> Iterator[Items]:
    """Yield samples of N items from N with replacement; each stratum `(N,)` keeps its size."""
    generator = np.random.default_rng([params.seed, 0xB007])  # not the numbers of a training
    order = np.argsort(strata, kind="stable")
    _, firsts, counts = np.unique(strata[order], return_index=True, return_counts=True)
    first_of, size_of = np.repeat(firsts, counts), np.repeat(counts, counts)
    for _ in range(params.resamples):
        yield order[first_of + generator.integers(size_of)]


def bootstrap(
    measure: Measure, strata: NDArray[np.int64], params: BootstrapParams
) -> dict[str, Interval]:
    """Return the interval of every score of `measure`."""
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
    """Return the interval of first - second for every score, both on the same items."""

    def subtract(chosen: Items) -> dict[str, float]:
        subtrahends = second(chosen)
        return {name: value - subtrahends[name] for name, value in first(chosen).items()}

    return bootstrap(subtract, strata, params)


def find_batch_interval(values: NDArray[np.float64], block: int) -> Interval:
    """Return the interval of the mean of correlated values `(N,)`, in order.

    Batch means (Schmeiser, 1982): batches of twice the `block` of dependent neighbours, at least
    two, have means that are taken as independent. `python -m benchmarks intervals` measures the
    coverage on simulated series.
    """
    from scipy.special import stdtrit  # quantiles of Student's t; imported only for backtests

    length = min(2 * block, len(values) // 2)
    num_batches = len(values) // length
    means = values[: num_batches * length].reshape(num_batches, length).mean(axis=1)
    half = stdtrit(num_batches - 1, 0.975) * means.std(ddof=1) / math.sqrt(num_batches)
    return {"low": float(values.mean() - half), "high": float(values.mean() + half)}


def describe_difference(interval: Mapping[str, float]) -> str:
    """Return `ahead` or `behind` if the interval of a difference excludes zero."""
    if interval["low"] > 0:
        return "ahead"
    return "behind" if interval["high"] < 0 else "within the noise"
