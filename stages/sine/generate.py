"""Generate the sine series of params.yaml as tables: params -> data/generated/.

Run by DVC as `python -m stages.sine.generate OUT`.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from stages.shared.errors import exit_on_input_error
from stages.shared.params import read_params
from stages.sine.signals import SeriesParams, draw_segments


def tabulate_series(series: SeriesParams) -> pd.DataFrame:
    """One row a sample: the number of its segment, its time t and its value y."""
    times, values = draw_segments(series)
    segments = np.repeat(np.arange(len(times)), series.points)
    return pd.DataFrame({"segment": segments, "t": times.ravel(), "y": values.ravel()})


def main(out: str) -> None:
    """Write one CSV for each series."""
    entries = read_params("generate_sine", dict[str, SeriesParams])
    tables = {name: tabulate_series(series) for name, series in entries.items()}
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(Path(out) / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
