"""The test that all forecasters share: true samples first, then only their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.shared.intervals import Items
from stages.sine.signals import SeriesParams, sample_signal

Array = NDArray[np.float64]
Forecaster = Callable[[Any, int], Array]  # history (B, K) and horizon n -> (B, n)
PhaseErrors = dict[str, Array]  # score -> (B,), the mean squared error of each phase

STREAM = 0xE7A1  # joins every seed, so that no test draws the numbers of a training


@dataclass(frozen=True)
class FreeRuns:
    """Where forecasters start, and what follows."""

    contexts: Array  # (B, K), with the noise of the series
    truths: Array  # (B, n) noise-free samples after them


def draw_free_runs(
    series: SeriesParams, phases: int, context: int, after: float, horizon: int, seed: int
) -> FreeRuns:
    """Signals from random phases of a series.

    Args:
        series: what the signal is.
        phases: B, number of signals.
        context: K, samples that a forecaster sees.
        after: time before which none starts: that of the last sample of training.
        horizon: n, samples that follow.
        seed: of phases and noise.
    """
    generator = np.random.default_rng([seed, STREAM])
    starts = after + generator.uniform(0, series.spread, phases)
    times = starts[:, None] + series.time_step * np.arange(context + horizon)
    signal = sample_signal(series, times)
    contexts = signal[:, :context]
    noise = series.noise * generator.standard_normal(contexts.shape)
    return FreeRuns(contexts + noise, signal[:, context:])


def measure_phases(forecasts: Array, runs: FreeRuns, horizons: list[int]) -> PhaseErrors:
    """Mean squared errors of each phase, one step ahead and over each horizon.

    Args:
        forecasts: `(B, n)` after the contexts.
        runs: whose truths they are held against.
        horizons: numbers of steps, up to n.
    """
    errors = (forecasts - runs.truths[:, : forecasts.shape[1]]) ** 2
    measured = {"one_step_mse": errors[:, 0]}
    for horizon in horizons:
        measured[f"free_run_mse_{horizon}"] = errors[:, :horizon].mean(axis=1)
    return measured


def average_phases(errors: PhaseErrors, chosen: Items | slice = slice(None)) -> dict[str, float]:
    """The scores: means over the phases, or over chosen ones."""
    return {name: float(values[chosen].mean()) for name, values in errors.items()}


def score_forecasts(forecasts: Array, runs: FreeRuns, horizons: list[int]) -> dict[str, float]:
    """Mean squared errors over all phases, as `measure_phases` takes them."""
    return average_phases(measure_phases(forecasts, runs, horizons))
