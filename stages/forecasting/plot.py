"""Draw a forecaster: data/trained/, data/evaluated/, data/preprocessed/ -> data/plotted/.

Run by DVC as `python stages/run.py forecasting.plot TRAINED EVALUATED WINDOWS BASELINES OUT`. What
the files hold decides which figures appear, never the name of a model.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.forecasting.baselines import fit_autoregression
from stages.forecasting.series import Series, Units, read_series, time_inputs
from stages.forecasting.snapshots import read_snapshots
from stages.shared.command import run_as_command
from stages.shared.figures import (
    BLUE,
    GREEN,
    HEIGHT,
    LOSS_COLOR,
    ORANGE,
    PINK,
    WIDTH,
    YELLOW,
    FigureParams,
    add_legend,
    draw_curves,
    figure_style,
    make_figure,
    save_figures,
)
from stages.shared.json_files import Baselines, read_baselines, read_json
from stages.shared.model_config import read_config
from stages.shared.params import read_params, read_value
from stages.shared.tables import Curves, read_curves

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]
Parts = Mapping[str, tuple[Array, Array]]  # times and samples of training, validation, test

MAIN = ("forecast", "baselines")  # figures that every forecaster has
ERROR = "mean squared error (amplitude²)"
TIME = "time (units of the series)"
BASELINE = "ar_best"  # drawn beside the network, where it is among the baselines
ROUNDING = 1e-16  # smaller errors are drawn as this one: they are rounding
NEAR = 49  # steps of a free run in the left panels

INPUT_COLOR = "red"  # what a network is given, as the walk-throughs draw it
ANSWER_COLOR = "blue"  # what it should answer, and what it does answer in training
TARGET_COLOR, FORECAST_COLOR = BLUE, ORANGE
BAR_COLORS = (BLUE, "0.8", "#999999", YELLOW, GREEN, PINK, ORANGE)  # network, then baselines
ALL_STARTS = "walkthrough_mse_all_starts"  # of networks alone
MEASURES = {"walkthrough_mse": "the walk-through's test", "one_step_mse": "one step"}
PART_COLORS = {"training": BLUE, "validation": GREEN, "test": ORANGE}
SPLIT_TITLES = {2: "Training and test part", 3: "The three parts"}  # by their number
BLUE_LOSS = "blue"
DRAWN_IN_BLUE = {"half_periods"}  # series whose walk-through draws its loss so; the others: red


def draw_window(series: Series, step: float, subject: str) -> Figure:
    """The first window: its input and its target."""
    windows = series.windows
    inputs, targets, times = windows.inputs[0], windows.targets[0], windows.times[0]
    figure = make_figure("First window", subject)
    axes = figure.subplots()
    look: dict[str, Any] = {"ls": "", "marker": "o", "ms": 5, "alpha": 0.8}
    abscissa = time_inputs(times, len(inputs), step)
    axes.plot(abscissa, inputs, color=INPUT_COLOR, label="input", **look)
    axes.plot(times, targets, color=ANSWER_COLOR, label="target", **look)
    label = TIME
    if not windows.are_slid:
        label += ", of the target; the input is one sample earlier"
    axes.set(xlabel=label, ylabel=series.units.training_sample)
    add_legend(figure)
    return figure


def draw_snapshots(snapshots: Arrays, step: float, units: Units, subject: str) -> Figure:
    """Input and prediction at a few updates of training, a panel each."""
    num_snapshots = len(snapshots["iterations"])
    num_rows = (num_snapshots + 1) // 2
    figure = make_figure("Learning", subject, 1.3 * WIDTH, 0.7 * HEIGHT * num_rows)
    panels = figure.subplots(num_rows, 2, sharey=True, squeeze=False).ravel()
    marker = "." if snapshots["times"].shape[1] > 1 else "o"
    for i, iteration in enumerate(snapshots["iterations"]):
        times, inputs = snapshots["times"][i], snapshots["inputs"][i]
        targets, predictions = snapshots["targets"][i], snapshots["predictions"][i]
        axes = panels[i]
        if marker == ".":
            axes.plot(times, targets, color="0.75", lw=4, label="target")
        else:
            axes.plot(times, targets, marker, color="0.75", ms=9, label="target")
        abscissa = time_inputs(times, len(inputs), step)
        axes.plot(abscissa, inputs, ".", color=INPUT_COLOR, label="input")
        axes.plot(times, predictions, marker, color=ANSWER_COLOR, label="prediction")
        axes.set(title=f"step {iteration}", xlabel=TIME)
    for axes in panels[num_snapshots:]:
        axes.remove()
    figure.supylabel(units.training_sample)
    add_legend(figure)
    return figure


def draw_series(parts: Parts, units: Units, subject: str) -> Figure:
    """The whole series, all parts alike."""
    times, samples = join_parts(parts)
    figure = make_figure("Series", subject, 1.3 * WIDTH)
    axes = figure.subplots()
    axes.plot(times, samples, color=TARGET_COLOR)
    axes.set(xlabel=units.time, ylabel=units.sample)
    return figure


def draw_split(parts: Parts, units: Units, subject: str) -> Figure:
    """Which part of the series trains, which recipes are chosen on, and which tests."""
    figure = make_figure(SPLIT_TITLES[len(parts)], subject, 1.3 * WIDTH)
    axes = figure.subplots()
    for name, (times, samples) in parts.items():
        label = f"{name} ({len(samples)} samples)"
        axes.plot(times, samples, color=PART_COLORS[name], label=label)
    axes.set(xlabel=units.time, ylabel=units.sample)
    add_legend(figure)
    return figure


def join_parts(parts: Parts) -> tuple[Array, Array]:
    """Times and samples of all parts, `(T,)` each."""
    times, samples = zip(*parts.values(), strict=True)
    return np.concatenate(times), np.concatenate(samples)


def draw_walkthrough_test(
    forecasts: Arrays, parts: Parts, units: Units, mse: float, subject: str
) -> Figure:
    """The test of the walk-through; of a long series, its end."""
    times, targets = forecasts["walkthrough_times"], forecasts["walkthrough_truth"]
    figure = make_figure("The walk-through's own test", subject)
    axes = figure.subplots()
    if parts:
        axes.plot(*parts["training"], color=TARGET_COLOR, lw=1, alpha=0.6)
        length = times[-1] - times[0]
        axes.set_xlim(times[0] - 1.5 * length, times[-1] + 0.05 * length)
    axes.plot(times, targets, "o-", color=TARGET_COLOR, lw=1, ms=8, alpha=0.6, label="truth")
    predictions = forecasts["walkthrough_forecast"]
    axes.plot(times[1:], predictions, "o", color=FORECAST_COLOR, ms=3.5, label="forecast")
    axes.set_title(f"mean squared error {mse:.2g} over {len(times) - 1} steps")
    axes.set(xlabel=units.time, ylabel=units.sample)
    add_legend(figure)
    return figure


def draw_closed_loop(forecasts: Arrays, units: Units, subject: str) -> Figure:
    """The backtest of a generated series: forecasts from a few phases, near and far."""
    contexts, targets = forecasts["free_context"], forecasts["free_truth"]
    num_phases = len(targets)
    height = 0.55 * HEIGHT * num_phases + 0.8
    figure = make_figure("Free run after true samples", subject, 1.9 * WIDTH, height)
    panels = figure.subplots(
        num_phases, 2, sharex="col", sharey=True, width_ratios=(2, 3), squeeze=False
    )
    for phase, (near, far) in enumerate(panels):
        context, target = contexts[phase], targets[phase]
        forecast = forecasts["free_forecast"][phase]
        draw_phase(near, phase, context, target[:NEAR], forecast[:NEAR], marker=".")
        draw_phase(far, phase, context, target, forecast, marker="")
    peak = np.abs(targets).max()
    panels[0, 0].set_ylim(-1.4 * peak, 1.4 * peak)  # a forecast that explodes leaves the picture
    figure.supylabel(units.sample)
    for axes in panels[-1]:
        axes.set_xlabel("steps after the last true sample")
    add_legend(figure)
    return figure


def draw_phase(
    axes: Axes, phase: int, context: Array, target: Array, forecast: Array, marker: str
) -> None:
    """One panel of them."""
    num_steps = len(target)
    before, ahead = np.arange(1 - len(context), 1), np.arange(1, num_steps + 1)
    axes.plot(before, context, color=INPUT_COLOR, label="context")
    joined = np.append(context[-1], target)
    from_last = np.append(0, ahead)
    axes.plot(from_last, joined, color=TARGET_COLOR, lw=3.5, alpha=0.45, label="truth")
    axes.plot(ahead, forecast, color=FORECAST_COLOR, lw=1, marker=marker, ms=5, label="forecast")
    mse = np.mean((target - forecast) ** 2)
    axes.set_title(f"phase {phase + 1}, {num_steps} steps: mean squared error {mse:.2g}")


def draw_origins(
    series: Series,
    parts: Parts,
    first: int,
    forecasts: Arrays,
    interval: Array,
    baselines: Baselines,
    subject: str,
) -> Figure:
    """Forecasts of the network in their prediction interval, beside those of AR(p).

    Args:
        series: which series.
        parts: of it.
        first: number of the first sample that is forecast, in the parts joined.
        forecasts: as `evaluate` keeps them, one row per origin, one horizon apart.
        interval: `(2, n)`, to be added to a forecast.
        baselines: which say the order of AR.
        subject: which model on which data.
    """
    contexts, predictions = forecasts["free_context"], forecasts["free_forecast"]
    num_origins, steps = predictions.shape
    end = first + num_origins * steps
    all_times, samples = join_parts(parts)
    times = all_times[first:end].reshape(num_origins, steps)
    figure = make_figure("Forecasts of what was held back", subject, 1.9 * WIDTH, 1.1 * HEIGHT)
    axes = figure.subplots()
    shown = slice(max(0, first - 2 * steps), end)
    look: dict[str, Any] = {"color": BLUE, "lw": 3.5, "alpha": 0.35, "label": "truth"}
    axes.plot(all_times[shown], samples[shown], **look)
    for row in range(num_origins):
        label = "band for 80 %" if row == 0 else None
        bounds = predictions[row] + interval
        axes.fill_between(times[row], *bounds, color=ORANGE, alpha=0.15, lw=0, label=label)
    draw_rows(axes, times, predictions, color=ORANGE, marker=".", label="network")
    if BASELINE in baselines:
        order = baselines[BASELINE]["order"]
        linear = series.restore_units(fit_autoregression(series.join_training(), order))
        look = {"color": GREEN, "ls": "--", "label": f"AR({order})"}
        draw_rows(axes, times, linear(contexts, steps), **look)
    axes.set_title(f"{steps} steps from each of {num_origins} origins")
    axes.set(xlabel=series.units.time, ylabel=series.units.sample)
    add_legend(figure)
    return figure


def draw_rows(axes: Axes, times: Array, forecasts: Array, label: str, **look: Any) -> None:
    """One line a forecast, all under one label."""
    for row, forecast in enumerate(forecasts):
        axes.plot(times[row], forecast, lw=1.3, label=label if row == 0 else None, **look)


def name_measure(metric: str) -> str:
    """`mse_49` -> `free run, 49 steps`."""
    if metric in MEASURES:
        return MEASURES[metric]
    return f"free run,\n{metric.removeprefix('mse_')} steps"


def draw_baselines(
    scores: Mapping[str, Any], baselines: Baselines, units: Units, subject: str
) -> Figure:
    """Errors of the network beside those of forecasters that learn little or nothing."""
    forecasters = {"network": scores, **baselines}
    measures = [name for name in scores if "mse" in name and name != ALL_STARTS]
    figure = make_figure("What the network is worth", subject, 1.9 * WIDTH)
    axes = figure.subplots()
    width = 0.85 / len(forecasters)
    for i, (name, of_one) in enumerate(forecasters.items()):
        errors = np.array([of_one[measure] for measure in measures])
        left = np.arange(len(measures)) + (i - (len(forecasters) - 1) / 2) * width
        color = BAR_COLORS[i % len(BAR_COLORS)]
        heights = np.maximum(errors, ROUNDING)
        bars = axes.bar(left, heights, 0.9 * width, color=color, label=name)
        axes.bar_label(bars, [say_error(error) for error in errors], fontsize=6.5, padding=1)
        if errors.min() < ROUNDING:
            axes.set_xlabel(f"errors below {ROUNDING:g} are rounding: their bars end there")
    axes.set(yscale="log", ylabel=units.squared_error)
    axes.set_xticks(range(len(measures)), [name_measure(measure) for measure in measures])
    axes.grid(visible=False, axis="x")
    add_legend(figure)
    return figure


def say_error(error: float) -> str:
    """Two digits where that is readable, else the order of magnitude."""
    return f"{error:.2g}" if error >= 0.001 else f"{error:.0e}"


def plot(
    name: str,
    curves: Curves,
    clip_norm: float | None,
    network: Mapping[str, Any],
    snapshots: Arrays,
    scores: Mapping[str, Any],
    baselines: Baselines,
    forecasts: Arrays,
    series: Series,
    interval: Array,
) -> dict[str, Figure]:
    """Every figure of one model, by its file's name.

    Args:
        name: of the model.
        curves: of its training.
        clip_norm: largest total gradient norm that an update could have; None: any.
        network: arguments of its architecture.
        snapshots: as `read_snapshots` gives them.
        scores: as `evaluate` gives them.
        baselines: by name, as `score_baselines` gives them.
        forecasts: as `evaluate` gives them.
        series: what the model was trained on.
        interval: `(2, n)`, what most errors lie between.
    """
    step = float(forecasts["step"])
    subject = f"model {name} · series {scores['data']}"
    color = BLUE_LOSS if scores["data"] in DRAWN_IN_BLUE else LOSS_COLOR
    units, parts = series.units, series.split_parts(step)
    origin = series.find_origin(scores.get("split", "test"))
    figures = {
        **draw_curves(curves, clip_norm, network, ERROR, subject, color),
        "window": draw_window(series, step, subject),
        "snapshots": draw_snapshots(snapshots, step, units, subject),
        "baselines": draw_baselines(scores, baselines, units, subject),
    }
    if origin is None:
        figures["forecast"] = draw_closed_loop(forecasts, units, subject)
    else:
        figures["forecast"] = draw_origins(
            series, parts, origin, forecasts, interval, baselines, subject
        )
    if "walkthrough_mse" in scores:  # not while the test is hidden
        mse = scores["walkthrough_mse"]
        figures["walkthrough"] = draw_walkthrough_test(forecasts, parts, units, mse, subject)
    if parts:
        figures["split"] = draw_split(parts, units, subject)
    if series.windows.are_slid:
        figures["series"] = draw_series(parts, units, subject)
    return figures


def main(trained: str, evaluated: str, windows: str, baselines: str, out: str) -> None:
    """Write the figures of one model."""
    name = Path(trained).name
    dpi = read_params("figures", FigureParams).dpi
    with np.load(Path(evaluated) / "forecasts.npz") as arrays:
        forecasts = dict(arrays)
    band = read_json(Path(evaluated) / "scope.json")["band"]
    with figure_style():
        figures = plot(
            name,
            read_curves(Path(trained) / "curves.csv"),
            read_value(f"forecasters.{name}.clip_norm"),
            read_config(Path(trained)).network,
            read_snapshots(Path(trained) / "snapshots.npz"),
            read_json(Path(evaluated) / "scores.json"),
            read_baselines(Path(baselines)),
            forecasts,
            read_series(Path(windows), with_params=False),
            np.array([band["low"], band["high"]]),
        )
        save_figures(figures, MAIN, Path(out), dpi)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
