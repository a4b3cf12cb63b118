"""Pictures of a series from a file: its parts, and forecasts from origins that do not overlap."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.forecasting.baselines import fit_autoregression
from stages.forecasting.scaling import scale_forecaster
from stages.forecasting.windows import ObservedSeries
from stages.shared.baselines import Baselines
from stages.shared.figures import BLUE, GREEN, HEIGHT, ORANGE, WIDTH, add_legend, make_figure

Array = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

TIME = "time (units of the file)"
SAMPLE = "sample (units of the file)"
BASELINE = "ar_best"  # drawn beside the network, where it is among the baselines


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
    axes.set(xlabel=TIME, ylabel=SAMPLE)
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
    axes.set(xlabel=TIME, ylabel=SAMPLE)
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
