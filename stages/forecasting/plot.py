"""Draw a forecaster: data/trained/, data/evaluated/, data/preprocessed/ -> data/plotted/.

Run by DVC as `python stages/run.py forecasting.plot TRAINED EVALUATED WINDOWS BASELINES OUT`. The
content of the files decides which figures appear, never the name of a model.
"""

import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from stages.forecasting.series import Array, Panel, Series, Units, read_series
from stages.shared.arrays import read_arrays
from stages.shared.command import run_as_command
from stages.shared.figures import (
    BASELINE_COLOR,
    CONTEXT_COLOR,
    FORECAST_COLOR,
    GREY,
    HEIGHT,
    LOSS_COLOR,
    TARGET_COLOR,
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
_ROUNDING = 1e-16  # smaller errors are rounding, and are drawn as this one

_MEASURES = {"walkthrough_mse": "walk-through's test", "one_step": "1 step"}
_PART_COLORS = {"training": GREY, "validation": YELLOW, "test": TARGET_COLOR}
_MOST_FACTOR = 100  # between errors on a linear axis
_PUBLISHED_COLORS = ("#8000ff", "#ff8000")  # of the walk-through about sliding windows


def draw_window(series: Series, step: float, subtitle: str) -> Figure:
    """Draw input and target of the first window."""
    windows = series.windows
    inputs, targets, times = windows.inputs[0], windows.targets[0], windows.times[0]
    figure = make_figure("First training window", subtitle)
    axes = figure.subplots()
    style: dict[str, Any] = {"ls": "", "marker": "o", "ms": 5, "alpha": 0.8}
    input_times = _time_inputs(times, len(inputs), step)
    axes.plot(input_times, inputs, color=CONTEXT_COLOR, label="input", **style)
    axes.plot(times, targets, color=TARGET_COLOR, label="target", **style)
    _label(axes, series.units)
    label = series.units.time
    if not windows.are_slid:
        label += ", of the target; the input is one sample earlier"
    axes.set(xlabel=label, ylabel=series.units.training_sample)
    add_legend(figure)
    return figure


def draw_snapshots(
    snapshots: _Arrays,
    step: float,
    units: Units,
    subtitle: str,
    follow: bool = False,
    color: str = FORECAST_COLOR,
) -> Figure:
    """Draw input and prediction at a few updates of training, one panel each.

    `follow` places the targets after all inputs. `color` is the color of predictions.
    """
    num_snapshots = len(snapshots["iterations"])
    num_rows = (num_snapshots + 1) // 2
    figure = make_figure(
        "Predictions while training", subtitle, 1.3 * WIDTH, 0.7 * HEIGHT * num_rows
    )
    panels = figure.subplots(num_rows, 2, sharey=True, squeeze=False).ravel()
    marker = "." if snapshots["times"].shape[1] > 1 else "o"
    for i, iteration in enumerate(snapshots["iterations"]):
        times, inputs = snapshots["times"][i], snapshots["inputs"][i]
        targets, predictions = snapshots["targets"][i], snapshots["predictions"][i]
        axes = panels[i]
        if marker == ".":
            axes.plot(times, targets, color=TARGET_COLOR, lw=4, alpha=0.35, label="target")
        else:
            style: dict[str, Any] = {"ms": 9, "alpha": 0.35}
            axes.plot(times, targets, marker, color=TARGET_COLOR, label="target", **style)
        input_times = _time_inputs(times, len(inputs), step, follow)
        axes.plot(input_times, inputs, ".", color=CONTEXT_COLOR, label="input")
        axes.plot(times, predictions, marker, color=color, label="prediction")
        _label(axes, units)
        axes.set(title=f"iteration {iteration}", ylabel="")
    for axes in panels[num_snapshots:]:
        axes.remove()
    figure.supylabel(units.training_sample)
    add_legend(figure)
    return figure


def _time_inputs(target_times: Array, num_inputs: int, step: float, follow: bool = False) -> Array:
    """Return the times of the inputs of a window: the target times, or those before the first."""
    if len(target_times) == num_inputs and not follow:
        return target_times
    times: Array = target_times[0] - step * np.arange(num_inputs, 0, -1, dtype=np.float64)
    return times


def _draw_parts(parts: _Parts, units: Units, subtitle: str) -> Figure:
    """Draw the parts of the series: training, validation if there is one, and test."""
    figure = make_figure("Parts of the series", subtitle, 1.3 * WIDTH)
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
    """Return times and samples of all parts, `(T,)` each."""
    times, samples = zip(*parts.values(), strict=True)
    return np.concatenate(times), np.concatenate(samples)


def draw_walkthrough_test(forecasts: _Arrays, parts: _Parts, units: Units, subtitle: str) -> Figure:
    """Draw the test of the walk-through from each start; a title marks the published start.

    If windows were slid, the end of training is shown before the test.
    """
    drawn, num_starts = int(forecasts["walkthrough_drawn"]), len(forecasts["walkthrough_times"])
    title = "Closed-loop forecast: the walk-through's test"
    width = WIDTH if num_starts == 1 else 2 * WIDTH
    figure = make_figure(title, subtitle, width)
    panels = figure.subplots(1, num_starts, sharey=True, squeeze=False)[0]
    for start, axes in enumerate(panels):
        times, targets, predictions = (
            forecasts[f"walkthrough_{name}"][start] for name in ("times", "targets", "forecasts")
        )
        if parts:
            axes.plot(*parts["training"], color=TARGET_COLOR, lw=1, alpha=0.6)
            length = times[-1] - times[0]
            axes.set_xlim(times[0] - 1.5 * length, times[-1] + 0.05 * length)
        # as published: targets as large dots on a line, predictions as small dots
        axes.plot(times, targets, "o-", color=TARGET_COLOR, lw=1, ms=8, alpha=0.6, label="target")
        axes.plot(times[1:], predictions, "o", color=FORECAST_COLOR, ms=3.5, label="forecast")
        mse = np.mean((targets[1:] - predictions) ** 2)
        headline = f"mean squared error {mse:.2g} over {len(predictions)} steps"
        if num_starts > 1:
            is_drawn = start == drawn
            headline = f"{'as published: ' if is_drawn else ''}start {times[0]:.3g}\n{headline}"
            axes.set_title(headline, fontweight="bold" if is_drawn else "normal")
        else:
            axes.set_title(headline)
        _label(axes, units)
        axes.label_outer()
    add_legend(figure)
    return figure


def draw_sin_plots(forecasts: _Arrays, parts: _Parts) -> dict[str, Figure]:
    """Draw the three figures of the walk-through about sliding windows, exactly as published.

    They are the series, its parts in two colours, and the forecast over the end of the series.
    """
    times, samples = _join_parts(parts)
    curves = {
        "published_series": [(times, samples)],
        "published_split": list(parts.values()),
        "published_test": [
            (times, samples),
            (forecasts["walkthrough_times"][0, 1:], forecasts["walkthrough_forecasts"][0]),
        ],
    }
    figures = {}
    for name, drawn in curves.items():
        figure = Figure(figsize=(12, 4))
        axes = figure.subplots()
        for curve, color in zip(drawn, _PUBLISHED_COLORS, strict=False):
            axes.plot(*curve, color=color)
        left = len(samples) - 100 if name == "published_test" else -10
        axes.set(title="Sin plot", xlabel="x", ylabel="sin", xlim=(left, len(samples) + 1))
        figures[name] = figure
    return figures


def _draw_closed_loop(forecasts: _Arrays, units: Units, subtitle: str) -> Figure:
    """Draw the backtest of a generated series: forecasts from a few phases, near and far."""
    contexts, targets = forecasts["test_contexts"], forecasts["test_targets"]
    num_phases = len(targets)
    height = 0.55 * HEIGHT * num_phases + 0.8
    figure = make_figure("Closed-loop forecasts of the test", subtitle, 1.9 * WIDTH, height)
    panels = figure.subplots(
        num_phases, 2, sharex="col", sharey=True, width_ratios=(2, 3), squeeze=False
    )
    before = np.arange(1 - contexts.shape[1], 1)
    for phase, (near, far) in enumerate(panels):
        for axes, num_steps, marker in ((near, 49, "."), (far, targets.shape[1], "")):
            context, target = contexts[phase], targets[phase, :num_steps]
            forecast = forecasts["test_forecasts"][phase, :num_steps]
            ahead = np.arange(1, len(target) + 1)
            axes.plot(before, context, color=CONTEXT_COLOR, label="context")
            joined = np.append(context[-1], target)
            style: dict[str, Any] = {"color": TARGET_COLOR, "lw": 3.5, "alpha": 0.45}
            axes.plot(np.append(0, ahead), joined, label="target", **style)
            style = {"color": FORECAST_COLOR, "lw": 1, "marker": marker, "ms": 5}
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
    coverage: float,
    subtitle: str,
) -> Figure:
    """Draw forecasts of a model in their prediction intervals, beside the best baseline.

    Forecasts, one row per origin, are one horizon apart; `first` is the index of the first sample
    that is forecast, in the joined parts. `coverage` is the share of the test in the intervals.
    """
    predictions = forecasts["test_forecasts"]
    num_origins, steps = predictions.shape
    end = first + num_origins * steps
    floor = series.transform.floor if series.transform else None  # 0 for counts
    all_times, samples = _join_parts(parts)
    times = all_times[first:end].reshape(num_origins, steps)
    figure = make_figure("Forecasts of the test", subtitle, 1.9 * WIDTH, 1.1 * HEIGHT)
    axes = figure.subplots()
    shown = slice(max(0, first - 2 * steps), end)
    style: dict[str, Any] = {"color": TARGET_COLOR, "lw": 3.5, "alpha": 0.35, "label": "target"}
    axes.plot(all_times[shown], samples[shown], **style)
    for row in range(num_origins):
        label = f"80 % prediction interval (coverage {coverage:.0%})" if row == 0 else None
        _fill_interval(axes, times[row], forecasts, row, floor, label)
    lines = axes.plot(times.T, predictions.T, lw=1.3, color=FORECAST_COLOR, marker=".")
    lines[0].set_label("forecast")
    for name, of_baseline in baseline_forecasts.items():
        lines = axes.plot(times.T, of_baseline.T, lw=1.3, color=BASELINE_COLOR, ls="--")
        lines[0].set_label(name)
    axes.set_title(f"{steps} steps from each of {num_origins} origins")
    _label(axes, series.units)
    if floor is not None:
        axes.set_ylim(bottom=floor)
    add_legend(figure)
    return figure


