"""What every stage with pictures shares: one look, stable PNG bytes, the curves of training.

data/trained/<model>/curves.csv -> figures. Figures are built without pyplot: it costs start-up
time and keeps global state, and `Figure` alone draws PNG with Agg on a machine without a screen.
"""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from pydantic import AfterValidator, ConfigDict, Field

from stages.shared.params import Params

Curves = Mapping[str, np.ndarray]  # column of curves.csv -> (N,), NaN where not recorded

LOOK = {
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
GREY = "0.4"  # what is said beside the data: footers, reference lines


def check_color(name: str) -> str:
    """Refuse what matplotlib would only refuse in the middle of a picture."""
    if not is_color_like(name):
        raise ValueError(f'"{name}" is no colour: write a name ("red") or a code ("#0072b2")')
    return name


Color = Annotated[str, AfterValidator(check_color)]


class FigureParams(Params):
    """What the sections of all stages with pictures have in common."""

    dpi: int = Field(ge=30, le=600)  # dots per inch
    width: float = Field(ge=2, le=30)  # inches, of a figure with one panel
    height: float = Field(ge=2, le=30)  # inches, of a figure with one panel


class CurveParams(FigureParams):
    """What the curves of training need besides."""

    loss_color: Color  # loss of single updates
    mean_color: Color  # means over many updates
    norm_color: Color  # gradient norm


class ClippingParams(Params):
    """The one training param that a figure shows; the rest of its section is the trainer's."""

    model_config = ConfigDict(extra="ignore")

    clip_norm: float | None = None  # largest total gradient norm an update may have


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in our look, whatever the reader's matplotlibrc says: it would change the bytes."""
    with style.context(["default", LOOK]):
        yield


def make_figure(title: str, subject: str, width: float, height: float) -> Figure:
    """An empty figure that says above what it shows and below of which model and data."""
    figure = Figure(figsize=(width, height))
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel(subject, x=0.99, ha="right", fontsize="small", color=GREY)
    return figure


def add_legend(figure: Figure) -> None:
    """One legend for all panels, beside the title and in nobody's way."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), borderpad=0)


def save_png(figure: Figure, path: Path, dpi: int) -> None:
    """Write a PNG whose bytes depend on the picture alone, not on the version that drew it."""
    figure.savefig(path, format="png", dpi=dpi, metadata={"Software": None})


def save_figures(figures: Mapping[str, Figure], folder: Path, dpi: int) -> None:
    """Write each figure to `<folder>/<name>.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        save_png(figure, folder / f"{name}.png", dpi)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file. The csv module spares a process the 0.35 s that pandas takes."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_curves(path: Path) -> Curves:
    """The columns of curves.csv."""
    rows = read_table(path)
    columns = ("iteration", "loss", "mean_loss", "gradient_norm")
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in columns}


def has_values(curves: Curves, column: str) -> bool:
    """Whether the trainer recorded this column at all."""
    return bool(np.isfinite(curves[column]).any())


def draw_line(axes: Axes, curves: Curves, column: str, **look: object) -> None:
    """One column over the iterations where it was recorded."""
    recorded = np.isfinite(curves[column])
    axes.plot(curves["iteration"][recorded], curves[column][recorded], **look)


def draw_loss(curves: Curves, title: str, unit: str, subject: str, params: CurveParams) -> Figure:
    """The loss of every recorded update, under the means where the trainer took them."""
    figure = make_figure(title, subject, params.width, params.height)
    axes = figure.subplots()
    axes.set(yscale="log", xlabel="iteration (updates)", ylabel=f"loss: {unit}")
    if has_values(curves, "mean_loss"):
        draw_line(axes, curves, "loss", color=params.loss_color, lw=0.7, alpha=0.5, label="update")
        look = {"color": params.mean_color, "lw": 1.6, "marker": "o", "ms": 3.5, "label": "mean"}
        draw_line(axes, curves, "mean_loss", **look)
        add_legend(figure)
    else:
        draw_line(axes, curves, "loss", color=params.loss_color, lw=1)
    return figure


def draw_gradient_norm(
    curves: Curves, clip_norm: float | None, subject: str, params: CurveParams
) -> Figure:
    """The gradient norm of every recorded update and, if any, the norm where clipping starts."""
    figure = make_figure("Gradient norm", subject, params.width, params.height)
    axes = figure.subplots()
    axes.set(yscale="log", xlabel="iteration (updates)", ylabel="total norm before clipping")
    axes.margins(y=0.1)
    draw_line(axes, curves, "gradient_norm", color=params.norm_color, lw=0.8)
    if clip_norm is not None:
        axes.axhline(clip_norm, color=GREY, ls="--", lw=1)
        where = {"xy": (1, clip_norm), "xycoords": axes.get_yaxis_transform(), "ha": "right"}
        axes.annotate(f"clipped above {clip_norm:g}", va="bottom", color=GREY, **where)
    return figure
