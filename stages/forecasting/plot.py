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
from stages.forecasting.series import ObservedSeries, Windows, read_windows, scale_forecaster
from stages.forecasting.snapshots import read_snapshots
from stages.shared.baselines import Baselines, read_baselines
from stages.shared.bundle import read_config
from stages.shared.curves import Curves, read_curves
from stages.shared.errors import exit_on_input_error
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
from stages.shared.json_files import read_json
from stages.shared.params import read_params, read_value

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

MAIN = ("forecast", "baselines")  # figures that every forecaster has
ERROR = "mean squared error (amplitude²)"
TIME = "time (units of the series)"
AMPLITUDE = "amplitude"
STANDARDISED = "standardised sample"  # of a series from a file
FILE_TIME = "time (units of the file)"
FILE_SAMPLE = "sample (units of the file)"
BASELINE = "ar_best"  # drawn beside the network, where it is among the baselines
FILE_ERROR = "mean squared error (units of the file, squared)"
ROUNDING = 1e-16  # smaller errors are drawn as this one: they are rounding
NEAR = 49  # steps of a free run in the left panels

INPUT_COLOR = "red"  # what a network is given, as the walk-throughs draw it
ANSWER_COLOR = "blue"  # what it should answer, and what it does answer in training
TRUTH_COLOR, FORECAST_COLOR = BLUE, ORANGE
BAR_COLORS = (BLUE, "0.8", "#999999", YELLOW, GREEN, PINK, ORANGE)  # network, then baselines
ALL_STARTS = "walkthrough_mse_all_starts"  # of networks alone
MEASURES = {"walkthrough_mse": "the walk-through's test", "one_step_mse": "one step"}
BLUE_LOSS = "blue"
DRAWN_IN_BLUE = {"half_periods"}  # series whose walk-through draws its loss so; the others: red


def time_inputs(target_times: Array, num_inputs: int, step: float) -> Array:
    """Abscissa of a window: the times of its targets, or, before a single target, its own."""
    if len(target_times) == num_inputs:
        return target_times
    steps_before = np.arange(num_inputs, 0, -1, dtype=np.float64)
    times: Array = target_times[0] - step * steps_before
    return times


def join_windows(windows: Windows, step: float) -> tuple[Array, Array]:
    """Times and values of the first segment that windows were slid over, `(T,)` each."""
    times = windows.times[:, 0]
    breaks = np.flatnonzero(~np.isclose(np.diff(times), step))  # the next segment starts there
    end = breaks[0] + 1 if len(breaks) else len(times)
    first = windows.inputs[0]
    values = np.concatenate([first, windows.targets[:end, 0]])
    return np.concatenate([time_inputs(times, len(first), step), times[:end]]), values


def draw_window(windows: Windows, step: float, subject: str) -> Figure:
    """The first window: its input and its target."""
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
    axes.set(xlabel=label, ylabel=STANDARDISED if windows.observed else AMPLITUDE)
    add_legend(figure)
    return figure


def draw_snapshots(snapshots: Arrays, step: float, subject: str, unit: str = AMPLITUDE) -> Figure:
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
    figure.supylabel(unit)
    add_legend(figure)
    return figure


def draw_series(windows: Windows, step: float, subject: str) -> Figure:
    """The whole series, training part and test part alike."""
    times, values = join_windows(windows, step)
    figure = make_figure("Series", subject, 1.3 * WIDTH)
    axes = figure.subplots()
    every_time = np.concatenate([times, windows.test_times])
    axes.plot(every_time, np.concatenate([values, windows.test]), color=TRUTH_COLOR)
    axes.set(xlabel=TIME, ylabel=AMPLITUDE)
    return figure


def draw_split(windows: Windows, step: float, subject: str) -> Figure:
    """Which part of the series trains and which tests."""
    times, values = join_windows(windows, step)
    figure = make_figure("Training and test part", subject, 1.3 * WIDTH)
    axes = figure.subplots()
    axes.plot(times, values, color=TRUTH_COLOR, label=f"training ({len(values)} samples)")
    label = f"test ({len(windows.test)} samples)"
    axes.plot(windows.test_times, windows.test, color=FORECAST_COLOR, label=label)
    axes.set(xlabel=TIME, ylabel=AMPLITUDE)
    add_legend(figure)
    return figure