def _fill_interval(
    axes: Axes, times: Array, forecasts: _Arrays, row: int, floor: float | None, label: str | None
) -> None:
    """Shade the prediction interval of one forecast, above the floor."""
    center, half = forecasts["test_forecasts"][row], forecasts["test_half_widths"][row]
    low = center - half if floor is None else np.maximum(center - half, floor)
    style: dict[str, Any] = {"color": FORECAST_COLOR, "alpha": 0.15, "lw": 0, "label": label}
    axes.fill_between(times, low, center + half, **style)


def _draw_panel(
    panel: Panel, forecasts: _Arrays, baseline_forecasts: _Arrays, coverage: float, subtitle: str
) -> Figure:
    """Draw forecasts of a few series in their prediction intervals, beside the best baseline.

    `coverage` is the share of the test samples of all series in the intervals.
    """
    contexts, targets = forecasts["test_contexts"], forecasts["test_targets"]
    predictions = forecasts["test_forecasts"]
    steps = targets.shape[1]
    num_rows = (len(targets) + 1) // 2
    figure = make_figure("Forecasts of the test", subtitle, 1.9 * WIDTH, 0.6 * HEIGHT * num_rows)
    panels = figure.subplots(num_rows, 2, sharex=True, squeeze=False).ravel()
    ahead = np.arange(1, steps + 1)
    before = np.arange(1 - min(3 * steps, contexts.shape[1]), 1)
    for row, axes in enumerate(panels[: len(targets)]):
        context = contexts[row, -len(before) :]
        axes.plot(before, context, color=CONTEXT_COLOR, label="context")
        joined = np.append(context[-1], targets[row])
        style: dict[str, Any] = {"color": TARGET_COLOR, "lw": 3.5, "alpha": 0.35}
        axes.plot(np.append(0, ahead), joined, label="target", **style)
        label = f"80 % prediction interval (coverage {coverage:.0%} of all series)"
        _fill_interval(axes, ahead, forecasts, row, panel.floor, label)
        axes.plot(ahead, predictions[row], color=FORECAST_COLOR, marker=".", label="forecast")
        for name, of_baseline in baseline_forecasts.items():
            axes.plot(ahead, of_baseline[row], color=BASELINE_COLOR, ls="--", label=name)
        axes.set_title(str(forecasts["names"][row]))
    for axes in panels[len(targets) :]:
        axes.remove()
    for axes in panels[: len(targets)][-2:]:
        axes.set_xlabel(panel.units.time)
    figure.supylabel(panel.units.sample)
    add_legend(figure)
    return figure


