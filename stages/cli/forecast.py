"""Forecast what follows a series: `srn forecast data/series/sunspots.csv --series sunspots`.

`--series` asks the champion of that series in champions.yaml, or the best model of the workspace
where there is none; `--model carried_rnn` that model of dvc.lock. A model of the same file is
fitted again, to all of it, before it forecasts past its end. Beside the CSV file a picture and a
JSON file are written. A history unlike what the model was scored on is rejected, since a network
forecasts from anything.
"""

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.cli.refit import refit_model, take_whole_series
from stages.forecasting.observed import CsvParams, CsvSeries, ObservedParams, read_csv_series
from stages.forecasting.transform import Transform, TransformParams
from stages.shared.command import show
from stages.shared.errors import InputError
from stages.shared.figures import (
    FORECAST_COLOR,
    TARGET_COLOR,
    FigureParams,
    figure_style,
    make_figure,
    save_png,
    show_dates,
)
from stages.shared.files import replacing
from stages.shared.json_files import write_json
from stages.shared.params import check_params, read_params
from stages.shared.tables import write_table
from stages.tracking.leaderboards import find_scores
from stages.tracking.load_model import Loaded, load_champion, load_named
from stages.tracking.run_specs import check_dvc_listings, read_models
from stages.tracking.served_models.loader import Forecaster

_Samples = NDArray[np.float64]
_TrainingRange = dict[str, Any]  # as stages/forecasting/evaluate.py writes it

_MARGIN = 0.25  # of the range of training, by which a history may leave it: records are broken
_SPACING = 0.05  # share by which its spacing may differ: months do
_MOST_STEPS = 100  # of a forecast without --horizon


@dataclass(frozen=True)
class _Interval:
    """A prediction interval, as far as errors were measured."""

    level: int  # in percent
    low: _Samples  # (n,)
    high: _Samples
    held: float  # share of the test that such intervals held


def history_problem(
    history: _Samples, spacing: float | None, training_range: _TrainingRange
) -> str | None:
    """How a history (oldest sample first) differs from what the model was scored on, or None.

    The spacing of its samples is compared where it is known.
    """
    least = training_range["least_history"]
    if len(history) < least:
        return (
            f"a history of {len(history)} samples is too short: the model was scored after {least}"
        )
    seen, transformed = history, ""
    if training_range["transform"]:
        transform = Transform(**training_range["transform"])
        seen, transformed = transform.apply(history), f" (transform: {transform.describe()})"
    lowest, highest = training_range["lowest"], training_range["highest"]
    margin = _MARGIN * (highest - lowest)
    if seen.min() < lowest - margin or seen.max() > highest + margin:
        return (
            f"a history from {seen.min():g} to {seen.max():g} is not what the model was scored on: "
            f"{training_range['series']} lies between {lowest:g} and {highest:g}{transformed}"
        )
    trained = training_range["spacing"]
    if spacing and trained and abs(spacing / trained - 1) > _SPACING:
        return f"samples {spacing:g} apart are not what the model was scored on: {trained:g} apart"
    return None


