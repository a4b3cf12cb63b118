"""Cut one series into inputs and targets: its CSV file -> data/preprocessed/series/<series>.npz.

Run by DVC as `python stages/run.py forecasting.preprocess ENTRY CSV OUT`, with ENTRY in
params.yaml such as `observed_series.sunspots`.
"""

import math
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages.forecasting.observed import (
    OBSERVED,
    CsvSeries,
    ObservedParams,
    PanelParams,
    join_some,
    read_csv_panel,
    read_csv_series,
)
from stages.forecasting.series import (
    AnySeries,
    Array,
    GeneratedSeries,
    ObservedSeries,
    Panel,
    Units,
    Windows,
    write_series,
)
from stages.forecasting.signals import GeneratedParams, sample_signal
from stages.forecasting.transform import TransformParams, fit_transform
from stages.shared.command import run_as_command, show
from stages.shared.errors import InputError
from stages.shared.params import read_params

_FEW_HORIZONS = 4  # a test with fewer of the longest horizons gives wide intervals of scores
_MOST_VALIDATION = 256  # windows for the loss on validation
_VALIDATION_SEED = 0x7A11  # for generated series; backtests draw other numbers
_ORDERS = (1, 2, 4, 8, 16, 32)  # of the autoregressions that compare transforms


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
    """Cut a generated series with times and values `(N, T)` into inputs, targets and a test."""
    num_train = values.shape[1] - (params.test_points or 0)
    if params.window is None:  # each sample's target is the next one
        inputs, targets, target_times = values[:, :-1], values[:, 1:], times[:, 1:]
    else:
        inputs, targets = cut_windows(values[:, :num_train], params.window)
        _, target_times = cut_windows(times[:, :num_train], params.window)
    length = inputs.shape[1]
    held_back = _sample_validation(params, after=times.max(), length=length + 1)
    first_target = length if params.window else 1
    windows = Windows(
        inputs=inputs.astype(np.float32),
        targets=targets.astype(np.float32),
        times=target_times,
        test=values[0, num_train:].astype(np.float32),
        test_times=times[0, num_train:],
        validation_inputs=held_back[:, :length].astype(np.float32),
        validation_targets=held_back[:, first_target:].astype(np.float32),
    )
    return GeneratedSeries(name, windows, params=params)


def _sample_validation(params: GeneratedParams, after: float, length: int) -> Array:
    """Sample windows `(V, length)` of signal and noise, at random times after training."""
    generator = np.random.default_rng(_VALIDATION_SEED)
    starts = after + generator.uniform(0, params.spread, _MOST_VALIDATION)
    signal = sample_signal(params, starts[:, None] + params.time_step * np.arange(length))
    return signal + params.noise * generator.standard_normal(signal.shape)


def split_series(name: str, params: ObservedParams, table: CsvSeries) -> ObservedSeries:
    """Split an observed series into training, validation and test, and choose its transform.

    Raises:
        InputError: if a part is too short.
    """
    samples = table.samples
    num_test = round(params.test_share * len(samples))
    num_train = len(samples) - 2 * num_test
    longest = max(params.horizons)
    if num_test <= longest:
        share = (longest + 1) / len(samples)
        raise InputError(
            f"{params.path}: test_share {params.test_share} of {len(samples)} rows gives {num_test}"
            f", too few for a horizon of {longest} from two origins: lower horizons to "
            f"{num_test - 1}, or raise test_share to {math.ceil(100 * share) / 100:g} in "
            "params.yaml"
        )
    if num_test < _FEW_HORIZONS * longest:
        print(
            f"{name}: {num_test - longest + 1} origins for a horizon of {longest}: scores have "
            "wide intervals; more rows, or a larger test_share, give more"
        )
    if num_train <= params.window:
        raise InputError(
            f"{params.path}: of {len(samples)} rows {num_train} are left to train on, no more than "
            f"the window ({params.window}) has: lower window or test_share in params.yaml, or add "
            "rows"
        )
    slide = partial(slide_windows, name, params, table, num_train, num_test)
    if params.transform:
        return slide(params.transform)
    candidates = []
    season = params.season
    for lags in [[], [1], [season], [1, season]] if season > 1 else [[], [1]]:
        for log in [False, True] if samples.min() > 0 else [False]:
            if sum(lags) + params.window < num_train:
                candidates.append(slide(TransformParams(log=log, difference=lags)))
    errors = [_measure_autoregression(series) for series in candidates]
    chosen = candidates[int(np.argmin(errors))]
    print(f"{name}: transform {chosen.transform.describe()} chosen on validation, by AR")
    return chosen