def _draw_split_of_panel(panel: Panel, names: list[str], subtitle: str) -> Figure:
    """Draw the parts of a few series of a panel: training, validation and test."""
    figure = make_figure("Parts of the series", subtitle, 1.3 * WIDTH, 0.45 * HEIGHT * len(names))
    rows = figure.subplots(len(names), 1, squeeze=False).ravel()
    for name, axes in zip(names, rows, strict=True):
        samples = panel.samples[panel.series_names.index(name)]
        starts = [0, len(samples) - panel.num_validation - panel.num_test]
        starts += [starts[1] + panel.num_validation, len(samples)]
        for part, (start, end) in zip(_PART_COLORS, pairwise(starts), strict=True):
            shown = slice(max(start - 1, 0), end)  # from the part before, so that no line breaks
            color = _PART_COLORS[part]
            axes.plot(np.arange(shown.start, end), samples[shown], color=color, label=part)
        axes.set_title(name)
    rows[-1].set_xlabel("samples")
    figure.supylabel(panel.units.sample)
    add_legend(figure)
    return figure


def _draw_errors(
    name: str, scores: Mapping[str, Any], baselines: Baselines, units: Units, subtitle: str
) -> Figure:
    """Draw the errors of a model and of the baselines, one panel per score.

    For an observed series they are the scaled errors, by which models are ranked.
    """
    kind = "mase" if any("mase" in measure for measure in scores) else "mse"
    measures = [  # baselines have no walkthrough_mse_all_starts
        measure for measure in scores if kind in measure and measure != "walkthrough_mse_all_starts"
    ]
    forecasters = {name: scores, **baselines}
    rows = np.arange(len(forecasters))
    size = 1.0 + 2.2 * len(measures), 1.2 + 0.27 * len(forecasters)
    figure = make_figure("Errors beside those of the baselines", subtitle, *size)
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    colors = [FORECAST_COLOR, *["0.75"] * len(baselines)]
    for axes, measure in zip(panels, measures, strict=True):
        errors = np.array([of_one[measure] for of_one in forecasters.values()])
        lengths = np.maximum(errors, _ROUNDING)
        is_wide = lengths.max() > _MOST_FACTOR * lengths.min()
        bars = axes.barh(rows, lengths, 0.75, color=colors)
        labels = [f"{error:.2g}" if error >= 0.001 else f"{error:.0e}" for error in errors]
        axes.bar_label(bars, labels, fontsize="small", padding=2)
        axes.margins(x=0.35)  # for the labels
        axes.set(xscale="log" if is_wide else "linear", title=_name_measure(measure, kind))
        axes.grid(visible=False, axis="y")
        if is_wide:
            axes.set_xlim(left=lengths.min() / 10)
            axes.xaxis.set_major_locator(LogLocator(numticks=4))
    panels[0].set_yticks(rows, list(forecasters))
    panels[0].invert_yaxis()
    unit = "MASE" if kind == "mase" else units.squared_error
    if any(of_one[measures[0]] < _ROUNDING for of_one in forecasters.values()):
        unit += f"; errors below {_ROUNDING:g} are rounding, their bars end there"
    panels[0].set_xlabel(unit, loc="left")
    return figure


