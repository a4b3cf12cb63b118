"""Cut the sine series into inputs and targets: data/generated/ -> data/preprocessed/sine/.

Run by DVC as `python -m stages.sine.preprocess SERIES OUT`.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.params import Params, read_params

Array = NDArray[np.float64]


class WindowParams(Params):
    """One entry of section `preprocess_sine`."""

    window: int | None = Field(gt=0)  # past samples a forecaster sees; null: the whole segment
    test_points: int = Field(ge=0)  # samples at the end of a series, never trained on


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


def pair_series(times: Array, values: Array, params: WindowParams) -> dict[str, Array]:
    """Inputs, targets, times of the targets, and the held-out end of the first segment.

    Args:
        times: `(N, T)`.
        values: `(N, T)`.
        params: how to cut them.

    Raises:
        InputError: the window or the test leaves nothing to train on.
    """
    train = values.shape[1] - params.test_points
    if train <= (params.window or 1):
        raise InputError(
            f"window ({params.window}) and test_points ({params.test_points}) leave nothing of "
            f"segments of {values.shape[1]} samples: lower them in preprocess_sine of params.yaml"
        )
    cut = partial(cut_windows, window=params.window) if params.window else shift_segments
    inputs, targets = cut(values[:, :train])
    return {
        "inputs": inputs.astype(np.float32),
        "targets": targets.astype(np.float32),
        "times": cut(times[:, :train])[1],
        "test": values[0, train:].astype(np.float32),
        "test_times": times[0, train:],
    }


def read_segments(path: Path) -> tuple[Array, Array]:
    """Times and values of a series, `(segments, points)` each."""
    table = pd.read_csv(path)
    shape = (table["segment"].nunique(), -1)
    return table["t"].to_numpy().reshape(shape), table["y"].to_numpy().reshape(shape)


def main(series: str, out: str) -> None:
    """Write one .npz for each series."""
    entries = read_params("preprocess_sine", dict[str, WindowParams])
    missing = [name for name in entries if not (Path(series) / f"{name}.csv").exists()]
    if missing:
        raise InputError(
            f"params.yaml: preprocess_sine names {', '.join(missing)}, "
            "which generate_sine does not make: add the series there or drop the name here"
        )
    pairs = {
        name: pair_series(*read_segments(Path(series) / f"{name}.csv"), params)
        for name, params in entries.items()
    }
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, arrays in pairs.items():
        np.savez(Path(out) / f"{name}.npz", **arrays)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
