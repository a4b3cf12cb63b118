"""Cut the sine series into inputs and targets: data/generated/ -> data/preprocessed/sine/.

Run by DVC as `python -m stages.sine.preprocess SERIES OUT`.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.params import Count, Name, Params, read_params
from stages.sine.segments import read_segments
from stages.sine.windows import Windows, write_windows

Array = NDArray[np.float64]


class WindowParams(Params):
    """One entry of section `preprocess_sine`: a series that windows are slid over."""

    window: Count  # past samples a forecaster sees
    test_points: int = Field(ge=0, le=10**7)  # samples at the end of the series, never trained on


def cut_windows(segments: Array, window: int) -> tuple[Array, Array]:
    """Slide a window over each segment; the sample after it is its target.

    Letters A to E with a window of 2 give AB -> C, BC -> D, CD -> E.

    Args:
        segments: `(N, T)`, oldest sample first.
        window: W, shorter than a segment.

    Returns:
        inputs `(N * (T - W), W)` and targets `(N * (T - W), 1)`.
    """
    inputs = np.lib.stride_tricks.sliding_window_view(segments[:, :-1], window, axis=1)
    return inputs.reshape(-1, window), segments[:, window:].reshape(-1, 1)


def shift_segments(segments: Array) -> tuple[Array, Array]:
    """Each sample's target is the next one: `(N, T)` -> inputs and targets `(N, T - 1)`."""
    return segments[:, :-1], segments[:, 1:]


def pair_series(times: Array, values: Array, params: WindowParams | None) -> Windows:
    """Inputs, targets and the held-out end of a series.

    Args:
        times: `(N, T)`.
        values: `(N, T)`.
        params: how windows are slid over it; None: each sample's target is the next one.

    Raises:
        InputError: the window or the test leaves nothing to train on.
    """
    num_train = values.shape[1]
    if params is None:
        inputs, targets = shift_segments(values)
        _, target_times = shift_segments(times)
    else:
        num_train -= params.test_points
        check_window(params, num_train, values.shape[1])
        inputs, targets = cut_windows(values[:, :num_train], params.window)
        _, target_times = cut_windows(times[:, :num_train], params.window)
    return Windows(
        inputs=inputs.astype(np.float32),
        targets=targets.astype(np.float32),
        times=target_times,
        test=values[0, num_train:].astype(np.float32),
        test_times=times[0, num_train:],
    )


def check_window(params: WindowParams, num_train: int, num_points: int) -> None:
    """Refuse a window or a test that leaves nothing to train on.

    Raises:
        InputError: it does.
    """
    if num_train <= params.window:
        raise InputError(
            f"window ({params.window}) and test_points ({params.test_points}) leave nothing of "
            f"segments of {num_points} samples: lower them in preprocess_sine of params.yaml"
        )


def main(series: str, out: str) -> None:
    """Write one .npz for each series."""
    entries = read_params("preprocess_sine", dict[Name, WindowParams])
    tables = sorted(Path(series).glob("*.csv"))
    missing = entries.keys() - {table.stem for table in tables}
    if missing:
        raise InputError(
            f"params.yaml: preprocess_sine names {', '.join(sorted(missing))}, "
            "which generate_sine does not make: add the series there or drop the name here"
        )
    Path(out).mkdir(parents=True, exist_ok=True)
    for table in tables:
        times, values = read_segments(table)
        windows = pair_series(times, values, entries.get(table.stem))
        write_windows(Path(out) / f"{table.stem}.npz", windows)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
