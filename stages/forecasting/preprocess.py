"""Cut one series into inputs and targets: its CSV file -> data/preprocessed/series/<series>.npz.

Run by DVC as `python stages/run.py forecasting.preprocess ENTRY TABLE OUT`, with ENTRY in
params.yaml such as `observed_series.sunspots`.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.observed import ObservedParams, read_samples
from stages.forecasting.segments import read_segments
from stages.forecasting.series import (
    ObservedSeries,
    Windows,
    read_entry,
    write_series,
    write_windows,
)
from stages.shared.errors import InputError, exit_on_input_error

Array = NDArray[np.float64]

FEWEST_BLOCKS = 4  # times that the longest horizon fits into the test: its errors overlap, and of
# fewer stretches that do not, the bootstrap could draw no other test


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


def pair_series(
    times: Array, values: Array, window: int | None = None, test_points: int = 0
) -> Windows:
    """Inputs, targets and the held-out end of a series.

    Args:
        times: `(N, T)`.
        values: `(N, T)`.
        window: past samples a forecaster sees; None: each sample's target is the next one.
        test_points: samples at the end that are held out.
    """
    num_train = values.shape[1] - test_points
    if window is None:
        inputs, targets = shift_segments(values)
        _, target_times = shift_segments(times)
    else:
        inputs, targets = cut_windows(values[:, :num_train], window)
        _, target_times = cut_windows(times[:, :num_train], window)
    return Windows(
        inputs=inputs.astype(np.float32),
        targets=targets.astype(np.float32),
        times=target_times,
        test=values[0, num_train:].astype(np.float32),
        test_times=times[0, num_train:],
    )


def split_observed(samples: Array, times: Array, params: ObservedParams) -> ObservedSeries:
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
    observed = ObservedSeries(samples, times, num_train, num_test)
    if np.ptp(observed.training) == 0:
        raise InputError(
            f"{params.path}: the first {num_train} rows, which are trained on, are all "
            f"{samples[0]:g}: there is nothing to learn"
        )
    return observed


def pair_observed(observed: ObservedSeries, window: int) -> Windows:
    """Windows slid over the training part, standardised; each sample's target is the next one."""
    slide = partial(np.lib.stride_tricks.sliding_window_view, window_shape=window + 1)
    samples = observed.scaling.standardise(observed.training)
    inputs, targets = shift_segments(slide(samples))
    _, target_times = shift_segments(slide(observed.sample_times[: observed.num_train]))
    return Windows(
        inputs=inputs.astype(np.float32),
        targets=targets.astype(np.float32),
        times=target_times,
        test=np.empty(0, np.float32),
        test_times=np.empty(0),
        observed=observed,
    )


def pair_file(path: Path, params: ObservedParams) -> Windows:
    """Windows of a series from a file.

    Raises:
        InputError: the file cannot be used.
    """
    samples, times = read_samples(path, params.column, params.time)
    return pair_observed(split_observed(samples, times, params), params.window)


def main(entry: str, table: str, out: str) -> None:
    """Write the windows of one series, and beside them its params."""
    params = read_entry(entry)
    if isinstance(params, ObservedParams):
        windows = pair_file(Path(table), params)
    else:
        windows = pair_series(*read_segments(Path(table)), params.window, params.test_points or 0)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_windows(Path(out), windows)
    write_series(Path(out), params)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
