"""Draw a surname classifier: data/trained/, data/evaluated/ -> data/plotted/.

Run by DVC as `python stages/run.py surnames.plot TRAINED EVALUATED OUT`. A blend is not trained by
updates: its curves.csv has no rows, and it gets no figures of them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

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
from stages.shared.tables import Rows, read_curves, read_table

MAIN = ("confusion", "languages")  # figures that every classifier has, the blend too
_NUM_BINS = 10  # of the reliability figure, over probabilities 0 to 1


def draw_confusion(rows: Rows, subtitle: str) -> Figure:
    """Draw the confusion matrix, in percent of the names of each language."""
    languages = [row["language"] for row in rows]
    counts = np.zeros((len(rows), len(rows)), dtype=np.int64)
    for index, row in enumerate(rows):
        counts[index] = [int(row[language]) for language in languages]
    totals = counts.sum(axis=1)
    shares = 100 * counts / np.maximum(totals[:, None], 1)
    shown = [language.replace("$", r"\$") for language in languages]  # it begins a formula
    labels = [f"{language} ({n})" for language, n in zip(shown, totals, strict=True)]

    side = 0.42 * len(languages) + 2
    title = "Confusion matrix"
    figure = make_figure(title, subtitle, side, 0.9 * side)
    axes = figure.subplots()
    colors = LinearSegmentedColormap.from_list("shares", ["white", "#084594"])
    image = axes.imshow(shares, cmap=colors, vmin=0, vmax=100)
    for (index, column), share in np.ndenumerate(shares):
        if share >= 0.5:  # does not round to 0
            color = "white" if share > 55 else "black"  # readable on the colour of its cell
            text = f"{share:.0f}"
            axes.text(column, index, text, color=color, ha="center", va="center", fontsize=7.5)
    axes.set_xticks(range(len(languages)), shown, rotation=90)
    axes.set_yticks(range(len(languages)), labels)
    axes.set(xlabel="predicted language", ylabel="true language (test names)")
    axes.grid(visible=False)
    figure.colorbar(image, label="share of the true language's test names (%)", shrink=0.7)
    return figure


def draw_languages(rows: Rows, scores: Mapping[str, float], subtitle: str) -> Figure:
    """Draw recall and F1 of each language, the largest at the top, with their means."""
    rows = sorted(rows, key=lambda row: int(row["num_test"]))
    heights = np.arange(len(rows))
    figure = make_figure("Recall and F1 by language", subtitle, height=0.3 * len(rows) + 1.5)
    axes = figure.subplots()
    recall, f1 = scores["balanced_accuracy"], scores["macro_f1"]
    axes.set_title(f"means over languages: recall {recall:.2f} (dashed), F1 {f1:.2f} (dotted)")

    recalls = [float(row["recall"]) for row in rows]
    axes.barh(heights + 0.2, recalls, 0.38, color=BLUE, label="recall")
    axes.axvline(recall, color="black", ls="--", lw=1)
    f1s = [float(row["f1"]) for row in rows]
    axes.barh(heights - 0.2, f1s, 0.38, color=YELLOW, label="F1")
    axes.axvline(f1, color="black", ls=":", lw=1)

    shown = [row["language"].replace("$", r"\$") for row in rows]
    labels = [f"{language} ({row['num_test']})" for language, row in zip(shown, rows, strict=True)]
    axes.set_yticks(heights, labels)
    axes.set(xlim=(0, 1), xlabel="recall, F1 (0 to 1)", ylabel="language (test names)")
    axes.margins(y=0.01)
    axes.grid(visible=False, axis="y")
    add_legend(figure)
    return figure


def draw_reliability(rows: Rows, scores: Mapping[str, float], subtitle: str) -> Figure:
    """Draw the share of right predictions against their predicted probability."""
    confidence = np.array([float(row["probability"]) for row in rows])
    is_right = np.array([row["guess"] == row["language"] for row in rows])
    bin_of = np.minimum((confidence * _NUM_BINS).astype(int), _NUM_BINS - 1)
    means, accuracies = [], []
    for filled in np.unique(bin_of):
        means.append(confidence[bin_of == filled].mean())
        accuracies.append(is_right[bin_of == filled].mean())

    figure = make_figure("Reliability diagram", subtitle, height=WIDTH)  # square
    axes, names = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1, label="perfectly calibrated")
    axes.plot(means, accuracies, "o-", color=BLUE, label="this model")
    axes.set_title(f"expected calibration error {scores['calibration_error']:.3f}")
    axes.set(ylim=(0, 1), ylabel="accuracy (0 to 1)")
    names.hist(confidence, np.linspace(0, 1, _NUM_BINS + 1), color=BLUE, rwidth=0.9)
    names.set(
        xlim=(0, 1), xlabel="probability of the predicted language (0 to 1)", ylabel="test names"
    )
    add_legend(figure)
    return figure


def main(trained: str, evaluated: str, out: str) -> None:
    """Write the figures of one model."""
    name = Path(trained).name
    curves = read_curves(Path(trained, "curves.csv"))
    clip_norm = None
    if curves.loss:  # a blend has no params of training
        clip_norm = read_value(f"classifiers.{name}.clip_norm")
    network = read_config(Path(trained)).network
    scores = read_json(Path(evaluated, "scores.json"))
    confusion = read_table(Path(evaluated, "confusion.csv"))
    languages = read_table(Path(evaluated, "languages.csv"))
    predictions = read_table(Path(evaluated, "predictions.csv"))
    subtitle = f"model {name} · surnames, {scores['data']} data"
    unit = "negative log-likelihood, nats per name"
    with figure_style():
        figures = {
            "confusion": draw_confusion(confusion, subtitle),
            "languages": draw_languages(languages, scores, subtitle),
            "reliability": draw_reliability(predictions, scores, subtitle),
            **draw_curves(curves, clip_norm, network, unit, subtitle),
        }
        save_figures(figures, MAIN, Path(out), read_params("figures", FigureParams).dpi)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
