"""The test that all forecasters share: true samples first, then only their own.

A generated series goes on from phases that are drawn. Of an observed series there is no more than
the file holds: there forecasts start at rolling origins, at each sample in turn of the part that is
asked about (Tashman, 2000), as far as the longest horizon fits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.series import ObservedSeries
from stages.forecasting.signals import GeneratedParams, sample_signal
from stages.shared.intervals import Items

Array = NDArray[np.float64]
PhaseErrors = dict[str, Array]  # score -> (B,), the error of each phase or origin

STREAM = 0xE7A1  # joins every seed, so that no test draws the numbers of a training


@dataclass(frozen=True)
class FreeRuns:
    """Where forecasters start, and what follows."""

    contexts: Array  # (B, K), with the noise of the series
    truths: Array  # (B, n) noise-free samples after them, or those of an observed series
    naive_error: float | None = None  # of an observed series: what MASE is scaled by
    block: int = 1  # origins that a forecast overlaps with: they are not independent


def draw_free_runs(
    series: GeneratedParams, phases: int, context: int, after: float, horizon: int, seed: int
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


def roll_origins(
    observed: ObservedSeries, first: int, end: int, context: int, horizon: int
) -> FreeRuns:
    """Every origin in a part of an observed series after which the horizon fits into that part.

    Args:
        observed: samples of all parts; what lies before an origin is its context.
        first: number of the first sample of the part, at least K.
        end: number of the sample after its last.
        context: K, samples that a forecaster sees.
        horizon: n, samples that follow.
    """
    samples = observed.samples[first - context : end]
    rows = np.lib.stride_tricks.sliding_window_view(samples, context + horizon)
    naive_error = float(np.abs(np.diff(observed.training)).mean())
    return FreeRuns(rows[:, :context], rows[:, context:], naive_error, horizon)


def roll_validation(observed: ObservedSeries, context: int, horizon: int) -> FreeRuns:
    """The origins by which recipes are chosen."""
    end = observed.num_train + observed.num_validation
    return roll_origins(observed, observed.num_train, end, context, horizon)


def measure_phases(forecasts: Array, runs: FreeRuns, horizons: list[int]) -> PhaseErrors:
    """Mean squared errors of each phase, one step ahead and over each horizon.

    Of an observed series also the mean absolute scaled errors (MASE; Hyndman & Koehler, 2006):
    below 1 they are smaller than what repeating the last sample costs, one step ahead, in training.

    Args:
        forecasts: `(B, n)` after the contexts.
        runs: whose truths they are held against.
        horizons: numbers of steps, up to n.
    """
    errors = (forecasts - runs.truths[:, : forecasts.shape[1]]) ** 2
    measured = average_steps(errors, "mse", horizons)
    if runs.naive_error:
        scaled = np.sqrt(errors) / runs.naive_error
        measured |= average_steps(scaled, "mase", horizons)
    return measured


def average_steps(errors: Array, kind: str, horizons: list[int]) -> PhaseErrors:
    """Means over the steps of each horizon: `(B, n)` -> `(B,)` by the name of the score."""
    measured = {f"one_step_{kind}": errors[:, 0]}
    for horizon in horizons:
        measured[f"{kind}_{horizon}"] = errors[:, :horizon].mean(axis=1)
    return measured


def average_phases(errors: PhaseErrors, chosen: Items | slice = slice(None)) -> dict[str, float]:
    """The scores: means over the phases, or over chosen ones."""
    return {name: float(values[chosen].mean()) for name, values in errors.items()}


def score_forecasts(forecasts: Array, runs: FreeRuns, horizons: list[int]) -> dict[str, float]:
    """Mean squared errors over all phases, as `measure_phases` takes them."""
    return average_phases(measure_phases(forecasts, runs, horizons))
