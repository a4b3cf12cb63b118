"""Forecast a column of a CSV file.

`srn forecast series.csv y forecast.csv`.
`--series sunspots` uses the champion of that series in champions.yaml, or the best model of the
workspace where there is none; `--model carried_rnn` that model of dvc.lock. The forecast
has a prediction interval from the errors on validation; its picture is written beside it. A history
unlike what the model was trained on is rejected, since a network forecasts from anything.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.forecasting.observed import find_spacing, read_samples
from stages.forecasting.transform import Transform
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
from stages.tracking.load_model import load_champion, load_named
from stages.tracking.run_specs import check_dvc_listings, read_models
from stages.tracking.served_models.loader import Forecaster

_Samples = NDArray[np.float64]
_TrainingRange = dict[str, Any]  # as stages/forecasting/evaluate.py writes it
_Interval = tuple[list[float], list[float]]  # low and high, a value a step

_MARGIN = 0.25  # of the range of training, by which a history may leave it: records are broken
_SPACING = 0.05  # share by which its spacing may differ: months do
_MOST_STEPS = 100  # of a forecast without --horizon


def history_problem(
    history: _Samples, spacing: float | None, training_range: _TrainingRange
) -> str | None:
    """How a history (oldest sample first) differs from what the model was trained on, or None.

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
        return f"samples {spacing:g} apart are not what the model was trained on: {trained:g} apart"
    return None


def _draw(
    history: _Samples, forecast: _Samples, interval: _Interval, column: str, origin: str
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
    if series == "surnames":
        raise InputError("surnames is no series: `srn predict NAME` names their languages")
    if model and from_mlflow:
        raise InputError("--from-mlflow takes a champion: name its --series instead of a --model")
    if model:
        loaded = load_named(Forecaster, "forecasting", model)
    elif series:
        loaded = load_champion(Forecaster, series, from_mlflow)
    else:
        known = sorted(
            {model.params["series"] for model in read_models() if "series" in model.params}
        )
        raise InputError(
            f"name the series: --series {', '.join(known)}; a series of your own becomes an "
            "entry of observed_series in params.yaml. Or name a model: --model"
        )
    training_range = loaded.model.training_range
    problem = history_problem(history, find_spacing(times) if time else None, training_range)
    if problem and not force:
        raise InputError(f"{source}: {problem}; --force overrules")
    steps = horizon or min(len(training_range["interval"]["low"]) or _MOST_STEPS, _MOST_STEPS)
    try:
        forecast: _Samples = loaded.model.predict(history[None], steps)[0]
    except ValueError as error:
        raise InputError(str(error)) from None
    # as far as errors were measured; further on the cells stay empty
    num_bounded = min(steps, len(training_range["interval"]["low"]))
    low, high = (
        (forecast[:num_bounded] + np.array(training_range["interval"][end][:num_bounded])).tolist()
        for end in ("low", "high")
    )
    rows = []
    for step, value in enumerate(forecast.tolist()):
        ends = [low[step], high[step]] if step < num_bounded else [None, None]
        rows.append([len(history) + step, value, *ends])
    write_table(out, ["step", column, "low", "high"], rows)
    picture = out.with_suffix(".png")
    with figure_style():
        figure = _draw(history, forecast, (low, high), column, loaded.origin)
        save_png(figure, picture, params.dpi)
    if loaded.note:
        print(loaded.note, file=sys.stderr)
    print(f"{loaded.origin}: {out}, {picture}")
    if low:
        print(f"its interval, meant for 80 %, held {training_range['coverage']:.0%} of the test")
