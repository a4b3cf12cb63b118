"""Generate one series of params.yaml as a table: params -> data/generated/<series>.csv.

Run by DVC as `python stages/run.py forecasting.generate SERIES OUT`.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.forecasting.signals import GeneratedParams, draw_segments
from stages.shared.command import run_as_command
from stages.shared.params import read_params

_Array = NDArray[np.float64]


def write_segments(path: Path, times: _Array, values: _Array) -> None:
    """Write times and values, `(segments, points)` each, in columns segment, t and y."""
    numbers = np.repeat(np.arange(len(times)), times.shape[1])
    table = pd.DataFrame({"segment": numbers, "t": times.ravel(), "y": values.ravel()})
    table.to_csv(path, index=False, lineterminator="\n")


def main(name: str, out: str) -> None:
    """Write the CSV file of one series."""
    times, values = draw_segments(read_params(f"generated_series.{name}", GeneratedParams))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_segments(Path(out), times, values)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
