"""Cut the series into inputs and targets: generated ones and files -> data/preprocessed/sine/.

Run by DVC as `python stages/run.py sine.preprocess GENERATED FILES OUT`.
"""

import os.path
import sys
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.params import Count, Name, Params, read_params
from stages.sine.recordings import FileParams, read_every_series, read_samples
from stages.sine.segments import read_segments
from stages.sine.windows import Recording, Windows, write_windows

Array = NDArray[np.float64]

FEWEST_BLOCKS = 4  # times that the longest horizon fits into the test: its errors overlap, and of
# fewer stretches that do not, the bootstrap could draw no other test


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


def split_recording(samples: Array, times: Array, params: FileParams) -> Recording:
    """The three parts of a series from a file: the last two are as long as `test_share` says.

    Raises:
        InputError: a part is too short, or the training part never changes.
    """
    num_test = round(params.test_share * len(samples))
    num_train = len(samples) - 2 * num_test
    longest = max(params.horizons)
    if num_test < FEWEST_BLOCKS * longest:
        raise InputError(
            f"{params.path}: test_share ({params.test_share}) of {len(samples)} rows are "
            f"{num_test}, fewer than {FEWEST_BLOCKS} times the longest horizon ({longest}): raise "
            "it or lower horizons in params.yaml, or add rows"
        )
    if num_train <= params.window:
        raise InputError(
            f"{params.path}: of {len(samples)} rows {num_train} are left to train on, no more than "
            f"the window ({params.window}) has: lower window or test_share in params.yaml, or add "
            "rows"
        )
    recording = Recording(samples, times, num_train, num_test)
    if np.ptp(recording.training) == 0:
        raise InputError(
            f"{params.path}: the first {num_train} rows, which are trained on, are all "
            f"{samples[0]:g}: there is nothing to learn"
        )
    return recording


def pair_recording(recording: Recording, window: int) -> Windows:
    """Windows slid over the training part, standardised; each sample's target is the next one."""
    slide = partial(np.lib.stride_tricks.sliding_window_view, window_shape=window + 1)
    samples = recording.scaling.standardise(recording.training)
    inputs, targets = shift_segments(slide(samples))
    _, target_times = shift_segments(slide(recording.sample_times[: recording.num_train]))
    return Windows(
        inputs=inputs.astype(np.float32),
        targets=targets.astype(np.float32),
        times=target_times,
        test=np.empty(0, np.float32),
        test_times=np.empty(0),
        recording=recording,
    )


def pair_file(name: str, params: FileParams, folder: Path) -> Windows:
    """Windows of a series from a file.

    Raises:
        InputError: the file lies elsewhere, is not there, or cannot be used.
    """
    path = Path(os.path.normpath(params.path))
    if folder not in path.parents:
        raise InputError(
            f"params.yaml: generate_sine.{name}.path ({params.path}) must lie in {folder}/: DVC "
            "watches that folder, and would not see the file change elsewhere; move it there"
        )
    samples, times = read_samples(path, params.column, params.time)
    return pair_recording(split_recording(samples, times, params), params.window)


def main(generated: str, files: str, out: str) -> None:
    """Write one .npz for each series."""
    cuts = read_params("preprocess_sine", dict[Name, WindowParams])
    entries = read_every_series()
    read = {name for name, entry in entries.items() if isinstance(entry, FileParams)}
    missing = cuts.keys() - (entries.keys() - read)
    if missing:
        raise InputError(
            f"params.yaml: preprocess_sine names {', '.join(sorted(missing))}, "
            "which generate_sine does not make: add the series there or drop the name here"
        )
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, entry in entries.items():
        if isinstance(entry, FileParams):
            windows = pair_file(name, entry, Path(files))
        else:
            times, values = read_segments(Path(generated, f"{name}.csv"))
            windows = pair_series(times, values, cuts.get(name))
        write_windows(Path(out, f"{name}.npz"), windows)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
