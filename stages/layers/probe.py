"""Tabulate recurrent layers, trace the gradient through time: params -> data/plotted/layers/.

Run by DVC as `python stages/run.py layers.probe OUT`.
"""

import sys
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path as Curve

from stages.layers.gradients import Norm, ProbeParams, trace_gradients
from stages.layers.tour import Row, prove_equivalences, tour_layers
from stages.shared.command import run_as_command
from stages.shared.figures import (
    BLUE,
    GREY,
    HEIGHT,
    ORANGE,
    WIDTH,
    YELLOW,
    FigureParams,
    figure_style,
    make_figure,
    save_png,
)
from stages.shared.params import read_params
from stages.shared.reproducible import make_reproducible
from stages.shared.tables import write_table

_CASES = {
    "zero input": "(a) tanh RNN, zero input:\nf' = 1, the product is $W_R^k$",
    "normal inputs": "(b) tanh RNN, unit-normal inputs:\nsaturation makes all of them shrink",
    "LSTM": "(c) LSTM, unit-normal inputs: the open\nforget gate is the remedy, not the name",
}
_COLORS = (BLUE, YELLOW, ORANGE)  # of the lines of a panel, in order
_STEPS = 4  # of the unrolled network


def _draw_unrolled() -> Figure:
    """Draw the network with a loop, and unrolled over a few time steps."""
    subtitle = "the same U, W and V at every step: time, not copies"
    figure = make_figure("One network, unrolled in time", subtitle, 1.3 * WIDTH, 0.8 * HEIGHT)
    axes = figure.subplots()
    axes.set(xlim=(-2.9, _STEPS - 0.5), ylim=(-0.3, 2.3))
    axes.set_axis_off()
    box = {"boxstyle": "round,pad=0.5", "fc": "white", "lw": 1.5}
    arrow = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 16, "shrinkB": 16, "lw": 1.3}

    def point(start: tuple[float, float], end: tuple[float, float], name: str) -> None:
        axes.annotate("", xytext=start, xy=end, arrowprops=arrow)
        place = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        is_level = start[1] == end[1]
        offset = (0, 4) if is_level else (5, 0)
        axes.annotate(
            name,
            place,
            xytext=offset,
            textcoords="offset points",
            color=GREY,
            ha="center" if is_level else "left",
            va="bottom" if is_level else "center",
        )

    for column in range(-1, _STEPS):
        where = -2.0 if column < 0 else float(column)
        step = "t" if column < 0 else str(column + 1)
        for row, (letter, color) in enumerate(zip("xhy", (ORANGE, BLUE, YELLOW), strict=True)):
            axes.text(
                where, row, f"${letter}_{step}$", ha="center", va="center", bbox=box | {"ec": color}
            )
        point((where, 0), (where, 1), "U")
        point((where, 1), (where, 2), "V")
        if column < 0:
            curve = [
                (where + x, y) for x, y in ((-0.13, 1.1), (-0.7, 1.5), (-0.7, 0.5), (-0.13, 0.9))
            ]
            path = Curve(curve, [Curve.MOVETO, *[Curve.CURVE4] * 3])
            loop = FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=12, lw=1.3)
            loop.set_color(GREY)
            axes.add_patch(loop)
            axes.text(where - 0.65, 1, "W", color=GREY, ha="center", va="center")
        else:
            point((where - 1, 1), (where, 1), "W")
    axes.text(-1, 1, "$h_0 = 0$", ha="center", va="center")
    return figure


def _plot_gradients(norms: Sequence[Norm], params: ProbeParams) -> Figure:
    """Draw one panel per case with one line per layer; the legend shows the last values."""
    subtitle = f"random weights, H = {params.hidden}, seed {params.seed}"
    figure = make_figure("The gradient through time", subtitle, 2 * WIDTH, 1.2 * HEIGHT)
    panels = figure.subplots(1, len(_CASES), sharey=True)
    for axes, (case, headline) in zip(panels, _CASES.items(), strict=True):
        layers: dict[str, list[Norm]] = {}
        for norm in norms:
            if norm.case == case:
                layers.setdefault(norm.layer, []).append(norm)
        for color, (layer, points) in zip(cycle(_COLORS), layers.items(), strict=False):
            distances = [point.distance for point in points]
            values = [point.spectral_norm for point in points]
            axes.plot(distances, values, color=color, label=f"{layer}: {values[-1]:.2g}")
        axes.axhline(params.clip_norm, color=GREY, ls="--", lw=1)
        axes.annotate(
            f"clipping norm {params.clip_norm:g}",
            xy=(1, params.clip_norm),
            xycoords=axes.get_yaxis_transform(),
            ha="right",
            va="bottom",
            color=GREY,
        )
        axes.set(yscale="log", title=headline, xlabel="distance $T - k$ (time steps)")
        axes.legend(title=f"at distance {params.distance}", loc="lower left")
    panels[0].set_ylabel(r"spectral norm of $\partial s_T / \partial s_k$")
    return figure


def main(out: str) -> None:
    """Write three tables and two figures."""
    params = read_params("probe_layers", ProbeParams)
    dpi = read_params("figures", FigureParams).dpi
    make_reproducible()
    differences = prove_equivalences(params.seed)
    norms = trace_gradients(params)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with figure_style():
        save_png(_plot_gradients(norms, params), folder / "gradients.png", dpi)
        save_png(_draw_unrolled(), folder / "unrolled.png", dpi)
    write_table(folder / "layers.csv", Row._fields, tour_layers())
    # six digits, since the last ones depend on the processor
    rounded = [(*norm[:-1], f"{norm.spectral_norm:.6g}") for norm in norms]
    write_table(folder / "gradients.csv", Norm._fields, rounded)
    claims = [(claim, f"{difference:.6g}") for claim, difference in differences.items()]
    write_table(folder / "equivalences.csv", ("claim", "largest_difference"), claims)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
