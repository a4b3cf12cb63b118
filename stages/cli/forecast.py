"""Forecast a column of a CSV file.

`srn forecast series.csv y forecast.csv`.
`--series sunspots` asks the champion of that series in champions.yaml, or the best model of the
workspace where there is none; `--model carried_rnn` that model of dvc.lock. The forecast
has a prediction interval from the errors on validation; its picture is written beside it. A history
unlike what the model was trained on is rejected, since networks answer anything.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.forecasting.observed import find_spacing, read_samples
from stages.shared.errors import InputError
from stages.shared.figures import (
    BLUE,
    GREY,
    FigureParams,
    add_legend,
    figure_style,
    make_figure,
    save_png,
)
from stages.shared.params import read_params
from stages.shared.tables import write_table
from stages.tracking.load_model import Loaded, load_champion, load_named
from stages.tracking.run_specs import check_dvc_listings, read_models
from stages.tracking.served_models.loader import Forecaster

_Samples = NDArray[np.float64]
_Scope = dict[str, Any]  # as stages/forecasting/evaluate.py writes it
_Interval = tuple[list[float], list[float]]  # low and high, a value a step

_MARGIN = 0.25  # of the range of training, by which a history may leave it: records are broken
_SPACING = 0.05  # share by which its spacing may differ: months do
_MOST_STEPS = 100  # of a forecast without --horizon


def history_problem(history: _Samples, spacing: float | None, scope: _Scope) -> str | None:
    """Say, with the numbers, how a history is unlike what the model was trained on, or nothing.

    Args:
        history: oldest sample first.
        spacing: time between its samples; None: unknown.
        scope: of the model.
    """
    least, lowest, highest = scope["least_history"], scope["lowest"], scope["highest"]
    margin = _MARGIN * (highest - lowest)
    if len(history) < least:
        return (
            f"a history of {len(history)} samples is too short: the model was scored after {least}"
        )
    if history.min() < lowest - margin or history.max() > highest + margin:
        return (
            f"a history from {history.min():g} to {history.max():g} is not what the model was "
            f"trained on: {scope['series']} lies between {lowest:g} and {highest:g}"
        )
    trained = scope["spacing"]
    if spacing and trained and abs(spacing / trained - 1) > _SPACING:
        return f"samples {spacing:g} apart are not what the model was trained on: {trained:g} apart"
    return None


def _load(series: str | None, model: str | None, from_mlflow: bool) -> Loaded[Forecaster]:
    """The model that is asked.

    Raises:
        InputError: neither is named.
    """
    if model:
        return load_named(Forecaster, "forecasting", model)
    if series:
        return load_champion(Forecaster, series, from_mlflow)
    models = [model for model in read_models() if model.experiment == "forecasting"]
    known = sorted({model.params["series"] for model in models})
    raise InputError(
        f"say which series it is: --series {', '.join(known)}; a series of your own becomes an "
        "entry of observed_series in params.yaml. Or name a model: --model"
    )


def _add_interval(forecast: _Samples, scope: _Scope) -> _Interval:
    """Lower and upper ends, as far as errors were measured."""
    steps = min(len(forecast), len(scope["band"]["low"]))
    low = forecast[:steps] + np.array(scope["band"]["low"][:steps])
    high = forecast[:steps] + np.array(scope["band"]["high"][:steps])
    return low.tolist(), high.tolist()


def _draw(
    history: _Samples,
    forecast: _Samples,
    interval: _Interval,
    column: str,
    origin: str,
) -> Figure:
    """The end of the history and what follows it."""
    figure = make_figure(f"Forecast of {column}", origin, width=8, height=3.5)
    axes = figure.subplots()
    shown = history[-3 * len(forecast) :]
    num_before, num_shown = len(history), len(shown)
    axes.plot(range(num_before - num_shown, num_before), shown, color=GREY, label="history")
    # from the last sample on, so that the line does not break
    line = np.append(history[-1], forecast)
    axes.plot(range(num_before - 1, num_before + len(forecast)), line, color=BLUE, label="forecast")
    low, high = interval
    if low:
        steps = range(num_before, num_before + len(low))
        axes.fill_between(
            steps, low, high, color=BLUE, alpha=0.2, lw=0, label="80 % prediction interval"
        )
    axes.set(xlabel="step (samples)", ylabel=column)
    add_legend(figure)
    return figure


def _write_forecast(
    path: Path, column: str, first: int, forecast: _Samples, interval: _Interval
) -> None:
    """Write one row per step; low and high are empty where no errors were measured."""
    low, high = interval
    rows = []
    for step, value in enumerate(forecast.tolist()):
        ends = [low[step], high[step]] if step < len(low) else [None, None]
        rows.append([first + step, value, *ends])
    write_table(path, ["step", column, "low", "high"], rows)


def main(
    source: Path,
    column: str,
    out: Path,
    time: str | None,
    horizon: int | None,
    series: str | None,
    model: str | None,
    force: bool,
    from_mlflow: bool,
) -> None:
    """Write the forecast as CSV and PNG; steps go on counting the rows that were read, from 0.

    Raises:
        InputError: the file cannot be used, or is unlike what the model was trained on.
    """
    if out == source:
        raise InputError(f"{out} would be overwritten: name another file for the forecast")
    check_dvc_listings()
    params = read_params("figures", FigureParams)
    history, times = read_samples(source, column, time)
    loaded = _load(series, model, from_mlflow)
    scope = loaded.model.scope
    problem = history_problem(history, find_spacing(times) if time else None, scope)
    if problem and not force:
        raise InputError(f"{source}: {problem}; --force overrules")
    steps = horizon or min(len(scope["band"]["low"]) or _MOST_STEPS, _MOST_STEPS)
    try:
        forecast: _Samples = loaded.model.predict(history[None], steps)[0]
    except ValueError as error:
        raise InputError(str(error)) from None
    interval = _add_interval(forecast, scope)
    _write_forecast(out, column, len(history), forecast, interval)
    picture = out.with_suffix(".png")
    with figure_style():
        save_png(_draw(history, forecast, interval, column, loaded.origin), picture, params.dpi)
    if loaded.note:
        print(loaded.note, file=sys.stderr)
    print(f"{loaded.origin}: {out}, {picture}")
    if interval[0]:
        print(f"its interval, meant for 80 %, held {scope['coverage']:.0%} of the test")
