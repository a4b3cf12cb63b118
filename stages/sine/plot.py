"""Draw a sine forecaster: data/trained/, data/evaluated/, data/preprocessed/ -> data/plotted/.

Run by DVC as `python -m stages.sine.plot TRAINED EVALUATED OUT WINDOWS`; without WINDOWS, the
.npz that the model was trained on, there are no figures of the data. What the files hold decides
which figures appear, never the name of a model.
"""

import json
import sys
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from stages.shared.errors import exit_on_input_error
from stages.shared.figures import (
    ClippingParams,
    Color,
    CurveParams,
    add_legend,
    draw_gradient_norm,
    draw_loss,
    figure_style,
    has_values,
    make_figure,
    read_curves,
    read_table,
    save_figures,
)
from stages.shared.params import read_params

Arrays = Mapping[str, np.ndarray]

ERROR = "mean squared error (amplitude²)"
TIME = "time (units of the series)"
AMPLITUDE = "amplitude"
ROUNDING = 1e-16  # smaller errors are drawn as this one: they are rounding


class PlotSineParams(CurveParams):
    """Section `plot_sine` of params.yaml."""

    input_color: Color  # what a network is given
    target_color: Color  # what it should answer
    prediction_color: Color  # what it answers in training
    truth_color: Color  # the series
    forecast_color: Color  # what it answers in a test
    test_color: Color  # the part of a series that is never trained on
    bar_colors: list[Color] = Field(min_length=1)  # the network, then each baseline


def is_windowed(windows: Arrays) -> bool:
    """Whether each window has one target, the sample after it, instead of one for each sample."""
    return windows["targets"].shape[1] < windows["inputs"].shape[1]


def time_inputs(target_times: np.ndarray, num_inputs: int, step: float) -> np.ndarray:
    """Abscissa of a window: the times of its targets, or, before a single target, its own."""
    if len(target_times) == num_inputs:
        return target_times
    return target_times[0] - step * np.arange(num_inputs, 0, -1)


