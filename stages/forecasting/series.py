"""A series: what it is, what forecasters are trained on, and the tests of its walk-through.

data/preprocessed/series/<series>.npz holds inputs and targets, <series>.json its entry in
params.yaml: a stage that reads these does not need to know in which section the entry is.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.observed import ObservedParams
from stages.forecasting.signals import GeneratedParams, sample_signal
from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.shared.params import check_params, read_params

Array = NDArray[np.float64]
Forecaster = Callable[[Any, int], Array]  # history (B, K) and horizon n -> (B, n)
Kind = Literal["one_point", "continuation", "recursive"]

NUM_STARTS = 3  # segments of which the one-point test draws its start
SECTIONS: dict[str, type[GeneratedParams | ObservedParams]] = {
    "generated_series": GeneratedParams,
    "observed_series": ObservedParams,
}


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of the samples of training, in the units of the file."""

    mean: float
    std: float

    def standardise(self, samples: Array) -> Array:
        """From the file's units."""
        return (samples - self.mean) / self.std

    def restore(self, samples: Array) -> Array:
        """Back to the file's units."""
        return samples * self.std + self.mean


def scale_forecaster(forecast: Forecaster, scaling: Scaling | None) -> Forecaster:
    """A forecaster of standardised samples as one of samples in the file's units."""
    if scaling is None:
        return forecast

    def forecast_scaled(history: Array, horizon: int) -> Array:
        return scaling.restore(forecast(scaling.standardise(history), horizon))

    return forecast_scaled


@dataclass(frozen=True)
class ObservedSeries:
    """A series from a file, in its units: training, then validation, then test."""

    samples: NDArray[np.float64]  # (T,), oldest first
    sample_times: NDArray[np.float64]  # (T,)
    num_train: int
    num_validation: int

    @property
    def training(self) -> NDArray[np.float64]:
        """The samples that are trained on."""
        return self.samples[: self.num_train]

    @property
    def scaling(self) -> Scaling:
        """Of the training part alone."""
        return Scaling(float(self.training.mean()), float(self.training.std()))


@dataclass(frozen=True)
class Windows:
    """What a forecaster is trained on, and the end of the series that it never sees.

    Those of an observed series are standardised; what is held out stands in that series itself.
    """

    inputs: NDArray[np.float32]  # (N, T), oldest sample first
    targets: NDArray[np.float32]  # (N, T) after each sample, or (N, 1) after the whole window
    times: NDArray[np.float64]  # of the targets, in their shape
    test: NDArray[np.float32]  # (n,) held-out end of the first segment
    test_times: NDArray[np.float64]  # (n,)
    observed: ObservedSeries | None = None  # None: the series was generated

    @property
    def are_slid(self) -> bool:
        """Whether a window has one target, the sample after it, instead of one a sample."""
        return bool(self.targets.shape[1] < self.inputs.shape[1])

    @property
    def scaling(self) -> Scaling | None:
        """Between the samples here and those of the series; None: they are the same."""
        return self.observed.scaling if self.observed else None

    @property
    def end(self) -> float:
        """Time of the last sample, held out or not."""
        return float(max(self.times.max(), self.test_times.max(initial=0.0)))


def hide_test(windows: Windows) -> Windows:
    """The same without what is held back for the test."""
    observed = windows.observed
    if observed:
        end = observed.num_train + observed.num_validation
        samples, times = observed.samples[:end], observed.sample_times[:end]
        observed = replace(observed, samples=samples, sample_times=times)
    empty, no_times = windows.test[:0], windows.test_times[:0]
    return replace(windows, test=empty, test_times=no_times, observed=observed)


def write_windows(path: Path, windows: Windows) -> None:
    """Write the windows of one series; the same values give the same bytes."""
    arrays: dict[str, Any] = asdict(windows)
    recorded = arrays.pop("observed") or {}
    np.savez(path, **arrays, **recorded)


def read_windows(path: Path) -> Windows:
    """Read the windows of one series."""
    with np.load(path) as file:
        arrays = dict(file)
    if "samples" not in arrays:
        return Windows(**arrays)
    recorded = {field.name: arrays.pop(field.name) for field in fields(ObservedSeries)}
    for count in ("num_train", "num_validation"):
        recorded[count] = int(recorded[count])
    return Windows(**arrays, observed=ObservedSeries(**recorded))


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


def read_entry(entry: str) -> GeneratedParams | ObservedParams:
    """Read a series of params.yaml, such as `generated_series.period_40`.

    Raises:
        InputError: there is no such entry, or it is wrong.
    """
    section = entry.partition(".")[0]
    if section not in SECTIONS:
        raise InputError(f"{entry} is no series: give one of {', '.join(SECTIONS)}, and its name")
    return read_params(entry, SECTIONS[section])


def write_series(windows: Path, params: GeneratedParams | ObservedParams) -> None:
    """Write the params of a series.

    Args:
        windows: data/preprocessed/series/<series>.npz, beside which they go.
        params: its entry in params.yaml.
    """
    section = "observed_series" if isinstance(params, ObservedParams) else "generated_series"
    write_json(windows.with_suffix(".json"), {section: params.model_dump(exclude_unset=True)})


def read_series(windows: Path) -> GeneratedParams | ObservedParams:
    """Read the params of a series.

    Args:
        windows: data/preprocessed/series/<series>.npz, beside which they lie.
    """
    path = windows.with_suffix(".json")
    [(section, params)] = read_json(path).items()
    return check_params(params, SECTIONS[section], str(path))
