"""Cut one series into inputs and targets: its CSV file -> data/preprocessed/series/<series>.npz.

Run by DVC as `python stages/run.py forecasting.preprocess ENTRY TABLE OUT`, with ENTRY in
params.yaml such as `observed_series.sunspots`.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages.forecasting.observed import ObservedParams, read_samples
from stages.forecasting.series import (
    Array,
    GeneratedSeries,
    ObservedSeries,
    Series,
    Windows,
    write_series,
)
from stages.forecasting.signals import GeneratedParams
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.params import read_params

# Times that the longest horizon must fit into the test: forecast errors overlap, so the bootstrap
# resamples blocks of one horizon, and it needs several.
_FEWEST_BLOCKS = 4


def read_segments(path: Path) -> tuple[Array, Array]:
    """Read times and values, `(segments, points)` each, as generate.py writes them."""
    table = pd.read_csv(path)
    shape = (table["segment"].nunique(), -1)
    return table["t"].to_numpy().reshape(shape), table["y"].to_numpy().reshape(shape)


def cut_windows(segments: Array, window: int) -> tuple[Array, Array]:
    """Slide a window over each segment; the sample after it is its target.

    Letters A to E with a window of 2 give AB -> C, BC -> D, CD -> E. Segments `(N, T)`, oldest
    sample first, give inputs `(N * (T - W), W)` and targets `(N * (T - W), 1)`.
    """
    inputs = np.lib.stride_tricks.sliding_window_view(segments[:, :-1], window, axis=1)
    return inputs.reshape(-1, window), segments[:, window:].reshape(-1, 1)


def cut_series(name: str, params: GeneratedParams, times: Array, values: Array) -> GeneratedSeries:
    """Inputs, targets and the held-out end of a generated series with times and values `(N, T)`."""
    num_train = values.shape[1] - (params.test_points or 0)
    if params.window is None:  # each sample's target is the next one
        inputs, targets, target_times = values[:, :-1], values[:, 1:], times[:, 1:]
    else:
        inputs, targets = cut_windows(values[:, :num_train], params.window)
        _, target_times = cut_windows(times[:, :num_train], params.window)
    windows = Windows(
        inputs=inputs.astype(np.float32),
        targets=targets.astype(np.float32),
        times=target_times,
        test=values[0, num_train:].astype(np.float32),
        test_times=times[0, num_train:],
    )
    return GeneratedSeries(name, windows, params)


def split_series(name: str, params: ObservedParams, samples: Array, times: Array) -> ObservedSeries:
    """The three parts of an observed series with samples and times `(T,)`, oldest first.

    Raises:
        InputError: a part is too short, or the training part never changes.
    """
    num_test = round(params.test_share * len(samples))
    num_train = len(samples) - 2 * num_test
    longest = max(params.horizons)
    if num_test < _FEWEST_BLOCKS * longest:
        raise InputError(
            f"{params.path}: test_share ({params.test_share}) of {len(samples)} rows are "
            f"{num_test}, fewer than {_FEWEST_BLOCKS} times the longest horizon ({longest}): raise "
            "test_share or lower horizons in params.yaml, or add rows"
        )
    if num_train <= params.window:
        raise InputError(
            f"{params.path}: of {len(samples)} rows {num_train} are left to train on, no more than "
            f"the window ({params.window}) has: lower window or test_share in params.yaml, or add "
            "rows"
        )
    if np.ptp(samples[:num_train]) == 0:
        raise InputError(
            f"{params.path}: the first {num_train} rows, which are trained on, are all "
            f"{samples[0]:g}: there is nothing to learn"
        )
    return slide_windows(name, params, samples, times, num_train, num_test)


def slide_windows(
    name: str,
    params: ObservedParams,
    samples: Array,
    times: Array,
    num_train: int,
    num_validation: int,
) -> ObservedSeries:
    """Slide windows over the training part, standardised; each sample's target is the next one."""
    slide = partial(np.lib.stride_tricks.sliding_window_view, window_shape=params.window + 1)
    training = samples[:num_train]
    slid = slide((training - training.mean()) / training.std())
    windows = Windows(
        inputs=slid[:, :-1].astype(np.float32),
        targets=slid[:, 1:].astype(np.float32),
        times=slide(times[:num_train])[:, 1:],
        test=np.empty(0, np.float32),
        test_times=np.empty(0),
    )
    return ObservedSeries(
        name,
        windows,
        params,
        samples=samples,
        sample_times=times,
        num_train=num_train,
        num_validation=num_validation,
    )


def main(entry: str, table: str, out: str) -> None:
    """Write a series, and beside it its params."""
    section, _, name = entry.partition(".")
    series: Series
    if section == "generated_series":
        generated = read_params(entry, GeneratedParams)
        series = cut_series(name, generated, *read_segments(Path(table)))
    elif section == "observed_series":
        params = read_params(entry, ObservedParams)
        series = split_series(name, params, *read_samples(Path(table), params.column, params.time))
    else:
        raise InputError(
            f"{entry} is no series: give one of generated_series, observed_series, and its name"
        )
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_series(Path(out), series)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
