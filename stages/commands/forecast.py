"""Forecast a column of a CSV file: `python -m stages.commands.forecast series.csv y forecast.csv`.

Asks the champion in MLflow, or the workspace's best sine model where nothing is registered; with
`--model carried_rnn` that one, whichever of the two has it. The picture goes beside the forecast,
`forecast.png`. Nothing is rescaled: samples should be spaced and
sized like those that the model was trained on.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.commands.checks import check_folder
from stages.shared.errors import InputError, exit_on_input_error
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
from stages.shared.tables import read_table, write_table
from stages.tracking.predictors import load_predictor

Samples = NDArray[np.float64]


def read_column(path: Path, column: str) -> Samples:
    """Read the numbers of one column, oldest first.

    Raises:
        InputError: no such file or column, or a cell that is no number.
    """
    try:
        rows = read_table(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}): give a CSV file") from None
    if not rows:
        raise InputError(f"{path} has no rows: give a CSV file with a header and samples below it")
    if column not in rows[0]:
        known = ", ".join(rows[0])
        raise InputError(f"{path} has no column {column} ({known}): name one that it has")
    try:
        samples = np.array([row[column] for row in rows]).astype(np.float64)
    except ValueError as error:
        raise InputError(f"{path}, column {column}: {error}: correct that cell") from None
    if not np.isfinite(samples).all():
        raise InputError(f"{path}, column {column} has NaN or infinite values: fill them in")
    return samples


def draw(history: Samples, forecast: Samples, column: str, origin: str) -> Figure:
    """The end of the history and what follows it."""
    figure = make_figure(f"Forecast of {column}", origin, width=8, height=3.5)
    axes = figure.subplots()
    shown = history[-3 * len(forecast) :]
    steps = np.arange(len(history) - len(shown), len(history) + len(forecast))
    axes.plot(steps[: len(shown)], shown, color=GREY, label="history")
    axes.plot(steps[len(shown) :], forecast, color=BLUE, label="forecast")
    axes.set(xlabel="step (samples)", ylabel=column)
    add_legend(figure)
    return figure


def main(source: Path, column: str, out: Path, horizon: int, model: str | None) -> None:
    """Write the forecast as CSV and PNG; steps go on counting the rows that were read, from 0."""
    check_folder()
    params = read_params("figures", FigureParams)
    history = read_column(source, column)
    predictor = load_predictor("sine", model)
    forecast: Samples = predictor.predict(history[None], horizon=horizon)[0]
    write_table(out, ["step", column], enumerate(forecast.tolist(), start=len(history)))
    picture = out.with_suffix(".png")
    with figure_style():
        save_png(draw(history, forecast, column, predictor.origin), picture, params.dpi)
    print(f"{predictor.origin}: {out}, {picture}")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, metavar="CSV")
    parser.add_argument("column")
    parser.add_argument("out", type=Path, help="CSV file to write")
    parser.add_argument("--model", help="of dvc.lock (default: the champion, or else the best)")
    parser.add_argument("--horizon", type=int, default=100, help="samples (default: 100)")
    arguments = parser.parse_args()
    if arguments.horizon < 1:
        parser.error(f"--horizon must be at least 1, not {arguments.horizon}")
    if arguments.out.suffix != ".csv" or arguments.out == arguments.source:
        parser.error(f"{arguments.out} must be another .csv file; the picture goes beside it")
    if not arguments.out.parent.is_dir():
        parser.error(f"{arguments.out.parent} is no folder: make it first")
    return arguments


if __name__ == "__main__":
    with exit_on_input_error():
        arguments = parse_arguments()
        source, out = arguments.source, arguments.out
        main(source, arguments.column, out, arguments.horizon, arguments.model)