def draw_walkthrough_test(forecasts: Arrays, windows: Windows, mse: float, subject: str) -> Figure:
    """The test of the walk-through; of a long series, its end."""
    times, truth = forecasts["walkthrough_times"], forecasts["walkthrough_truth"]
    figure = make_figure("The walk-through's own test", subject)
    axes = figure.subplots()
    if windows.are_slid:
        past_times, past = join_windows(windows, float(forecasts["step"]))
        axes.plot(past_times, past, color=TRUTH_COLOR, lw=1, alpha=0.6)
        length = times[-1] - times[0]
        axes.set_xlim(times[0] - 1.5 * length, times[-1] + 0.05 * length)
    axes.plot(times, truth, "o-", color=TRUTH_COLOR, lw=1, ms=8, alpha=0.6, label="truth")
    answers = forecasts["walkthrough_forecast"]
    axes.plot(times[1:], answers, "o", color=FORECAST_COLOR, ms=3.5, label="forecast")
    axes.set_title(f"mean squared error {mse:.2g} over {len(times) - 1} steps")
    axes.set(xlabel=TIME, ylabel=AMPLITUDE)
    add_legend(figure)
    return figure


def draw_free_run(forecasts: Arrays, subject: str) -> Figure:
    """The common test: context and free run from a few phases, near and far."""
    contexts, truths = forecasts["free_context"], forecasts["free_truth"]
    num_phases = len(truths)
    height = 0.55 * HEIGHT * num_phases + 0.8
    figure = make_figure("Free run after true samples", subject, 1.9 * WIDTH, height)
    panels = figure.subplots(
        num_phases, 2, sharex="col", sharey=True, width_ratios=(2, 3), squeeze=False
    )
    for phase, (near, far) in enumerate(panels):
        context, truth = contexts[phase], truths[phase]
        forecast = forecasts["free_forecast"][phase]
        draw_phase(near, phase, context, truth[:NEAR], forecast[:NEAR], marker=".")
        draw_phase(far, phase, context, truth, forecast, marker="")
    peak = np.abs(truths).max()
    panels[0, 0].set_ylim(-1.4 * peak, 1.4 * peak)  # a forecast that explodes leaves the picture
    figure.supylabel(AMPLITUDE)
    for axes in panels[-1]:
        axes.set_xlabel("steps after the last true sample")
    add_legend(figure)
    return figure


def draw_phase(
    axes: Axes, phase: int, context: Array, truth: Array, forecast: Array, marker: str
) -> None:
    """One panel of the free runs."""
    num_steps = len(truth)
    before, ahead = np.arange(1 - len(context), 1), np.arange(1, num_steps + 1)
    axes.plot(before, context, color=INPUT_COLOR, label="context")
    joined = np.append(context[-1], truth)
    from_last = np.append(0, ahead)
    axes.plot(from_last, joined, color=TRUTH_COLOR, lw=3.5, alpha=0.45, label="truth")
    axes.plot(ahead, forecast, color=FORECAST_COLOR, lw=1, marker=marker, ms=5, label="forecast")
    mse = np.mean((truth - forecast) ** 2)
    axes.set_title(f"phase {phase + 1}, {num_steps} steps: mean squared error {mse:.2g}")


def draw_parts(observed: ObservedSeries, subject: str) -> Figure:
    """What is trained on, what recipes are chosen on, and what is held back."""
    figure = make_figure("The three parts", subject, 1.3 * WIDTH)
    axes = figure.subplots()
    end = observed.num_train + observed.num_validation
    parts = {
        "training": (slice(observed.num_train), BLUE),
        "validation": (slice(observed.num_train, end), GREEN),
        "test": (slice(end, None), ORANGE),
    }
    for name, (part, color) in parts.items():
        samples = observed.samples[part]
        label = f"{name} ({len(samples)} samples)"
        axes.plot(observed.sample_times[part], samples, color=color, label=label)
    axes.set(xlabel=FILE_TIME, ylabel=FILE_SAMPLE)
    add_legend(figure)
    return figure


