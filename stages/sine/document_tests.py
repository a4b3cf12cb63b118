"""The tests with which the walk-throughs end, one for each kind of series.

Each takes a forecaster, the windows it was trained on, their series, a number of steps and a seed,
and forecasts what follows the last sample that it gives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.sine.baselines import Forecaster
from stages.sine.signals import SeriesParams, sample_signal
from stages.sine.windows import Windows

Array = NDArray[np.float64]

NUM_STARTS = 3  # segments of which the one-point test draws its start


@dataclass(frozen=True)
class DocumentTest:
    """n steps after the last sample that the network was given."""

    times: Array  # (n + 1,), the first of the given sample
    truth: Array  # (n + 1,), the given sample first
    forecast: Array  # (n,)

    @property
    def mse(self) -> float:
        """Mean squared error of the forecast."""
        return float(np.mean((self.forecast - self.truth[1:]) ** 2))


def forecast_one_point(
    forecast: Forecaster, windows: Windows, series: SeriesParams, steps: int, seed: int
) -> DocumentTest:
    """Free run from the first sample of one of the first three segments."""
    num_starts = min(NUM_STARTS, len(windows.inputs))
    start = np.random.default_rng(seed).integers(num_starts)
    steps = min(steps, windows.targets.shape[1])
    given, following = windows.inputs[start, :1], windows.targets[start, :steps]
    times = windows.times[start, 0] + series.time_step * np.arange(-1, steps)
    truth = np.concatenate([given, following], dtype=np.float64)
    return DocumentTest(times, truth, forecast(given[None], steps)[0])


def forecast_continuation(
    forecast: Forecaster, windows: Windows, series: SeriesParams, steps: int, seed: int
) -> DocumentTest:
    """Free run from the last sample of training, with the state carried to it."""
    times = windows.times[-1, -1] + series.time_step * np.arange(steps + 1)
    forecasts = forecast(windows.targets[-1:, -1:], steps)
    return DocumentTest(times, sample_signal(series, times), forecasts[0])


def forecast_recursive(
    forecast: Forecaster, windows: Windows, series: SeriesParams, steps: int, seed: int
) -> DocumentTest:
    """Forecast the held-out end of the series from the last window before it."""
    history = np.concatenate([windows.inputs[-1:, 1:], windows.targets[-1:]], axis=1)
    times = np.concatenate([windows.times[-1], windows.test_times])
    truth = np.concatenate([history[0, -1:], windows.test], dtype=np.float64)
    return DocumentTest(times, truth, forecast(history, len(windows.test))[0])


DOCUMENT_TESTS: dict[str, Callable[[Forecaster, Windows, SeriesParams, int, int], DocumentTest]] = {
    "one_point": forecast_one_point,
    "continuation": forecast_continuation,
    "recursive": forecast_recursive,
}
