"""Draw a forecaster: data/trained/, data/evaluated/, data/preprocessed/ -> data/plotted/.

Run by DVC as `python stages/run.py forecasting.plot TRAINED EVALUATED WINDOWS BASELINES OUT`. The
content of the files decides which figures appear, never the name of a model.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.forecasting.series import Array, Series, Units, read_series
from stages.shared.arrays import read_arrays
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
    show_dates,
)
from stages.shared.json_files import Baselines, read_baselines, read_json
from stages.shared.model_config import read_config
from stages.shared.params import read_params, read_value
from stages.shared.tables import read_curves

_Arrays = Mapping[str, NDArray[Any]]
_Parts = Mapping[str, tuple[Array, Array]]  # times and samples of training, validation, test

MAIN = ("forecast", "baselines")  # figures that every forecaster has
_ROUNDING = 1e-16  # smaller errors are rounding, and drawn as this one

_INPUT_COLOR = "red"  # inputs of a network, as in the walk-throughs
_ANSWER_COLOR = "blue"  # its targets, and its predictions in training
_TARGET_COLOR, _FORECAST_COLOR = BLUE, ORANGE
_BAR_COLORS = (BLUE, "0.8", "#999999", YELLOW, GREEN, PINK, ORANGE)  # network, then baselines
_MEASURES = {"walkthrough_mse": "the walk-through's test", "one_step_mse": "one step"}
_PART_COLORS = {"training": BLUE, "validation": GREEN, "test": ORANGE}


def draw_window(series: Series, step: float, subject: str) -> Figure:
    """The first window: its input and its target."""
    windows = series.windows
    inputs, targets, times = windows.inputs[0], windows.targets[0], windows.times[0]
    figure = make_figure("First window", subject)
    axes = figure.subplots()
    style: dict[str, Any] = {"ls": "", "marker": "o", "ms": 5, "alpha": 0.8}
    input_times = _time_inputs(times, len(inputs), step)
    axes.plot(input_times, inputs, color=_INPUT_COLOR, label="input", **style)
    axes.plot(times, targets, color=_ANSWER_COLOR, label="target", **style)
    _label(axes, series.units)
    label = series.units.time
    if not windows.are_slid:
        label += ", of the target; the input is one sample earlier"
    axes.set(xlabel=label, ylabel=series.units.training_sample)
    add_legend(figure)
    return figure


def draw_snapshots(
    snapshots: _Arrays, step: float, units: Units, subject: str, follow: bool = False
) -> Figure:
    """Input and prediction at a few updates of training, one panel each.

    With `follow` the targets come after all inputs, however many they are.
    """
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
        input_times = _time_inputs(times, len(inputs), step, follow)
        axes.plot(input_times, inputs, ".", color=_INPUT_COLOR, label="input")
        axes.plot(times, predictions, marker, color=_ANSWER_COLOR, label="prediction")
        _label(axes, units)
        axes.set(title=f"step {iteration}", ylabel="")
    for axes in panels[num_snapshots:]:
        axes.remove()
    figure.supylabel(units.training_sample)
    add_legend(figure)
    return figure


def _time_inputs(target_times: Array, num_inputs: int, step: float, follow: bool = False) -> Array:
    """Times of the inputs of a window: those of the targets, or the steps before the first one."""
    if len(target_times) == num_inputs and not follow:
        return target_times
    times: Array = target_times[0] - step * np.arange(num_inputs, 0, -1, dtype=np.float64)
    return times


def _draw_series(parts: _Parts, units: Units, subject: str) -> Figure:
    """The whole series, without its parts."""
    figure = make_figure("Series", subject, 1.3 * WIDTH)
    axes = figure.subplots()
    axes.plot(*_join_parts(parts), color=_TARGET_COLOR)
    _label(axes, units)
    return figure


def _draw_split(parts: _Parts, units: Units, subject: str) -> Figure:
    """The parts of the series: training, validation if there is one, and test."""
    title = "The three parts" if len(parts) == 3 else "Training and test part"
    figure = make_figure(title, subject, 1.3 * WIDTH)
    axes = figure.subplots()
    for name, (times, samples) in parts.items():
        label = f"{name} ({len(samples)} samples)"
        axes.plot(times, samples, color=_PART_COLORS[name], label=label)
    _label(axes, units)
    add_legend(figure)
    return figure


def _label(axes: Axes, units: Units) -> None:
    """Label the axes of samples over time."""
    axes.set(xlabel=units.time, ylabel=units.sample)
    if units.has_dates:
        show_dates(axes)


def _join_parts(parts: _Parts) -> tuple[Array, Array]:
    """Times and samples of all parts, `(T,)` each."""
    times, samples = zip(*parts.values(), strict=True)
    return np.concatenate(times), np.concatenate(samples)


def _draw_walkthrough_test(
    forecasts: _Arrays, parts: _Parts, units: Units, mse: float, subject: str
) -> Figure:
    """The test of the walk-through; if windows were slid, after the end of training."""
    times, targets = forecasts["walkthrough_times"], forecasts["walkthrough_targets"]
    figure = make_figure("The walk-through's own test", subject)
    axes = figure.subplots()
    if parts:
        axes.plot(*parts["training"], color=_TARGET_COLOR, lw=1, alpha=0.6)
        length = times[-1] - times[0]
        axes.set_xlim(times[0] - 1.5 * length, times[-1] + 0.05 * length)
    axes.plot(times, targets, "o-", color=_TARGET_COLOR, lw=1, ms=8, alpha=0.6, label="target")
    predictions = forecasts["walkthrough_forecast"]
    axes.plot(times[1:], predictions, "o", color=_FORECAST_COLOR, ms=3.5, label="forecast")
    axes.set_title(f"mean squared error {mse:.2g} over {len(times) - 1} steps")
    _label(axes, units)
    add_legend(figure)
    return figure


def _draw_closed_loop(forecasts: _Arrays, units: Units, subject: str) -> Figure:
    """The backtest of a generated series: forecasts from a few phases, near and far."""
    contexts, targets = forecasts["test_contexts"], forecasts["test_targets"]
    num_phases = len(targets)
    height = 0.55 * HEIGHT * num_phases + 0.8
    figure = make_figure("Free run after true samples", subject, 1.9 * WIDTH, height)
    panels = figure.subplots(
        num_phases, 2, sharex="col", sharey=True, width_ratios=(2, 3), squeeze=False
    )
    before = np.arange(1 - contexts.shape[1], 1)
    for phase, (near, far) in enumerate(panels):
        for axes, num_steps, marker in ((near, 49, "."), (far, targets.shape[1], "")):
            context, target = contexts[phase], targets[phase, :num_steps]
            forecast = forecasts["test_forecasts"][phase, :num_steps]
            ahead = np.arange(1, len(target) + 1)
            axes.plot(before, context, color=_INPUT_COLOR, label="context")
            joined = np.append(context[-1], target)
            style: dict[str, Any] = {"color": _TARGET_COLOR, "lw": 3.5, "alpha": 0.45}
            axes.plot(np.append(0, ahead), joined, label="target", **style)
            style = {"color": _FORECAST_COLOR, "lw": 1, "marker": marker, "ms": 5}
            axes.plot(ahead, forecast, label="forecast", **style)
            mse = np.mean((target - forecast) ** 2)
            title = f"phase {phase + 1}, {len(target)} steps: mean squared error {mse:.2g}"
            axes.set_title(title)
    peak = np.abs(targets).max()
    panels[0, 0].set_ylim(-1.4 * peak, 1.4 * peak)  # a forecast that explodes leaves the picture
    figure.supylabel(units.sample)
    for axes in panels[-1]:
        axes.set_xlabel("steps after the last true sample")
    add_legend(figure)
    return figure


def _draw_origins(
    series: Series,
    parts: _Parts,
    first: int,
    forecasts: _Arrays,
    baseline_forecasts: _Arrays,
    held: float,
    subject: str,
) -> Figure:
    """Forecasts of the network in their prediction interval, beside those of the best baseline.

    Forecasts, one row per origin, are one horizon apart; `first` is the number of the first sample
    that is forecast, in the parts joined. The intervals `held` a share of the test.
    """
    predictions = forecasts["test_forecasts"]
    num_origins, steps = predictions.shape
    end = first + num_origins * steps
    all_times, samples = _join_parts(parts)
    times = all_times[first:end].reshape(num_origins, steps)
    figure = make_figure("Forecasts of what was held back", subject, 1.9 * WIDTH, 1.1 * HEIGHT)
    axes = figure.subplots()
    shown = slice(max(0, first - 2 * steps), end)
    style: dict[str, Any] = {"color": BLUE, "lw": 3.5, "alpha": 0.35, "label": "target"}
    axes.plot(all_times[shown], samples[shown], **style)
    for row in range(num_origins):
        label = f"80 % prediction interval (held {held:.0%})" if row == 0 else None
        half = forecasts["test_half_widths"][row]
        low, high = predictions[row] - half, predictions[row] + half
        if series.transform and series.transform.floor is not None:
            low = np.maximum(low, series.transform.floor)
        axes.fill_between(times[row], low, high, color=ORANGE, alpha=0.15, lw=0, label=label)
    lines = axes.plot(times.T, predictions.T, lw=1.3, color=ORANGE, marker=".")
    lines[0].set_label("forecast")
    for name, of_baseline in baseline_forecasts.items():
        lines = axes.plot(times.T, of_baseline.T, lw=1.3, color=GREEN, ls="--")
        lines[0].set_label(name)
    axes.set_title(f"{steps} steps from each of {num_origins} origins")
    _label(axes, series.units)
    add_legend(figure)
    return figure


def _draw_baselines(
    scores: Mapping[str, Any], baselines: Baselines, units: Units, subject: str
) -> Figure:
    """Errors of the network beside those of the baselines."""
    forecasters = {"network": scores, **baselines}
    measures = [  # baselines have no walkthrough_mse_all_starts
        name for name in scores if "mse" in name and name != "walkthrough_mse_all_starts"
    ]
    figure = make_figure("What the network is worth", subject, 1.9 * WIDTH)
    axes = figure.subplots()
    width = 0.85 / len(forecasters)
    for i, (name, of_one) in enumerate(forecasters.items()):
        errors = np.array([of_one[measure] for measure in measures])
        left = np.arange(len(measures)) + (i - (len(forecasters) - 1) / 2) * width
        color = _BAR_COLORS[i % len(_BAR_COLORS)]
        heights = np.maximum(errors, _ROUNDING)
        bars = axes.bar(left, heights, 0.9 * width, color=color, label=name)
        labels = [f"{error:.2g}" if error >= 0.001 else f"{error:.0e}" for error in errors]
        axes.bar_label(bars, labels, fontsize=6.5, padding=1)
        if errors.min() < _ROUNDING:
            axes.set_xlabel(f"errors below {_ROUNDING:g} are rounding: their bars end there")
    axes.set(yscale="log", ylabel=units.squared_error)
    names = []
    for measure in measures:
        closed_loop = f"closed-loop forecast,\n{measure.removeprefix('mse_')} steps"
        names.append(_MEASURES.get(measure, closed_loop))
    axes.set_xticks(range(len(measures)), names)
    axes.grid(visible=False, axis="x")
    add_legend(figure)
    return figure


def main(trained: str, evaluated: str, windows: str, baselines: str, out: str) -> None:
    """Write the figures of one model."""
    name = Path(trained).name
    curves = read_curves(Path(trained) / "curves.csv")
    snapshots_file = Path(trained) / "snapshots.npz"  # a combination is not trained
    is_trained = snapshots_file.exists()
    clip_norm = None
    if is_trained:  # one fitted in closed form has no gradient
        clip_norm = read_value(f"forecasters.{name}").get("clip_norm")
    network = read_config(Path(trained)).network
    scores = read_json(Path(evaluated) / "scores.json")
    forecasts = read_arrays(Path(evaluated) / "forecasts.npz")
    intervals = read_json(Path(evaluated) / "training_range.json")["prediction_intervals"]
    scores_of_baselines = read_baselines(Path(baselines))
    baseline_forecasts = read_arrays(Path(baselines) / "forecasts.npz")
    series = read_series(Path(windows), with_params=False)

    step = float(forecasts["step"])
    subject = f"model {name} · series {scores['data']}"
    # the walk-through about half periods draws its loss in blue, the others in red
    color = "blue" if scores["data"] == "half_periods" else LOSS_COLOR
    units, parts = series.units, series.split_parts(step)
    origin = series.find_origin(scores.get("split", "test"))
    with figure_style():
        unit = f"mean squared error ({units.training_sample}²)"
        figures = draw_curves(curves, clip_norm, network, unit, subject, color)
        figures["window"] = draw_window(series, step, subject)
        if is_trained:
            follow = "horizon" in network  # such a network forecasts what follows its window
            snapshots = read_arrays(snapshots_file)
            figures["snapshots"] = draw_snapshots(snapshots, step, units, subject, follow)
        figures["baselines"] = _draw_baselines(scores, scores_of_baselines, units, subject)
        if origin is None:
            figures["forecast"] = _draw_closed_loop(forecasts, units, subject)
        else:
            figures["forecast"] = _draw_origins(
                series,
                parts,
                origin,
                forecasts,
                baseline_forecasts,
                intervals["80"]["held"],
                subject,
            )
        if "walkthrough_mse" in scores:  # not while the test is hidden
            mse = scores["walkthrough_mse"]
            figures["walkthrough"] = _draw_walkthrough_test(forecasts, parts, units, mse, subject)
        if parts:
            figures["split"] = _draw_split(parts, units, subject)
        if series.windows.are_slid:
            figures["series"] = _draw_series(parts, units, subject)
        save_figures(figures, MAIN, Path(out), read_params("figures", FigureParams).dpi)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