def draw_origins(
    observed: ObservedSeries,
    first: int,
    forecasts: Arrays,
    band: Array,
    baselines: Baselines,
    subject: str,
) -> Figure:
    """Forecasts of the network in their band, beside those of AR(p).

    Args:
        observed: the series.
        first: number of the sample after the first origin.
        forecasts: as `evaluate` keeps them, a row an origin, one horizon apart.
        band: `(2, n)`, to be added to a forecast.
        baselines: which say the order of AR.
        subject: which model on which data.
    """
    contexts, answers = forecasts["free_context"], forecasts["free_forecast"]
    num_origins, steps = answers.shape
    end = first + num_origins * steps
    times = observed.sample_times[first:end].reshape(num_origins, steps)
    figure = make_figure("Forecasts of what was held back", subject, 1.9 * WIDTH, 1.1 * HEIGHT)
    axes = figure.subplots()
    shown = slice(max(0, first - 2 * steps), end)
    look: dict[str, Any] = {"color": BLUE, "lw": 3.5, "alpha": 0.35, "label": "truth"}
    axes.plot(observed.sample_times[shown], observed.samples[shown], **look)
    for row in range(num_origins):
        label = "band for 80 %" if row == 0 else None
        bounds = answers[row] + band
        axes.fill_between(times[row], *bounds, color=ORANGE, alpha=0.15, lw=0, label=label)
    draw_rows(axes, times, answers, color=ORANGE, marker=".", label="network")
    if BASELINE in baselines:
        order = baselines[BASELINE]["order"]
        linear = forecast_linearly(observed, order, contexts, steps)
        draw_rows(axes, times, linear, color=GREEN, ls="--", label=f"AR({order})")
    axes.set_title(f"{steps} steps from each of {num_origins} origins")
    axes.set(xlabel=FILE_TIME, ylabel=FILE_SAMPLE)
    add_legend(figure)
    return figure


def draw_rows(axes: Axes, times: Array, forecasts: Array, label: str, **look: Any) -> None:
    """One line a forecast, all under one label."""
    for row, forecast in enumerate(forecasts):
        axes.plot(times[row], forecast, lw=1.3, label=label if row == 0 else None, **look)


def forecast_linearly(observed: ObservedSeries, order: int, contexts: Array, steps: int) -> Array:
    """What AR(p), fitted to the training part, forecasts: `(B, n)`."""
    standardised = observed.scaling.standardise(observed.training)
    fitted = fit_autoregression(standardised[None], order)
    return scale_forecaster(fitted, observed.scaling)(contexts, steps)


def name_measure(metric: str) -> str:
    """`mse_49` -> `free run, 49 steps`."""
    if metric in MEASURES:
        return MEASURES[metric]
    return f"free run,\n{metric.removeprefix('mse_')} steps"


def draw_baselines(
    scores: Mapping[str, Any], baselines: Baselines, subject: str, unit: str = ERROR
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
    axes.set(yscale="log", ylabel=unit)
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
    windows: Windows,
    band: Array,
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
        windows: what the model was trained on.
        band: `(2, n)`, what most errors lie between.
    """
    step = float(forecasts["step"])
    subject = f"model {name} · series {scores['data']}"
    color = BLUE_LOSS if scores["data"] in DRAWN_IN_BLUE else LOSS_COLOR
    figures = {
        **draw_curves(curves, clip_norm, network, ERROR, subject, color),
        "window": draw_window(windows, step, subject),
    }
    observed = windows.observed
    if observed:
        first = observed.num_train
        if "split" not in scores:
            first += observed.num_validation
        figures["snapshots"] = draw_snapshots(snapshots, step, subject, STANDARDISED)
        figures["baselines"] = draw_baselines(scores, baselines, subject, FILE_ERROR)
        figures["forecast"] = draw_origins(observed, first, forecasts, band, baselines, subject)
        figures["split"] = draw_parts(observed, subject)
        return figures
    figures["snapshots"] = draw_snapshots(snapshots, step, subject)
    figures["baselines"] = draw_baselines(scores, baselines, subject)
    if "walkthrough_mse" in scores:  # not while the test is hidden
        walkthrough_mse = scores["walkthrough_mse"]
        figures["walkthrough"] = draw_walkthrough_test(forecasts, windows, walkthrough_mse, subject)
    figures["forecast"] = draw_free_run(forecasts, subject)
    if windows.are_slid:
        figures["series"] = draw_series(windows, step, subject)
        figures["split"] = draw_split(windows, step, subject)
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
            read_windows(Path(windows)),
            np.array([band["low"], band["high"]]),
        )
        save_figures(figures, MAIN, Path(out), dpi)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
