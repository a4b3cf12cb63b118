"""A series on disk: data/generated/<series>.csv, one row a sample."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


def write_segments(path: Path, times: Array, values: Array) -> None:
    """Write times and values, `(segments, points)` each, under segment, t and y."""
    numbers = np.repeat(np.arange(len(times)), times.shape[1])
    table = pd.DataFrame({"segment": numbers, "t": times.ravel(), "y": values.ravel()})
    table.to_csv(path, index=False, lineterminator="\n")


def read_segments(path: Path) -> tuple[Array, Array]:
    """Read times and values, `(segments, points)` each."""
    table = pd.read_csv(path)
    shape = (table["segment"].nunique(), -1)
    return table["t"].to_numpy().reshape(shape), table["y"].to_numpy().reshape(shape)
