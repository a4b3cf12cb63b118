"""Generate the series of params.yaml as tables: params -> data/generated/.

Run by DVC as `python stages/run.py sine.generate OUT`.
"""

import sys
from pathlib import Path

from stages.shared.errors import exit_on_input_error
from stages.sine.recordings import read_every_series
from stages.sine.segments import write_segments
from stages.sine.signals import SeriesParams, draw_segments


def main(out: str) -> None:
    """Write one CSV for each series that is not read from a file."""
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, series in read_every_series().items():
        if isinstance(series, SeriesParams):
            times, values = draw_segments(series)
            write_segments(Path(out, f"{name}.csv"), times, values)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
