"""Section `intervals`: how many 95 % intervals cover the true value, where it is known.

Of rolling-origin backtests: on simulated series, which the true model forecasts. "Ahead" or
"behind" of two forecasters that are equally good is a false verdict.

Of surnames: the names that a classifier was tested on in several splits are taken as all names
that there are, and tests of the usual size are drawn from them.
"""

import math
from functools import partial

import numpy as np

from benchmarks.data import Bench, read_names
from benchmarks.surname_spread import Source, try_entries
from benchmarks.table import Row, at_least, at_most
from stages.forecasting.series import Array
from stages.shared.intervals import (
    BootstrapParams,
    bootstrap,
    describe_difference,
    find_batch_interval,
)
from stages.surnames.assessment import Classes, Predictions, score_items

HORIZON = 11  # steps
LENGTHS = (4, 7, 15, 40)  # of the test, in horizons
CLASSIFIER = "surname_markov"  # as good as any network, and trained in a second
SCORES = ("accuracy", "macro_f1", "macro_f1_adjusted")
PROCESSES = {  # y_t = a_1 y_{t-1} + a_2 y_{t-2} + noise
    "AR(1), 0.9": (0.9, 0.0),
    "AR(2), a cycle of 11": (2 * 0.95 * math.cos(2 * math.pi / 11), -(0.95**2)),
}


def measure(bench: Bench) -> list[Row]:
    """One row per process and length of the test, and per score of the surnames."""
    return measure_backtests(bench) + measure_surnames(bench)


def measure_backtests(bench: Bench) -> list[Row]:
    """One row per process and length of the test."""
    num_series = 100 if bench.quick else 1000
    rows = []
    for name, weights in PROCESSES.items():
        series = simulate(weights, num_series, max(LENGTHS) * HORIZON + HORIZON)
        errors = measure_errors(series, weights)
        true_error = errors.mean()
        # two forecasters that err equally, in opposite directions of the first weight
        first, second = (
            measure_errors(series, (weights[0] * factor, weights[1])) for factor in (0.97, 1.03)
        )
        differences = first - second - (first - second).mean()
        for length in LENGTHS:
            end = length * HORIZON
            covered, verdicts = [], []
            for own, difference in zip(errors, differences, strict=True):
                interval = find_batch_interval(own[:end], HORIZON)
                covered.append(interval["low"] <= true_error <= interval["high"])
                verdict = describe_difference(find_batch_interval(difference[:end], HORIZON))
                verdicts.append(verdict != "within the noise")
            share, false = float(np.mean(covered)), float(np.mean(verdicts))
            row = Row(
                f"{name}, a test of {length} horizons",
                f"{share:.0%} of intervals cover the true error",
                quality=f"{false:.1%} false verdicts",
                goals=[at_least("coverage", share, 0.85), at_most("false verdicts", false, 0.08)],
            )
            rows.append(row)
    return rows


def simulate(weights: tuple[float, float], num_series: int, length: int) -> Array:
    """Series `(N, T)` of an autoregression, after 200 samples that are dropped."""
    noise = np.random.default_rng(0).standard_normal((num_series, length + 200))
    series = np.zeros_like(noise)
    for t in range(2, noise.shape[1]):
        series[:, t] = weights[0] * series[:, t - 1] + weights[1] * series[:, t - 2] + noise[:, t]
    return series[:, 200:]


def measure_errors(series: Array, weights: tuple[float, float]) -> Array:
    """Mean squared error of the forecast from each origin: `(N, T)` -> `(N, T - H - 1)`."""
    num_origins = series.shape[1] - HORIZON - 1
    before, last = series[:, :num_origins], series[:, 1 : num_origins + 1]
    total = np.zeros_like(last)
    for step in range(HORIZON):
        before, last = last, weights[0] * last + weights[1] * before
        total += (series[:, step + 2 : step + 2 + num_origins] - last) ** 2
    return total / HORIZON


def measure_surnames(bench: Bench) -> list[Row]:
    """One row per score: the share of intervals that cover its value on all names."""
    num_splits, num_tests, num_resamples = (2, 20, 200) if bench.quick else (10, 300, 1000)
    source = Source(*read_names(bench.archive))
    languages, plain, adjusted = [], [], []
    for split in range(num_splits):
        [result] = try_entries([CLASSIFIER], source, split, 0)
        languages.append(source.divide(split).splits.test.languages)
        plain.append(result.predictions.plain)
        adjusted.append(result.predictions.adjusted)
    predictions = Predictions(np.concatenate(plain), np.concatenate(adjusted))
    params = BootstrapParams(resamples=num_resamples, seed=0)
    sizes = np.bincount(languages[0])
    covered = measure_coverage(predictions, np.concatenate(languages), sizes, num_tests, params)
    rows = []
    for score in SCORES:
        row = Row(
            f"{score} of surnames, a test of {sizes.sum():,} names",
            f"{covered[score]:.0%} of intervals cover the score on all names",
            goals=[at_least("coverage", covered[score], 0.93)],
        )
        rows.append(row)
    return rows


def measure_coverage(
    predictions: Predictions,
    languages: Classes,
    sizes: Classes,
    num_tests: int,
    params: BootstrapParams,
) -> dict[str, float]:
    """The share of intervals that cover the score on all names, by score.

    Args:
        predictions: of all names.
        languages: of all names.
        sizes: names of each language in a test.
        num_tests: drawn with replacement.
        params: of the intervals.
    """
    generator = np.random.default_rng(0)
    num_languages = len(sizes)
    rows_of = [np.flatnonzero(languages == language) for language in range(num_languages)]
    unknown = np.zeros(len(languages), dtype=np.bool_)  # whether it is in the top three
    true_scores = score_items(predictions, unknown, languages, num_languages)
    covered: dict[str, list[bool]] = {}
    for _ in range(num_tests):
        drawn = [
            generator.choice(rows, size) for rows, size in zip(rows_of, sizes, strict=True) if size
        ]
        test = np.concatenate(drawn)
        answers = Predictions(predictions.plain[test], predictions.adjusted[test])
        score = partial(score_items, answers, unknown[test], languages[test], num_languages)
        intervals = bootstrap(score, languages[test], params)
        for name, interval in intervals.items():
            holds = interval["low"] <= true_scores[name] <= interval["high"]
            covered.setdefault(name, []).append(holds)
    return {name: float(np.mean(holds)) for name, holds in covered.items()}