def main(
    source: Path,
    series: str | None = None,
    model: str | None = None,
    column: str | None = None,
    time: str | None = None,
    out: Path | None = None,
    horizon: int | None = None,
    levels: list[int] | None = None,
    force: bool = False,
    as_scored: bool = False,
    from_mlflow: bool = False,
) -> None:
    """Write the forecast as CSV, PNG and JSON; its times continue those of the file.

    Raises:
        InputError: the file cannot be used, or is unlike what the model was scored on.
    """
    out = out or source.with_name(f"{source.stem}_forecast.csv")
    if out == source:
        raise InputError(f"{out} would be overwritten: name another file for the forecast")
    check_dvc_listings()
    dpi = read_params("figures", FigureParams).dpi
    loaded = _load(series, model, from_mlflow)
    training_range = loaded.model.training_range
    entry = _find_entry(training_range["series"])
    given = {name: value for name, value in (("column", column), ("time", time)) if value}
    if entry:
        read_as: CsvParams = entry.model_copy(update=given)
    elif column:
        read_as = CsvParams(column=column, time=time)
    else:
        raise InputError(f"{training_range['series']} is no series of a file: name a --column")
    table = read_csv_series(source, read_as, entry.season if entry else 1)
    history = table.samples
    spacing = table.spacing if read_as.time else None
    problem = history_problem(history, spacing, training_range)
    if problem and not force:
        raise InputError(f"{source}: {problem}; --force overrules")

    reason = _refit_problem(loaded, entry, source, as_scored)
    fitted = f"as it was scored, since {reason}" if reason else f"fitted to all of {source.name}"
    if not reason and entry:
        known = training_range["transform"]
        transform = TransformParams(log=known["log"], difference=known["differences"])
        whole = take_whole_series(training_range["series"], entry, table, transform)
        models = {spec.name: spec for spec in read_models()}
        loaded.model.model = refit_model(loaded.name, models, whole)
    num_measured = len(training_range["prediction_intervals"]["80"]["half_width"])
    steps = horizon or min(num_measured or _MOST_STEPS, _MOST_STEPS)
    try:
        forecast: _Samples = loaded.model.predict(history[None], steps)[0]
    except ValueError as error:
        raise InputError(str(error)) from None
    intervals = _list_intervals(forecast, training_range, levels or [80])

    times = table.continue_times(steps)
    _write(out, read_as.time or "row", times, read_as.column, forecast, intervals)
    with figure_style():
        figure = _draw(table, read_as, forecast, intervals, loaded.origin)
        with replacing(out.with_suffix(".png")) as new:
            save_png(figure, new, dpi)
    described = {
        "model": loaded.name,
        "series": training_range["series"],
        "chosen": loaded.reason,
        "fitted": fitted,
        "column": read_as.column,
        "samples": len(history),
        "first": times[0],
        "last": times[-1],
        "steps": steps,
        "steps_with_intervals": min(steps, num_measured),
        "compared_with_naive": training_range["naive"],
        "held": {str(interval.level): interval.held for interval in intervals},
    }
    with replacing(out.with_suffix(".json")) as new:
        write_json(new, described)
    for message in [loaded.note, *table.messages]:
        if message:
            show(message, file=sys.stderr)
    show(f"{loaded.origin}, {fitted}")
    if loaded.reason:
        show(textwrap.fill(loaded.reason, 100))
    if naive := training_range["naive"]:
        show(f"compared with {naive['baseline']}, which fits nothing: {naive['verdict']}")
    for interval in intervals:
        print(f"prediction interval for {interval.level} %: held {interval.held:.0%} of the test")
    if steps > num_measured:
        print(f"no errors were measured more than {num_measured} steps ahead: no interval there")
    show(f"{out}, {out.with_suffix('.png').name}, {out.with_suffix('.json').name}")


def _load(series: str | None, model: str | None, from_mlflow: bool) -> Loaded[Forecaster]:
    """The model that is asked for."""
    if series == "surnames":
        raise InputError("surnames is no series: `srn predict NAME` names their languages")
    if model and from_mlflow:
        raise InputError("--from-mlflow takes a champion: name its --series instead of a --model")
    if model:
        return load_named(Forecaster, "forecasting", model)
    if series:
        return load_champion(Forecaster, series, from_mlflow)
    known = sorted({model.params["series"] for model in read_models() if "series" in model.params})
    raise InputError(
        f"name the series: --series {', '.join(known)}; a series of your own becomes an "
        "entry of observed_series in params.yaml. Or name a model: --model"
    )


def _find_entry(series: str) -> ObservedParams | None:
    """The entry of an observed series in params.yaml; None: it has none."""
    entries = read_params("observed_series", dict[str, Any])
    if series not in entries:
        return None
    return check_params(entries[series], ObservedParams, f"params.yaml: observed_series.{series}")


