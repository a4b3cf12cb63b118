"""Common code of all stages with figures: one style, stable PNG bytes, the training curves.

Figures are built without pyplot: it costs start-up time and keeps global state, and `Figure` alone
draws PNG with Agg on a machine without a screen.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from pydantic import Field

from stages.shared.params import Params
from stages.shared.tables import Curves

_STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "axes.titlesize": "medium",
    "figure.labelsize": "medium",
    "figure.titlesize": "large",
    "figure.titleweight": "bold",
    "font.size": 9.5,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
WIDTH, HEIGHT = 6.4, 4.0  # inches, of a figure with one panel
GREY = "0.4"  # footers, reference lines
BLUE, ORANGE, YELLOW, GREEN, PINK = "#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7"
# colours that people with any colour vision tell apart (Okabe & Ito, 2008), with one meaning each
# in all figures
CONTEXT_COLOR, TARGET_COLOR, FORECAST_COLOR, BASELINE_COLOR = "red", BLUE, ORANGE, GREEN
LOSS_COLOR = "red"  # single updates, as the walk-throughs draw them
_MEAN_COLOR = "#56120b"  # means over many updates
_VALIDATION_COLOR = BLUE


class FigureParams(Params):
    """Section `figures` of params.yaml."""

    dpi: int = Field(ge=30, le=600)  # dots per inch


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in this style and ignore any matplotlibrc, which would change the bytes."""
    with style.context(["default", _STYLE]):
        yield


def make_figure(title: str, subtitle: str, width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """Make an empty figure with a title, and a subtitle at the bottom: model and data."""
    figure = Figure(figsize=(width, height))
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel(subtitle, x=0.99, ha="right", fontsize="small", color=GREY)
    return figure


def add_legend(figure: Figure) -> None:
    """Add one legend for all panels, beside the title."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), borderpad=0)


def show_dates(axes: Axes) -> None:
    """Label a horizontal axis of days since 1970 by dates."""
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis_date()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def save_png(figure: Figure, path: Path, dpi: int) -> None:
    """Write a PNG without the version of matplotlib, so that its bytes depend on the picture."""
    figure.savefig(path, format="png", dpi=dpi, metadata={"Software": None})


def save_figures(
    figures: Mapping[str, Figure], main: Collection[str], folder: Path, dpi: int
) -> None:
    """Write the `main` figures, which every model has, to a folder, others to its `details`."""
    (folder / "details").mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        parent = folder if name in main else folder / "details"
        save_png(figure, parent / f"{name}.png", dpi)


def draw_curves(
    curves: Curves,
    clip_norm: float | None,
    network: Mapping[str, Any],
    unit: str,
    subtitle: str,
    color: str = LOSS_COLOR,
    label: str | None = None,
    refined_after: int | None = None,
) -> dict[str, Figure]:
    """Draw the training curves; a model without updates has none.

    Args:
        curves: content of curves.csv.
        clip_norm: largest total gradient norm of an update; None: any.
        network: arguments of the architecture; the titles name its cell.
        unit: unit of the loss.
        subtitle: model and data.
        color: color of the loss as the walk-through draws it.
        label: label of that loss in a legend; None: no legend.
        refined_after: iteration after which L-BFGS continued; None: it did not.
    """
    figures = {}
    if curves.loss:
        figures["loss"] = _draw_loss(curves, unit, subtitle)
        title = f"{name_cell(network)} LOSS".lstrip()
        style = {"color": color, "label": label}
        figures["loss_linear"] = _draw_published_loss(curves, title, unit, subtitle, style)
    if any(norm is not None for norm in curves.gradient_norm):
        figures["gradient_norm"] = _draw_gradient_norm(curves, clip_norm, subtitle)
    if refined_after:
        for name in figures.keys() & {"loss", "gradient_norm"}:
            # L-BFGS starts here, with another batch and sometimes another loss
            axes = figures[name].axes[0]
            axes.axvline(refined_after, color=GREY, ls=":", lw=1)
            end = (refined_after, 1)
            on_top = axes.get_xaxis_transform()
            axes.annotate(" L-BFGS", xy=end, xycoords=on_top, va="top", color=GREY)
    return figures


def name_cell(network: Mapping[str, Any]) -> str:
    """`RNN`, `GRU` or `LSTM`; nothing where there is no recurrent cell."""
    if "cell" in network:
        kind, _, _nonlinearity = network["cell"].partition("_")
        return str(kind).upper()
    return "RNN" if "hidden" in network else ""


def _draw_loss(curves: Curves, unit: str, subtitle: str) -> Figure:
    """Draw the recorded losses of updates, their means and the losses on validation."""
    figure = make_figure("Training loss", subtitle)
    axes = figure.subplots()
    axes.set(yscale="log", xlabel="iteration (updates)", ylabel=f"loss\n({unit})")
    has_means = any(mean is not None for mean in curves.mean_loss)
    has_validation = any(loss is not None for loss in curves.validation_loss)
    style: dict[str, Any] = {"lw": 1}
    if has_means or has_validation:
        style = {"lw": 0.7, "alpha": 0.5, "label": "training (one update)"}
    _draw_line(axes, curves, curves.loss, color=LOSS_COLOR, **style)
    style = {"lw": 1.6, "marker": "o", "ms": 3.5}
    if has_means:
        label = "training (mean of updates)"
        _draw_line(axes, curves, curves.mean_loss, color=_MEAN_COLOR, label=label, **style)
    if has_validation:
        style |= {"color": _VALIDATION_COLOR, "label": "validation"}
        _draw_line(axes, curves, curves.validation_loss, **style)
    if has_means or has_validation:
        add_legend(figure)
    return figure


def _draw_published_loss(
    curves: Curves, title: str, unit: str, subtitle: str, style: Mapping[str, Any]
) -> Figure:
    """One line on a linear scale, as the walk-throughs draw it; only means where there are some."""
    has_means = any(mean is not None for mean in curves.mean_loss)
    figure = make_figure(title, subtitle)
    axes = figure.subplots()
    axes.set(xlabel="iteration (updates)", ylabel=f"loss\n({unit})")
    _draw_line(axes, curves, curves.mean_loss if has_means else curves.loss, lw=1, **style)
    if style["label"]:
        add_legend(figure)
    return figure


def _draw_gradient_norm(curves: Curves, clip_norm: float | None, subtitle: str) -> Figure:
    """The recorded gradient norms and the norm where clipping starts."""
    figure = make_figure("Gradient norm", subtitle)
    axes = figure.subplots()
    axes.set(yscale="log", xlabel="iteration (updates)", ylabel="total norm before clipping")
    axes.margins(y=0.1)
    _draw_line(axes, curves, curves.gradient_norm, color=BLUE, lw=0.8)
    if clip_norm is not None:
        axes.axhline(clip_norm, color=GREY, ls="--", lw=1)
        axes.annotate(
            f"clipped above {clip_norm:g}",
            xy=(1, clip_norm),
            xycoords=axes.get_yaxis_transform(),
            ha="right",
            va="bottom",
            color=GREY,
        )
    return figure


def _draw_line(axes: Axes, curves: Curves, column: Sequence[float | None], **style: Any) -> None:
    """One column over the iterations where it was recorded."""
    values = np.array(column, dtype=float)  # None -> NaN
    is_recorded = np.isfinite(values)
    if is_recorded.sum() == 1:  # no line goes through it
        style = {"marker": "o", **style}
    axes.plot(np.array(curves.iteration)[is_recorded], values[is_recorded], **style)
