"""Section `intervals`: what 95 % intervals of rolling-origin backtests hold, on simulated series.

The true model forecasts each series, so that the error that its interval should hold is known.
"Ahead" or "behind" of two forecasters that are equally good is a false verdict.
"""

import math

import numpy as np

from benchmarks.data import Bench
from benchmarks.table import Row, at_least, at_most
from stages.forecasting.series import Array
from stages.shared.intervals import describe_difference, find_batch_interval

HORIZON = 11  # steps
LENGTHS = (4, 7, 15, 40)  # of the test, in horizons
PROCESSES = {  # y_t = a_1 y_{t-1} + a_2 y_{t-2} + noise
    "AR(1), 0.9": (0.9, 0.0),
    "AR(2), a cycle of 11": (2 * 0.95 * math.cos(2 * math.pi / 11), -(0.95**2)),
}


def measure(bench: Bench) -> list[Row]:
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
            held, verdicts = [], []
            for own, difference in zip(errors, differences, strict=True):
                interval = find_batch_interval(own[:end], HORIZON)
                held.append(interval["low"] <= true_error <= interval["high"])
                verdict = describe_difference(find_batch_interval(difference[:end], HORIZON))
                verdicts.append(verdict != "within the noise")
            share, false = float(np.mean(held)), float(np.mean(verdicts))
            row = Row(
                f"{name}, a test of {length} horizons",
                f"{share:.0%} of intervals hold the true error",
                quality=f"{false:.1%} false verdicts",
                goals=[at_least("held", share, 0.85), at_most("false verdicts", false, 0.08)],
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
