"""Draw a surname classifier: data/trained/, data/evaluated/ -> data/plotted/.

Run by DVC as `python -m stages.surnames.plot TRAINED EVALUATED OUT`. A blend is not trained by
updates: its curves.csv has no rows, and it gets no curves.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from pydantic import Field

from stages.shared.errors import exit_on_input_error
from stages.shared.figures import (
    GREY,
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

Rows = list[dict[str, str]]

LOSS = "negative log-likelihood (nats a name)"


class PlotSurnamesParams(CurveParams):
    """Section `plot_surnames` of params.yaml."""

    recall_color: Color
    f1_color: Color
    confusion_color: Color  # of a share of 100 %; white is 0
    num_bins: int = Field(gt=0, le=100)  # of the reliability figure, over probabilities 0 to 1


def draw_confusion(table: Rows, subject: str, params: PlotSurnamesParams) -> Figure:
    """What each language's names are taken for, in percent of that language's names."""
    languages = [row["language"] for row in table]
    counts = np.array([[int(row[guess]) for guess in languages] for row in table])
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 0.42 * len(languages) + 2
    title = "What the names of each language are taken for"
    figure = make_figure(title, subject, side, 0.9 * side)
    axes = figure.subplots()
    colors = LinearSegmentedColormap.from_list("shares", ["white", params.confusion_color])
    image = axes.imshow(shares, cmap=colors, vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            color = "white" if share > 55 else "black"
            look = {"ha": "center", "va": "center", "fontsize": 7.5}
            axes.text(column, row, f"{share:.0f}", color=color, **look)
    totals = [f"{name} ({n})" for name, n in zip(languages, counts.sum(axis=1), strict=True)]
    axes.set_xticks(range(len(languages)), languages, rotation=90)
    axes.set_yticks(range(len(languages)), totals)
    axes.set(xlabel="guessed language", ylabel="true language (test names)")
    axes.grid(visible=False)
    figure.colorbar(image, label="share of the true language's test names (%)", shrink=0.7)
    return figure


def draw_languages(
    rows: Rows, metrics: Mapping[str, float], subject: str, params: PlotSurnamesParams
) -> Figure:
    """Recall and F1 of each language, the largest at the top, beside their plain means."""
    ordered = sorted(rows, key=lambda row: int(row["num_test"]))
    places = np.arange(len(ordered))
    height = 0.3 * len(ordered) + 1.5
    figure = make_figure("Recall and F1 by language", subject, params.width, height)
    axes = figure.subplots()
    recall, f1 = metrics["balanced_accuracy"], metrics["macro_f1"]
    axes.set_title(f"means over languages: recall {recall:.2f} (dashed), F1 {f1:.2f} (dotted)")
    for name, column, color, shift, mean, dashes in (
        ("recall", "recall", params.recall_color, 0.2, recall, "--"),
        ("F1", "f1", params.f1_color, -0.2, f1, ":"),
    ):
        values = [float(row[column]) for row in ordered]
        axes.barh(places + shift, values, 0.38, color=color, label=name)
        axes.axvline(mean, color="black", ls=dashes, lw=1)
    axes.set_yticks(places, [f"{row['language']} ({row['num_test']})" for row in ordered])
    axes.set(xlim=(0, 1), xlabel="recall, F1 (0 to 1)", ylabel="language (test names)")
    axes.margins(y=0.01)
    axes.grid(visible=False, axis="y")
    add_legend(figure)
    return figure


def draw_reliability(
    rows: Rows, metrics: Mapping[str, float], subject: str, params: PlotSurnamesParams
) -> Figure:
    """How often a guess is right, against the probability that the network gave it."""
    sure = np.array([float(row["probability"]) for row in rows])
    right = np.array([row["guess"] == row["language"] for row in rows])
    bins = np.minimum((sure * params.num_bins).astype(int), params.num_bins - 1)
    figure = make_figure("Reliability", subject, params.width, params.width)
    axes, names = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1, label="perfectly calibrated")
    filled = np.unique(bins)
    means = [(sure[bins == b].mean(), right[bins == b].mean()) for b in filled]
    axes.plot(*zip(*means, strict=True), "o-", color=params.recall_color, label="this model")
    axes.set_title(f"expected calibration error {metrics['ece']:.3f}")
    axes.set(ylim=(0, 1), ylabel="guesses that are right (share)")
    edges = np.linspace(0, 1, params.num_bins + 1)
    names.hist(sure, edges, color=params.recall_color, rwidth=0.9)
    names.set(xlim=(0, 1), xlabel="probability of the guess (0 to 1)", ylabel="test names")
    add_legend(figure)
    return figure


def draw_figures(trained: Path, evaluated: Path, params: PlotSurnamesParams) -> dict[str, Figure]:
    """Every figure that the files have data for, by its file's name."""
    metrics = json.loads((evaluated / "metrics.json").read_text(encoding="utf-8"))
    subject = f"model {trained.name} · surnames, {metrics['data']} data"
    curves = read_curves(trained / "curves.csv")
    confusion, languages, predictions = (
        read_table(evaluated / f"{name}.csv") for name in ("confusion", "languages", "predictions")
    )
    figures = {
        "confusion": draw_confusion(confusion, subject, params),
        "languages": draw_languages(languages, metrics, subject, params),
        "reliability": draw_reliability(predictions, metrics, subject, params),
    }
    if has_values(curves, "loss"):
        figures["loss"] = draw_loss(curves, "LOSS", LOSS, subject, params)
    if has_values(curves, "gradient_norm"):
        clip_norm = read_params(f"surnames.{trained.name}", ClippingParams).clip_norm
        figures["gradient_norm"] = draw_gradient_norm(curves, clip_norm, subject, params)
    return figures


def main(trained: str, evaluated: str, out: str) -> None:
    """Write the figures of one model."""
    params = read_params("plot_surnames", PlotSurnamesParams)
    with figure_style():
        figures = draw_figures(Path(trained), Path(evaluated), params)
        save_figures(figures, Path(out), params.dpi)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
