"""The tests with which the walk-throughs end, one for each kind of series."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.signals import GeneratedParams, sample_signal
from stages.forecasting.windows import Windows

Array = NDArray[np.float64]
Kind = Literal["one_point", "continuation", "recursive"]

NUM_STARTS = 3  # segments of which the one-point test draws its start


@dataclass(frozen=True)
class WalkthroughTest:
    """What a network is given, and the n steps after it."""

    history: NDArray[np.float32]  # (K,), the last one is the given sample
    times: Array  # (n + 1,), the first is that of the given sample
    truth: Array  # (n + 1,), likewise

    @property
    def steps(self) -> int:
        """n, the samples that are asked for."""
        return len(self.truth) - 1

    def measure_mse(self, forecast: Array) -> float:
        """Mean squared error of a forecast `(n,)`."""
        return float(np.mean((forecast - self.truth[1:]) ** 2))


def list_walkthrough_tests(
    kind: Kind, windows: Windows, series: GeneratedParams, steps: int
) -> list[WalkthroughTest]:
    """The test of a walk-through; of the one-point test, one for each start that it may draw.

    Args:
        kind: which.
        windows: that the network was trained on.
        series: that they were cut from.
        steps: n, at most; the recursive test goes on to the end of the series.
    """
    if kind == "continuation":
        return [make_continuation(windows, series, steps)]
    if kind == "recursive":
        return [make_recursion(windows)]
    starts = range(min(NUM_STARTS, len(windows.inputs)))
    return [make_one_point(windows, series, steps, start) for start in starts]


def make_one_point(
    windows: Windows, series: GeneratedParams, steps: int, start: int
) -> WalkthroughTest:
    """Free run from the first sample of a segment."""
    steps = min(steps, windows.targets.shape[1])
    given, following = windows.inputs[start, :1], windows.targets[start, :steps]
    times = windows.times[start, 0] + series.time_step * np.arange(-1, steps)
    truth = np.concatenate([given, following], dtype=np.float64)
    return WalkthroughTest(given, times, truth)


def make_continuation(windows: Windows, series: GeneratedParams, steps: int) -> WalkthroughTest:
    """Free run from the last sample of training, with the state carried to it."""
    times = windows.times[-1, -1] + series.time_step * np.arange(steps + 1)
    return WalkthroughTest(windows.targets[-1, -1:], times, sample_signal(series, times))


def make_recursion(windows: Windows) -> WalkthroughTest:
    """Forecast the held-out end of the series from the last window before it."""
    history = np.concatenate([windows.inputs[-1, 1:], windows.targets[-1]])
    times = np.concatenate([windows.times[-1], windows.test_times])
    truth = np.concatenate([history[-1:], windows.test], dtype=np.float64)
    return WalkthroughTest(history, times, truth)


def sample_past(test: WalkthroughTest, series: GeneratedParams, length: int) -> Array:
    """The `length` true samples up to the given one, which only baselines are told."""
    times = test.times[0] + series.time_step * np.arange(1 - length, 1)
    return sample_signal(series, times)