def _name_measure(measure: str, kind: str) -> str:
    """Return the title of a panel: `mse_500` is the error over 500 steps."""
    if measure.startswith(f"{kind}_"):
        return f"{measure.removeprefix(f'{kind}_')} steps"
    return _MEASURES[measure.removesuffix(f"_{kind}") if "one_step" in measure else measure]


def main(trained: str, evaluated: str, windows: str, baselines: str, out: str) -> None:
    """Write the figures of one model."""
    name = Path(trained).name
    curves = read_curves(Path(trained) / "curves.csv")
    snapshots_file = Path(trained) / "snapshots.npz"  # a combination has none
    snapshots = read_arrays(snapshots_file) if snapshots_file.exists() else None
    # a model fitted in closed form has no clip_norm
    entry = read_value(f"forecasters.{name}") if snapshots is not None else {}
    network = read_config(Path(trained)).network
    scores = read_json(Path(evaluated) / "scores.json")
    forecasts = read_arrays(Path(evaluated) / "forecasts.npz")
    intervals = read_json(Path(evaluated) / "forecast_info.json")["prediction_intervals"]
    baseline_scores = read_baselines(Path(baselines))
    baseline_forecasts = read_arrays(Path(baselines) / "forecasts.npz")
    series = read_series(Path(windows), with_params=False)

    subtitle = f"model {name} · series {scores['data']}"
    coverage = intervals["80"]["coverage"]
    # the walk-through about half periods draws its loss in blue with a legend, the others in red
    # without one, and predictions in blue too
    is_blue = scores["data"] == "half_periods"
    color, label = ("blue", "loss") if is_blue else (LOSS_COLOR, None)
    unit = "mean absolute error, seasonally adjusted and scaled"
    if not isinstance(series, Panel):
        unit = f"mean squared error, {series.units.training_sample}²"
    refined_after = entry["iterations"] if entry.get("refine") else None
    with figure_style():
        figures = draw_curves(
            curves, entry.get("clip_norm"), network, unit, subtitle, color, label, refined_after
        )
        figures["baselines"] = _draw_errors(name, scores, baseline_scores, series.units, subtitle)
        if isinstance(series, Panel):
            figures["forecast"] = _draw_panel(
                series, forecasts, baseline_forecasts, coverage, subtitle
            )
            # without it `details` of a combination would be empty, which DVC takes for missing
            shown = [str(of) for of in forecasts["names"]]
            figures["split"] = _draw_split_of_panel(series, shown, subtitle)
        else:
            color = "blue" if is_blue else FORECAST_COLOR
            figures |= _draw_training(series, forecasts, snapshots, network, color, subtitle)
            figures |= _draw_forecasts(
                series, scores, forecasts, baseline_forecasts, coverage, subtitle
            )
        dpi = read_params("figures", FigureParams).dpi
        save_figures(figures, MAIN, Path(out), dpi)