def join_windows(windows: Arrays, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of the first segment that windows were slid over, `(T,)` each."""
    times = windows["times"][:, 0]
    breaks = np.flatnonzero(~np.isclose(np.diff(times), step))  # the next segment starts there
    end = breaks[0] + 1 if len(breaks) else len(times)
    first = windows["inputs"][0]
    values = np.concatenate([first, windows["targets"][:end, 0]])
    return np.concatenate([time_inputs(times, len(first), step), times[:end]]), values


def draw_window(windows: Arrays, step: float, subject: str, params: PlotSineParams) -> Figure:
    """The first window: its input and its target."""
    inputs, times = windows["inputs"][0], windows["times"][0]
    figure = make_figure("First window", subject, params.width, params.height)
    axes = figure.subplots()
    abscissa = time_inputs(times, len(inputs), step)
    look = {"ls": "", "marker": "o", "ms": 5, "alpha": 0.8}
    axes.plot(abscissa, inputs, color=params.input_color, label="input", **look)
    axes.plot(times, windows["targets"][0], color=params.target_color, label="target", **look)
    same = "" if is_windowed(windows) else ", of the target; the input is one sample earlier"
    axes.set(xlabel=TIME + same, ylabel=AMPLITUDE)
    add_legend(figure)
    return figure


def draw_snapshots(snapshots: Arrays, step: float, subject: str, params: PlotSineParams) -> Figure:
    """Input and prediction at a few updates of training, a panel each."""
    rows = -(-len(snapshots["iterations"]) // 2)
    figure = make_figure("Learning", subject, 1.3 * params.width, 0.7 * params.height * rows)
    panels = figure.subplots(rows, 2, sharey=True, squeeze=False).flat
    for i, iteration in enumerate(snapshots["iterations"]):
        times, inputs = snapshots["times"][i], snapshots["inputs"][i]
        axes = panels[i]
        axes.plot(times, snapshots["targets"][i], color="0.75", lw=4, label="target")
        abscissa = time_inputs(times, len(inputs), step)
        axes.plot(abscissa, inputs, ".", color=params.input_color, label="input")
        look = {"color": params.prediction_color, "label": "prediction"}
        axes.plot(times, snapshots["predictions"][i], ".", **look)
        axes.set(title=f"step {iteration}", xlabel=TIME)
    for axes in panels[len(snapshots["iterations"]) :]:
        axes.remove()
    figure.supylabel(AMPLITUDE)
    add_legend(figure)
    return figure


def draw_series(windows: Arrays, step: float, subject: str, params: PlotSineParams) -> Figure:
    """The whole series, training part and test part alike."""
    times, values = join_windows(windows, step)
    figure = make_figure("Series", subject, 1.3 * params.width, params.height)
    axes = figure.subplots()
    times = np.concatenate([times, windows["test_times"]])
    axes.plot(times, np.concatenate([values, windows["test"]]), color=params.truth_color)
    axes.set(xlabel=TIME, ylabel=AMPLITUDE)
    return figure


def draw_split(windows: Arrays, step: float, subject: str, params: PlotSineParams) -> Figure:
    """Which part of the series trains and which tests."""
    figure = make_figure("Training and test part", subject, 1.3 * params.width, params.height)
    axes = figure.subplots()
    train, test = join_windows(windows, step), (windows["test_times"], windows["test"])
    axes.plot(*train, color=params.truth_color, label=f"training ({len(train[1])} samples)")
    axes.plot(*test, color=params.test_color, label=f"test ({len(test[1])} samples)")
    axes.set(xlabel=TIME, ylabel=AMPLITUDE)
    add_legend(figure)
    return figure


def draw_document_test(
    forecasts: Arrays, windows: Arrays | None, mse: float, subject: str, params: PlotSineParams
) -> Figure:
    """The system's own test; of a long series, its end."""
    times, truth = forecasts["document_times"], forecasts["document_truth"]
    figure = make_figure("The system's own test", subject, params.width, params.height)
    axes = figure.subplots()
    if windows is not None and is_windowed(windows):
        past_times, past = join_windows(windows, float(forecasts["step"]))
        axes.plot(past_times, past, color=params.truth_color, lw=1, alpha=0.6)
        length = times[-1] - times[0]
        axes.set_xlim(times[0] - 1.5 * length, times[-1] + 0.05 * length)
    look = {"color": params.truth_color, "lw": 1, "marker": "o", "ms": 8, "alpha": 0.6}
    axes.plot(times, truth, label="truth", **look)
    look = {"ls": "", "marker": "o", "ms": 3.5, "color": params.forecast_color}
    axes.plot(times[1:], forecasts["document_forecast"], label="forecast", **look)
    axes.set_title(f"mean squared error {mse:.2g} over {len(times) - 1} steps")
    axes.set(xlabel=TIME, ylabel=AMPLITUDE)
    add_legend(figure)
    return figure


def draw_free_run(forecasts: Arrays, subject: str, params: PlotSineParams) -> Figure:
    """The common test: context and free run from a few phases, near and far."""
    phases, context = forecasts["free_context"].shape
    size = (1.9 * params.width, 0.55 * params.height * phases + 0.8)
    figure = make_figure("Free run after true samples", subject, *size)
    panels = figure.subplots(
        phases, 2, sharex="col", sharey=True, width_ratios=(2, 3), squeeze=False
    )
    for phase, row in enumerate(panels):
        arrays = (forecasts[f"free_{part}"][phase] for part in ("context", "truth", "forecast"))
        known, truth, forecast = arrays
        for axes, steps, mark in zip(
            row, (min(49, len(truth)), len(truth)), (".", ""), strict=True
        ):
            ahead = np.arange(1, steps + 1)
            axes.plot(np.arange(1 - context, 1), known, color=params.input_color, label="context")
            look = {"color": params.truth_color, "lw": 3.5, "alpha": 0.45, "label": "truth"}
            axes.plot(np.append(0, ahead), np.append(known[-1], truth[:steps]), **look)
            look = {
                "color": params.forecast_color,
                "lw": 1,
                "marker": mark,
                "ms": 5,
                "label": "forecast",
            }
            axes.plot(ahead, forecast[:steps], **look)
            mse = np.mean((truth[:steps] - forecast[:steps]) ** 2)
            axes.set_title(f"phase {phase + 1}, {steps} steps: mean squared error {mse:.2g}")
    peak = np.abs(forecasts["free_truth"]).max()
    panels[0, 0].set_ylim(-1.4 * peak, 1.4 * peak)  # a forecast that explodes leaves the picture
    figure.supylabel(AMPLITUDE)
    for axes in panels[-1]:
        axes.set_xlabel("steps after the last true sample")
    add_legend(figure)
    return figure


def name_measure(column: str) -> str:
    """`free_run_mse_49` -> `free run, 49 steps`."""
    kind, _, steps = column.partition("_mse")
    return kind.replace("_", " ") + (f",\n{steps[1:]} steps" if steps else "")


def draw_baselines(rows: list[dict[str, str]], subject: str, params: PlotSineParams) -> Figure:
    """Errors of the network beside those of forecasters that learn little or nothing."""
    measures = [name for name in rows[0] if name != "forecaster"]
    figure = make_figure("What the network is worth", subject, 1.5 * params.width, params.height)
    axes = figure.subplots()
    width = 0.85 / len(rows)
    for i, (row, color) in enumerate(zip(rows, cycle(params.bar_colors), strict=False)):
        errors = np.array([float(row[measure]) for measure in measures])
        left = np.arange(len(measures)) + (i - (len(rows) - 1) / 2) * width
        heights = np.maximum(errors, ROUNDING)
        bars = axes.bar(left, heights, 0.9 * width, color=color, label=row["forecaster"])
        labels = [f"{error:.2g}" if error >= 0.001 else f"{error:.0e}" for error in errors]
        axes.bar_label(bars, labels, fontsize=6.5, padding=1)
        if errors.min() < ROUNDING:
            axes.set_xlabel(f"errors below {ROUNDING:g} are rounding: their bars end there")
    axes.set(yscale="log", ylabel=ERROR)
    axes.set_xticks(range(len(measures)), [name_measure(measure) for measure in measures])
    axes.grid(visible=False, axis="x")
    add_legend(figure)
    return figure


def draw_figures(
    trained: Path, evaluated: Path, windows: Arrays | None, params: PlotSineParams
) -> dict[str, Figure]:
    """Every figure that the files have data for, by its file's name."""
    metrics = json.loads((evaluated / "metrics.json").read_text(encoding="utf-8"))
    forecasts, snapshots = np.load(evaluated / "forecasts.npz"), np.load(trained / "snapshots.npz")
    step, mse = float(forecasts["step"]), metrics["document_mse"]
    subject = f"model {trained.name} · series {metrics['data']}"
    curves = read_curves(trained / "curves.csv")
    rows = read_table(evaluated / "baselines.csv")
    figures = {
        "loss": draw_loss(curves, "RNN LOSS", ERROR, subject, params),
        "document": draw_document_test(forecasts, windows, mse, subject, params),
        "free_run": draw_free_run(forecasts, subject, params),
        "baselines": draw_baselines(rows, subject, params),
    }
    if has_values(curves, "gradient_norm"):
        clip_norm = read_params(f"sine.{trained.name}", ClippingParams).clip_norm
        figures["gradient_norm"] = draw_gradient_norm(curves, clip_norm, subject, params)
    if len(snapshots["iterations"]):
        figures["snapshots"] = draw_snapshots(snapshots, step, subject, params)
    if windows is not None:
        figures["window"] = draw_window(windows, step, subject, params)
        if is_windowed(windows):
            figures["series"] = draw_series(windows, step, subject, params)
            figures["split"] = draw_split(windows, step, subject, params)
    return figures


def main(trained: str, evaluated: str, out: str, windows: str | None = None) -> None:
    """Write the figures of one model."""
    params = read_params("plot_sine", PlotSineParams)
    arrays = dict(np.load(windows)) if windows else None
    with figure_style():
        figures = draw_figures(Path(trained), Path(evaluated), arrays, params)
        save_figures(figures, Path(out), params.dpi)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
