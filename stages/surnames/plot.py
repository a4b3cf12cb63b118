"""Draw a surname classifier: data/trained/, data/evaluated/ -> data/plotted/.

Run by DVC as `python stages/run.py surnames.plot TRAINED EVALUATED OUT`. A blend is not trained by
updates: its curves.csv has no rows, and it gets no curves.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stages.shared.command import run_as_command
from stages.shared.figures import (
    BLUE,
    GREY,
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
from stages.shared.model_config import read_config
from stages.shared.params import read_params, read_value
from stages.shared.tables import Curves, Rows, read_curves, read_table

MAIN = ("confusion", "languages")  # figures that every classifier has, the blend too
LOSS = "negative log-likelihood (nats a name)"
RECALL_COLOR = BLUE
F1_COLOR = YELLOW
CONFUSION_COLOR = "#084594"  # of a share of 100 %; white is 0
NUM_BINS = 10  # of the reliability figure, over probabilities 0 to 1


@dataclass(frozen=True)
class Evaluated:
    """What evaluation found, as far as it is drawn."""

    scores: dict[str, Any]
    confusion: Rows
    languages: Rows
    predictions: Rows


def plot(
    name: str,
    curves: Curves,
    clip_norm: float | None,
    network: Mapping[str, Any],
    evaluated: Evaluated,
) -> dict[str, Figure]:
    """Every figure that there are data for, by its file's name.

    Args:
        name: of the model.
        curves: of its training.
        clip_norm: where its gradients were clipped, if anywhere.
        network: arguments of its architecture.
        evaluated: its test.
    """
    scores = evaluated.scores
    subject = f"model {name} · surnames, {scores['data']} data"
    return {
        "confusion": draw_confusion(evaluated.confusion, subject),
        "languages": draw_languages(evaluated.languages, scores, subject),
        "reliability": draw_reliability(evaluated.predictions, scores, subject),
        **draw_curves(curves, clip_norm, network, LOSS, subject),
    }


def draw_confusion(rows: Rows, subject: str) -> Figure:
    """What each language's names are taken for, in percent of that language's names."""
    languages = [row["language"] for row in rows]
    counts = np.zeros((len(rows), len(rows)), dtype=np.int64)
    for place, row in enumerate(rows):
        counts[place] = [int(row[guess]) for guess in languages]
    totals = counts.sum(axis=1)
    shares = 100 * counts / np.maximum(totals[:, None], 1)

    side = 0.42 * len(languages) + 2
    title = "What the names of each language are taken for"
    figure = make_figure(title, subject, side, 0.9 * side)
    axes = figure.subplots()
    colors = LinearSegmentedColormap.from_list("shares", ["white", CONFUSION_COLOR])
    image = axes.imshow(shares, cmap=colors, vmin=0, vmax=100)
    label_shares(axes, shares)
    axes.set_xticks(range(len(languages)), languages, rotation=90)
    axes.set_yticks(range(len(languages)), label_languages(languages, totals.tolist()))
    axes.set(xlabel="guessed language", ylabel="true language (test names)")
    axes.grid(visible=False)
    figure.colorbar(image, label="share of the true language's test names (%)", shrink=0.7)
    return figure


def label_shares(axes: Axes, shares: NDArray[np.float64]) -> None:
    """Write each share that does not round to 0 into its cell, readable on its colour."""
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            color = "white" if share > 55 else "black"
            text = f"{share:.0f}"
            axes.text(column, row, text, color=color, ha="center", va="center", fontsize=7.5)


def label_languages(languages: list[str], num_names: list[int]) -> list[str]:
    """Each language with its number of test names."""
    return [f"{name} ({n})" for name, n in zip(languages, num_names, strict=True)]


def draw_languages(rows: Rows, scores: Mapping[str, float], subject: str) -> Figure:
    """Recall and F1 of each language, the largest at the top, beside their plain means."""
    rows = sorted(rows, key=lambda row: int(row["num_test"]))
    places = np.arange(len(rows))
    figure = make_figure("Recall and F1 by language", subject, height=0.3 * len(rows) + 1.5)
    axes = figure.subplots()
    recall, f1 = scores["balanced_accuracy"], scores["macro_f1"]
    axes.set_title(f"means over languages: recall {recall:.2f} (dashed), F1 {f1:.2f} (dotted)")

    recalls = [float(row["recall"]) for row in rows]
    axes.barh(places + 0.2, recalls, 0.38, color=RECALL_COLOR, label="recall")
    axes.axvline(recall, color="black", ls="--", lw=1)
    f1s = [float(row["f1"]) for row in rows]
    axes.barh(places - 0.2, f1s, 0.38, color=F1_COLOR, label="F1")
    axes.axvline(f1, color="black", ls=":", lw=1)

    languages = [row["language"] for row in rows]
    num_names = [int(row["num_test"]) for row in rows]
    axes.set_yticks(places, label_languages(languages, num_names))
    axes.set(xlim=(0, 1), xlabel="recall, F1 (0 to 1)", ylabel="language (test names)")
    axes.margins(y=0.01)
    axes.grid(visible=False, axis="y")
    add_legend(figure)
    return figure


def draw_reliability(rows: Rows, scores: Mapping[str, float], subject: str) -> Figure:
    """How often a guess is right, against the probability that the network gave it."""
    sure = np.array([float(row["probability"]) for row in rows])
    is_right = np.array([row["guess"] == row["language"] for row in rows])
    bin_of = np.minimum((sure * NUM_BINS).astype(int), NUM_BINS - 1)
    confidences = []
    accuracies = []
    for filled in np.unique(bin_of):
        confidences.append(sure[bin_of == filled].mean())
        accuracies.append(is_right[bin_of == filled].mean())

    figure = make_figure("Reliability", subject, height=WIDTH)  # square
    axes, names = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1, label="perfectly calibrated")
    axes.plot(confidences, accuracies, "o-", color=BLUE, label="this model")
    axes.set_title(f"expected calibration error {scores['calibration_error']:.3f}")
    axes.set(ylim=(0, 1), ylabel="guesses that are right (share)")
    names.hist(sure, np.linspace(0, 1, NUM_BINS + 1), color=BLUE, rwidth=0.9)
    names.set(xlim=(0, 1), xlabel="probability of the guess (0 to 1)", ylabel="test names")
    add_legend(figure)
    return figure


def read_evaluated(folder: Path) -> Evaluated:
    """Read what is drawn of data/evaluated/surnames/<model>/."""
    return Evaluated(
        scores=read_json(folder / "scores.json"),
        confusion=read_table(folder / "confusion.csv"),
        languages=read_table(folder / "languages.csv"),
        predictions=read_table(folder / "predictions.csv"),
    )


def main(trained: str, evaluated: str, out: str) -> None:
    """Write the figures of one model."""
    params = read_params("figures", FigureParams)
    name = Path(trained).name
    curves = read_curves(Path(trained, "curves.csv"))
    clip_norm = None
    if curves.loss:  # a blend has no params of training
        clip_norm = read_value(f"classifiers.{name}.clip_norm")
    network = read_config(Path(trained)).network
    with figure_style():
        figures = plot(name, curves, clip_norm, network, read_evaluated(Path(evaluated)))
        save_figures(figures, MAIN, Path(out), params.dpi)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