def _measure_autoregression(series: ObservedSeries) -> float:
    """Return the least error on validation, over the longest horizon, of AR(p) of a few orders.

    Errors are in the units of the file, so that transforms can be compared.
    """
    from stages.forecasting.baselines import fit_autoregression  # they load torch
    from stages.forecasting.forecasters import wrap_model

    horizon, window = max(series.entry.horizons), series.entry.window
    context = series.own_evaluation["context"]
    backtest = series.backtest("validation", context=context, horizon=horizon, phases=1, seed=0)
    samples = series.join_training()
    least = math.inf
    for order in {*_ORDERS, series.season, series.season + 1}:
        if order <= min(window, samples.shape[1] // 3):
            model = series.undo_transform(fit_autoregression(samples, order))
            with np.errstate(over="ignore", invalid="ignore"):  # forecasts may diverge
                forecasts = wrap_model(model)(backtest.contexts, horizon)
                error = float(backtest.measure_steps(forecasts)["mase"].mean())
            least = min(least, error if math.isfinite(error) else math.inf)
    return least


def slide_windows(
    name: str,
    params: ObservedParams,
    table: CsvSeries,
    num_train: int,
    num_validation: int,
    transform: TransformParams,
) -> ObservedSeries:
    """Slide windows over the training part, transformed; each sample's target is the next one.

    Raises:
        InputError: if the training part cannot be transformed, or leaves no window.
    """
    slide = partial(np.lib.stride_tricks.sliding_window_view, window_shape=params.window + 1)
    samples = table.samples
    try:
        fitted = fit_transform(samples[:num_train], transform, params.floor)
        if transform.log and samples.min() <= 0:
            raise InputError(f"{samples.min():g} has no logarithm")
    except InputError as error:
        raise InputError(
            f"{params.path}: {error}: change observed_series.{name}.transform in params.yaml"
        ) from None
    training = fitted.apply(samples[:num_train])
    if len(training) <= params.window:
        raise InputError(
            f"{params.path}: differences leave {len(training)} of {num_train} rows to train on, no "
            f"more than the window ({params.window}) has: lower window or transform.difference in "
            "params.yaml"
        )
    slid = slide(training)
    # windows with a target in validation; their inputs may begin in training
    held_back = slide(fitted.apply(samples[: num_train + num_validation]))[len(slid) :]
    held_back = held_back[:: math.ceil(len(held_back) / _MOST_VALIDATION) or 1]
    windows = Windows(
        inputs=slid[:, :-1].astype(np.float32),
        targets=slid[:, 1:].astype(np.float32),
        times=slide(table.times[fitted.num_lost : num_train])[:, 1:],
        test=np.empty(0, np.float32),
        test_times=np.empty(0),
        validation_inputs=held_back[:, :-1].astype(np.float32),
        validation_targets=held_back[:, 1:].astype(np.float32),
    )
    return ObservedSeries(
        name,
        windows,
        params=params,
        samples=samples,
        sample_times=table.times,
        num_train=num_train,
        num_validation=num_validation,
        transform=fitted,
        labels={"column": params.column, "time": params.time, "has_dates": table.dates is not None},
    )


def collect_panel(name: str, params: PanelParams, series: dict[str, CsvSeries]) -> Panel:
    """Return the panel of all series that are long enough.

    Raises:
        InputError: if all series are too short.
    """
    least = params.shortest_scored
    kept = {of: own.samples for of, own in series.items() if len(own.samples) >= least}
    short = [f"{of} ({len(own.samples)})" for of, own in series.items() if of not in kept]
    if not kept:
        longest = max(len(own.samples) for own in series.values())
        raise InputError(
            f"{params.path}: no series has the {least} samples that a horizon of {params.horizon} "
            f"and a season of {params.season} take; the longest has {longest}: lower "
            f"observed_series.{name}.horizon in params.yaml, or add rows"
        )
    if short:
        named = join_some(short, ", ")
        show(
            f"WARNING: {name}: {len(short)} series have fewer than {least} samples, neither "
            f"trained on nor scored: {named}"
        )
    return Panel(
        name,
        params=params,
        series_names=[*kept],
        samples=[*kept.values()],
        num_validation=params.horizon,
        num_test=params.horizon,
        season=params.season,
        horizon=params.horizon,
        floor=params.floor,
        units=Units(
            time="samples after the last one before the test",
            sample=params.sample_column,
            training_sample=f"{params.sample_column}, seasonally adjusted and scaled",
            squared_error="",
        ),
    )


def main(entry: str, source: str, out: str) -> None:
    """Write a series, with its params in a file beside it."""
    section, _, name = entry.partition(".")
    series: AnySeries
    if section == "generated_series":
        generated = read_params(entry, GeneratedParams)
        series = cut_series(name, generated, *read_segments(Path(source)))
    elif section == "observed_series":
        params: ObservedParams | PanelParams = read_params(entry, OBSERVED)
        if isinstance(params, PanelParams):
            panel, messages = read_csv_panel(Path(source), params)
            if messages:  # `make repro` shows what warns
                show(join_some([f"WARNING: {message}" for message in messages], "\n"))
            series = collect_panel(name, params, panel)
        else:
            table = read_csv_series(Path(source), params, params.season)
            for message in table.messages:
                print(message)
            series = split_series(name, params, table)
    else:
        raise InputError(
            f"{entry} is not a series: give one of generated_series, observed_series, and its name"
        )
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_series(Path(out), series)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
