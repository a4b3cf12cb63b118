"""Inputs and targets of a series: data/preprocessed/series/<series>.npz."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.scaling import Scaling


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