def _draw_training(
    series: Series,
    forecasts: _Arrays,
    snapshots: _Arrays | None,
    network: Mapping[str, Any],
    color: str,
    subtitle: str,
) -> dict[str, Figure]:
    """Draw windows and parts of a series, and predictions while training."""
    step = float(forecasts["step"])
    units, parts = series.units, series.split_parts(step)
    figures = {"window": draw_window(series, step, subtitle)}
    if snapshots is not None:
        follow = "horizon" in network  # such a network forecasts what follows its window
        figures["snapshots"] = draw_snapshots(snapshots, step, units, subtitle, follow, color)
    if parts:
        figures["split"] = _draw_parts(parts, units, subtitle)
    if series.windows.are_slid:
        figures["series"] = figure = make_figure("Series", subtitle, 1.3 * WIDTH)
        axes = figure.subplots()
        axes.plot(*_join_parts(parts), color=TARGET_COLOR)
        _label(axes, units)
    return figures


def _draw_forecasts(
    series: Series,
    scores: Mapping[str, Any],
    forecasts: _Arrays,
    baseline_forecasts: _Arrays,
    coverage: float,
    subtitle: str,
) -> dict[str, Figure]:
    """Draw the forecasts of one series: the test, and the test of the walk-through."""
    parts = series.split_parts(float(forecasts["step"]))
    origin = series.find_origin(scores.get("split", "test"))
    figures = {}
    if origin is None:
        figures["forecast"] = _draw_closed_loop(forecasts, series.units, subtitle)
    else:
        figures["forecast"] = _draw_origins(
            series, parts, origin, forecasts, baseline_forecasts, coverage, subtitle
        )
    if "walkthrough_mse" in scores:  # not while the test is hidden
        figures["walkthrough"] = draw_walkthrough_test(forecasts, parts, series.units, subtitle)
        if parts:
            figures |= draw_sin_plots(forecasts, parts)
    return figures


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