def _refit_problem(
    loaded: Loaded[Forecaster], entry: ObservedParams | None, source: Path, as_scored: bool
) -> str | None:
    """Why a model cannot be fitted to the whole file again, or None."""
    if as_scored:
        return "--as-scored was given"
    if not entry:
        return "its series is no file"
    if source.resolve() != Path(entry.path).resolve():
        return f"{source.name} is not {entry.path}, which it was trained on"
    if not loaded.is_locked:
        return "dvc.lock has no recipe of it"
    baseline = f"{loaded.model.training_range['series']}_baseline"  # maybe a member of it
    for name in (loaded.name, baseline):
        if not find_scores("forecasting", name).exists():
            return f"the scores of {name} are not here: `make pull` gets them"
    return None


def _list_intervals(
    forecast: _Samples, training_range: _TrainingRange, levels: list[int]
) -> list[_Interval]:
    """Prediction intervals of a forecast `(n,)`, one per level, never below the floor."""
    floor = (training_range["transform"] or {}).get("floor")
    intervals = []
    for level in levels:
        measured = training_range["prediction_intervals"][str(level)]
        half = np.array(measured["half_width"][: len(forecast)])
        low, high = forecast[: len(half)] - half, forecast[: len(half)] + half
        if floor is not None:
            low = np.maximum(low, floor)
        intervals.append(_Interval(level, low, high, measured["held"]))
    return intervals


def _write(
    out: Path,
    time: str,
    times: list[str],
    column: str,
    forecast: _Samples,
    intervals: list[_Interval],
) -> None:
    """Write the CSV file; cells of steps without measured errors stay empty."""
    names = [f"{end}_{interval.level}" for interval in intervals for end in ("low", "high")]
    rows: list[list[str | float | None]] = []
    for step, value in enumerate(forecast.tolist()):
        row: list[str | float | None] = [times[step], value]
        for interval in intervals:
            for end in (interval.low, interval.high):
                row.append(float(end[step]) if step < len(end) else None)
        rows.append(row)
    with replacing(out) as new:
        write_table(new, [time, column, *names], rows)


def _draw(
    table: CsvSeries,
    read_as: CsvParams,
    forecast: _Samples,
    intervals: list[_Interval],
    origin: str,
) -> Figure:
    """The end of the history and what follows it; steps without an interval are dotted."""
    figure = make_figure(f"Forecast of {read_as.column}", origin, width=8, height=4)
    axes = figure.subplots()
    steps = len(forecast)
    shown = slice(-max(3 * steps, 24), None)
    axes.plot(table.times[shown], table.samples[shown], color=TARGET_COLOR, label="history")
    times = table.times[-1] + table.find_days_ahead(steps)
    num_measured = len(intervals[0].low)
    # from the last sample on, so that the line does not break
    line = np.append(table.samples[-1], forecast)
    at = np.append(table.times[-1], times)
    axes.plot(
        at[: num_measured + 1], line[: num_measured + 1], color=FORECAST_COLOR, label="forecast"
    )
    if steps > num_measured:
        label = f"more than {num_measured} steps ahead: never measured"
        axes.plot(at[num_measured:], line[num_measured:], color=FORECAST_COLOR, ls=":", label=label)
    for interval in intervals:
        label = f"{interval.level} % prediction interval (held {interval.held:.0%})"
        bounds = interval.low, interval.high
        style: dict[str, Any] = {"color": FORECAST_COLOR, "alpha": 0.15, "lw": 0, "label": label}
        axes.fill_between(times[:num_measured], *bounds, **style)
    axes.set(xlabel=read_as.time or "row", ylabel=read_as.column)
    if table.dates is not None:
        show_dates(axes)
    axes.legend(loc="upper left")  # beside the title there is no room for several levels
    return figure
