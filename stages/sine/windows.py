"""Inputs and targets of a series: data/preprocessed/sine/<series>.npz."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Windows:
    """What a forecaster is trained on, and the end of the series that it never sees."""

    inputs: NDArray[np.float32]  # (N, T), oldest sample first
    targets: NDArray[np.float32]  # (N, T) after each sample, or (N, 1) after the whole window
    times: NDArray[np.float64]  # of the targets, in their shape
    test: NDArray[np.float32]  # (n,) held-out end of the first segment
    test_times: NDArray[np.float64]  # (n,)

    @property
    def are_slid(self) -> bool:
        """Whether a window has one target, the sample after it, instead of one a sample."""
        return bool(self.targets.shape[1] < self.inputs.shape[1])

    @property
    def end(self) -> float:
        """Time of the last sample, held out or not."""
        return float(max(self.times.max(), self.test_times.max(initial=0.0)))


def write_windows(path: Path, windows: Windows) -> None:
    """Write the windows of one series; the same values give the same bytes."""
    arrays: dict[str, Any] = asdict(windows)
    np.savez(path, **arrays)


def read_windows(path: Path) -> Windows:
    """Read the windows of one series."""
    with np.load(path) as arrays:
        return Windows(**arrays)
