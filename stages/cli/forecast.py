"""Forecast one series or many: `srn forecast --series sunspots`.

`--series` uses the champion of the series in champions.yaml, or else the best model of the
workspace; `--model carried_rnn` uses this model of dvc.lock. A model that was trained on the file
is fitted again to the whole file before it forecasts past its end. A CSV file, a picture and a JSON
file are written. For a single series, a history that differs from what the model was scored on is
rejected, since a network would forecast from anything.
"""

import math
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.cli.refit import refit_model, take_whole_file
from stages.forecasting.observed import (
    OBSERVED,
    CsvParams,
    CsvSeries,
    ObservedParams,
    PanelParams,
    join_some,
    read_csv_panel,
    read_csv_series,
)
from stages.forecasting.series import measure_naive_errors
from stages.forecasting.transform import Transform
from stages.shared.command import show
from stages.shared.errors import InputError, clean_message
from stages.shared.figures import (
    FORECAST_COLOR,
    TARGET_COLOR,
    FigureParams,
    add_legend,
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
_ForecastInfo = dict[str, Any]  # content of forecast_info.json, see `make_forecast_info`

_MARGIN = 0.25  # share of the training range by which a history may exceed it: new records happen
_SPACING = 0.05  # share by which its spacing may differ, as months do
_MOST_STEPS = 100  # of a forecast without --horizon
_MOST_DRAWN = 6  # series of a panel
_FEWEST = 3  # samples of a series: fewer do not determine their spacing


@dataclass(frozen=True)
class _Interval:
    """A prediction interval, for the steps whose errors were measured."""

    level: int  # in percent
    low: _Samples  # (n,)
    high: _Samples
    coverage: float  # share of the test targets in the interval


@dataclass(frozen=True)
class _Forecast:
    """The forecast of one series."""

    samples: _Samples  # (n,)
    intervals: list[_Interval]


@dataclass(frozen=True)
class _Source:
    """The series of a file."""

    name: str  # the column, or the entry in params.yaml if there are many series
    series: dict[str, CsvSeries]  # by name; a single series is named ""
    messages: list[str]
    id: str | None  # column of names; None: one series
    time: str | None  # column of times
    column: str  # of the samples


def history_problem(
    history: _Samples, spacing: float | None, forecast_info: _ForecastInfo
) -> str | None:
    """Return how a history, oldest first, differs from what the model was scored on, or None.

    The spacing of its samples is compared if it is known.
    """
    least = forecast_info["least_history"]
    if len(history) < least:
        return (
            f"a history of {len(history)} samples is too short: the model was scored after {least}"
        )
    seen, transformed = history, ""
    if forecast_info["transform"]:
        transform = Transform(**forecast_info["transform"])
        seen, transformed = transform.apply(history), f" (transform: {transform.describe()})"
    lowest, highest = forecast_info["lowest"], forecast_info["highest"]
    margin = _MARGIN * (highest - lowest)
    if seen.min() < lowest - margin or seen.max() > highest + margin:
        return (
            f"a history from {seen.min():g} to {seen.max():g} is not what the model was scored on: "
            f"{forecast_info['series']} lies between {lowest:g} and {highest:g}{transformed}"
        )
    trained = forecast_info["spacing"]
    if spacing and trained and abs(spacing / trained - 1) > _SPACING:
        return f"samples {spacing:g} apart are not what the model was scored on: {trained:g} apart"
    return None


def main(
    source: Path | None = None,
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
        InputError: if the file cannot be used, or the history of a single series differs too much
            from the data on which the model was scored.
    """
    check_dvc_listings()
    dpi = read_params("figures", FigureParams).dpi
    loaded = _load(series, model, from_mlflow)
    forecast_info = loaded.model.forecast_info
    name = forecast_info["series"]
    entry = _find_entry(name)
    given = {key: value for key, value in (("column", column), ("time", time)) if value}
    source = source or (Path(entry.path) if entry else None)
    if source is None:
        raise InputError(f"{name} is not a series from a file: name a CSV file, and a --column")
    out = out or source.with_name(f"{source.stem}_forecast.csv")
    if out == source:
        raise InputError(f"{out} would be overwritten: name another file for the forecast")
    file = _read_source(source, entry, given, name)
    if not isinstance(entry, PanelParams) and not force:
        [table] = file.series.values()
        spacing = table.spacing if file.time else None
        problem = history_problem(table.samples, spacing, forecast_info)
        if problem:
            raise InputError(f"{source}: {problem}; --force overrules")

    fitted = f"fitted to all of {source.name}"
    refit_problem = _refit_problem(loaded, entry, source, as_scored)
    if refit_problem:
        fitted = f"as it was scored, since {refit_problem}"
    else:
        assert entry  # otherwise there is a problem
        whole = take_whole_file(name, entry, file.series, forecast_info["transform"])
        models = {spec.name: spec for spec in read_models()}
        loaded.model.model = refit_model(loaded.name, models, whole)
    num_measured = len(forecast_info["prediction_intervals"]["80"]["half_width"])
    steps = horizon or min(num_measured or _MOST_STEPS, _MOST_STEPS)
    levels = levels or [80]
    forecasts, short = _forecast(loaded, file, entry, steps, levels)

    with replacing(out) as new:
        _write_csv(new, file, forecasts, steps, levels)
    with figure_style(), replacing(out.with_suffix(".png")) as new:
        save_png(_draw(file, forecasts, loaded.origin), new, dpi)
    summary = _summarize(loaded, file, forecasts, steps, num_measured)
    summary["fitted"] = fitted
    if file.id:
        summary["left_out"] = short
    with replacing(out.with_suffix(".json")) as new:
        write_json(new, summary)
    _print_summary(loaded, file, summary)
    show(f"{out}, {out.with_suffix('.png').name}, {out.with_suffix('.json').name}")


def _summarize(
    loaded: Loaded[Forecaster],
    file: _Source,
    forecasts: dict[str, _Forecast],
    steps: int,
    num_measured: int,
) -> dict[str, Any]:
    """Return the content of the JSON file; errors are known up to `num_measured` steps ahead."""
    forecast_info = loaded.model.forecast_info
    by_end = sorted(forecasts, key=lambda name: file.series[name].times[-1])  # they may differ
    spans = [file.series[name].continue_times(steps) for name in (by_end[0], by_end[-1])]
    intervals = next((one.intervals for one in forecasts.values() if one.intervals), [])
    summary = {
        "model": loaded.name,
        "series": forecast_info["series"],
        "chosen": loaded.reason,
        "column": file.column,
        "samples": sum(len(file.series[name].samples) for name in forecasts),
        "first": spans[0][0],
        "last": spans[-1][-1],
        "steps": steps,
        "steps_with_intervals": min(steps, num_measured),
        "compared_with_naive": forecast_info["naive"],
        "coverage": {str(interval.level): interval.coverage for interval in intervals},
    }
    if file.id:
        without = [name for name, forecast in forecasts.items() if not forecast.intervals]
        summary |= {"num_series": len(forecasts), "without_interval": without}
    return summary


def _print_summary(loaded: Loaded[Forecaster], file: _Source, summary: dict[str, Any]) -> None:
    """Print what the JSON file says, and messages about the CSV file on stderr."""
    for message in [loaded.note, *file.messages]:
        if message:
            show(message, file=sys.stderr)
    if short := summary.get("left_out"):
        show(f"{len(short)} series are too short to be forecast: {join_some(short, ', ')}")
    if without := summary.get("without_interval"):
        named = join_some(without, ", ")
        show(
            f"{len(without)} series have no interval, because they are shorter than those that "
            f"were scored: {named}"
        )
    show(f"{loaded.origin}, {summary['fitted']}")
    if loaded.reason:
        show(textwrap.fill(loaded.reason, 100))
    if naive := summary["compared_with_naive"]:
        show(f"compared with {naive['baseline']}, a naive forecast: {naive['verdict']}")
    for level, coverage in summary["coverage"].items():
        print(f"prediction interval for {level} %: covered {coverage:.0%} of the test")
    if summary["steps"] > (with_interval := summary["steps_with_intervals"]):
        print(f"no errors were measured more than {with_interval} steps ahead: no interval there")
    if file.id:
        print(f"{summary['num_series']} series, {summary['steps']} steps each")


def _read_source(
    source: Path, entry: ObservedParams | PanelParams | None, given: dict[str, str], name: str
) -> _Source:
    """Read one series or many, by the entry of the series or the given columns."""
    if isinstance(entry, PanelParams):
        params = entry.model_copy(update=given)
        series, messages = read_csv_panel(source, params)
        messages = [join_some(messages, "\n")] if messages else []
        return _Source(name, series, messages, params.id_column, params.time, params.sample_column)
    if entry:
        read_as: CsvParams = entry.model_copy(update=given)
    elif "column" in given:
        read_as = CsvParams.model_validate(given)
    else:
        raise InputError(f"{name} is not a series from a file: name a --column")
    table = read_csv_series(source, read_as, entry.season if entry else 1)
    column = read_as.column
    return _Source(column, {"": table}, table.messages, None, read_as.time, column)


def _forecast(
    loaded: Loaded[Forecaster],
    file: _Source,
    entry: ObservedParams | PanelParams | None,
    steps: int,
    levels: list[int],
) -> tuple[dict[str, _Forecast], list[str]]:
    """Forecast all series of a file, with prediction intervals of these levels in percent.

    Series of equal length are forecast at once.

    Returns:
        The forecasts by series, and the names of series that are too short for the model.
    """
    forecast_info = loaded.model.forecast_info
    floor = (forecast_info["transform"] or {}).get("floor")
    if isinstance(entry, PanelParams):
        floor = entry.floor
    by_length: dict[int, list[str]] = {}
    for name, table in file.series.items():
        by_length.setdefault(len(table.samples), []).append(name)
    found: dict[str, _Forecast] = {}
    short = []
    for names in by_length.values():
        histories = [file.series[name].samples for name in names]
        if file.id and len(histories[0]) < _FEWEST:
            short += names
            continue
        try:
            forecasts: _Samples = loaded.model.predict(np.stack(histories), steps)
        except ValueError as error:
            if not file.id:
                raise InputError(str(error)) from None
            short += names
            continue
        scales, known = np.ones(len(names)), levels
        if isinstance(entry, PanelParams):
            scales = measure_naive_errors(histories, entry.season)
            is_scored = len(histories[0]) >= entry.shortest_scored
            known = levels if is_scored else []
        for name, forecast, scale in zip(names, forecasts, scales, strict=True):
            intervals = _list_intervals(forecast, forecast_info, floor, known, scale)
            found[name] = _Forecast(forecast, intervals)
    if not found:
        raise InputError(f"all series are too short for {loaded.name}: add rows")
    return {name: found[name] for name in file.series if name in found}, short


def _load(series: str | None, model: str | None, from_mlflow: bool) -> Loaded[Forecaster]:
    """Load the champion of a series, or a model."""
    if series == "surnames":
        raise InputError("surnames is not a series: use `srn predict NAME`")
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


def _find_entry(series: str) -> ObservedParams | PanelParams | None:
    """Return the entry of an observed series in params.yaml, None for other series."""
    entries = read_params("observed_series", dict[str, Any])
    if series not in entries:
        return None
    where = f"params.yaml: observed_series.{series}"
    found: ObservedParams | PanelParams = check_params(entries[series], OBSERVED, where)
    return found


def _refit_problem(
    loaded: Loaded[Forecaster],
    entry: ObservedParams | PanelParams | None,
    source: Path,
    as_scored: bool,
) -> str | None:
    """Return why a model cannot be fitted again to the whole file, or None."""
    if as_scored:
        return "--as-scored was given"
    if not entry:
        return "its series is not from a file"
    if source.resolve() != Path(entry.path).resolve():
        return f"{source.name} is not {entry.path}, which it was trained on"
    if not loaded.is_locked:
        return "dvc.lock has no recipe of it"
    series = loaded.model.forecast_info["series"]
    for name in (loaded.name, f"{series}_baseline"):  # a baseline may be part of a combination
        if not find_scores("forecasting", name).exists():
            return f"the scores of {name} are missing: `make pull` fetches them"
    return None


def _list_intervals(
    forecast: _Samples,
    forecast_info: _ForecastInfo,
    floor: float | None,
    levels: list[int],
    scale: float,
) -> list[_Interval]:
    """Return the prediction intervals of a forecast `(n,)`, per level, never below the floor."""
    intervals = []
    for level in levels:
        measured = forecast_info["prediction_intervals"][str(level)]
        half = scale * np.array(measured["half_width"][: len(forecast)])
        low, high = forecast[: len(half)] - half, forecast[: len(half)] + half
        if floor is not None:
            low = np.maximum(low, floor)
        intervals.append(_Interval(level, low, high, measured["coverage"]))
    return intervals


def _write_csv(
    path: Path, file: _Source, forecasts: dict[str, _Forecast], steps: int, levels: list[int]
) -> None:
    """Write one row per series and step; interval cells without measured errors stay empty."""
    rows: list[list[str | float | None]] = []
    for name, forecast in forecasts.items():
        times = file.series[name].continue_times(steps)
        for step, value in enumerate(forecast.samples.tolist()):
            row: list[str | float | None] = [name] if file.id else []
            row += [times[step], value]
            for interval in forecast.intervals:
                for end in (interval.low, interval.high):
                    row.append(float(end[step]) if step < len(end) else None)
            row += [None] * (2 * (len(levels) - len(forecast.intervals)))
            rows.append(row)
    ends = [f"{end}_{level}" for level in levels for end in ("low", "high")]
    write_table(
        path, [*([file.id] if file.id else []), file.time or "row", file.column, *ends], rows
    )


def _draw(file: _Source, forecasts: dict[str, _Forecast], origin: str) -> Figure:
    """Draw the end of the history and the forecast, for a few series if there are many."""
    candidates = [of for of, forecast in forecasts.items() if forecast.intervals] or [*forecasts]
    shown = candidates[:: math.ceil(len(candidates) / _MOST_DRAWN)]
    title = f"Forecast of {file.name}"
    if file.id:
        title += f": {len(shown)} of {len(forecasts)} series"
    num_columns = min(2, len(shown))
    num_rows = -(-len(shown) // num_columns)
    height = 4.0 if num_rows == 1 else 2.2 * num_rows + 1.0
    figure = make_figure(title, origin, width=8 * num_columns**0.5, height=height)
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for name, axes in zip(shown, panels, strict=False):
        _draw_series(axes, file, file.series[name], forecasts[name])
        if file.id:
            axes.set(title=clean_message(name), xlabel="")
    for axes in panels[len(shown) :]:
        axes.remove()
    if file.id:
        add_legend(figure)
    else:
        panels[0].legend(loc="upper left")  # several levels have no room beside the title
    return figure


def _draw_series(axes: Axes, file: _Source, table: CsvSeries, forecast: _Forecast) -> None:
    """Draw one series; steps without an interval are dotted."""
    steps, intervals = len(forecast.samples), forecast.intervals
    shown = slice(-max(3 * steps, 24), None)
    axes.plot(table.times[shown], table.samples[shown], color=TARGET_COLOR, label="history")
    times = table.times[-1] + table.find_days_ahead(steps)
    num_measured = len(intervals[0].low) if intervals else 0
    # from the last sample on, so that the line does not break
    line = np.append(table.samples[-1], forecast.samples)
    at = np.append(table.times[-1], times)
    axes.plot(
        at[: num_measured + 1], line[: num_measured + 1], color=FORECAST_COLOR, label="forecast"
    )
    if steps > num_measured:
        label = f"more than {num_measured} steps ahead: never measured"
        axes.plot(at[num_measured:], line[num_measured:], color=FORECAST_COLOR, ls=":", label=label)
    for interval in intervals:
        label = f"{interval.level} % prediction interval (covered {interval.coverage:.0%})"
        bounds = interval.low, interval.high
        style: dict[str, Any] = {"color": FORECAST_COLOR, "alpha": 0.15, "lw": 0, "label": label}
        axes.fill_between(times[:num_measured], *bounds, **style)
    axes.set(xlabel=file.time or "row", ylabel="" if file.id else file.column)
    if table.dates is not None:
        show_dates(axes)
