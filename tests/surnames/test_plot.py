import csv
import json

import numpy as np

from stages.shared.figures import read_table
from stages.surnames.plot import PlotSurnamesParams, draw_confusion, draw_languages, main

COLORS = ["loss_color", "mean_color", "norm_color", "recall_color", "f1_color", "confusion_color"]
SECTION = {"dpi": 40, "width": 4.0, "height": 3.0, "num_bins": 5} | dict.fromkeys(COLORS, "blue")
ALWAYS = {"confusion", "languages", "reliability"}
METRICS = {"data": "sample", "balanced_accuracy": 0.75, "macro_f1": 0.7, "ece": 0.1}


def write_table(path, *rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def write_files(folder, curves):
    trained, evaluated = folder / "trained" / "tiny", folder / "evaluated" / "tiny"
    trained.mkdir(parents=True)
    evaluated.mkdir(parents=True)
    write_table(
        trained / "curves.csv", ["iteration", "loss", "mean_loss", "gradient_norm"], *curves
    )
    write_table(
        evaluated / "confusion.csv",
        ["language", "Czech", "Greek"],
        ["Czech", 2, 2],
        ["Greek", 0, 1],
    )
    write_table(
        evaluated / "languages.csv",
        ["language", "num_train", "num_test", "precision", "recall", "f1"],
        ["Greek", 8, 1, 0.33, 1.0, 0.5],
        ["Czech", 30, 4, 1.0, 0.5, 0.67],
    )
    write_table(
        evaluated / "predictions.csv",
        ["name", "language", "guess", "probability"],
        ["Novak", "Czech", "Czech", 0.9],
        ["Pappas", "Greek", "Czech", 1.0],
    )
    (evaluated / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
    params = {"plot_surnames": SECTION, "surnames": {"tiny": {"clip_norm": None}}}
    (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML


def plot(folder, monkeypatch, out="plotted"):
    monkeypatch.chdir(folder)
    main("trained/tiny", "evaluated/tiny", out)
    return {path.stem: path.read_bytes() for path in (folder / out).iterdir()}


def test_a_trained_network_has_its_curves_drawn(tmp_path, monkeypatch):
    write_files(tmp_path, curves=[[100, 2.0, "", 1.5], [200, 1.0, 1.5, 0.5]])

    assert set(plot(tmp_path, monkeypatch)) == ALWAYS | {"loss", "gradient_norm"}


def test_a_blend_has_no_curves(tmp_path, monkeypatch):
    write_files(tmp_path, curves=[])

    assert set(plot(tmp_path, monkeypatch)) == ALWAYS


def test_same_files_give_same_bytes(tmp_path, monkeypatch):
    write_files(tmp_path, curves=[[100, 2.0, "", ""]])

    assert plot(tmp_path, monkeypatch, "first") == plot(tmp_path, monkeypatch, "second")


def test_rows_of_the_confusion_matrix_are_shares_of_the_true_language(tmp_path):
    write_files(tmp_path, curves=[])
    table = read_table(tmp_path / "evaluated/tiny/confusion.csv")

    axes = draw_confusion(table, "model", PlotSurnamesParams(**SECTION)).axes[0]

    np.testing.assert_array_equal(axes.images[0].get_array(), [[50, 50], [0, 100]])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Czech", "Greek"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Czech (4)", "Greek (1)"]


def test_the_language_with_the_most_names_is_at_the_top(tmp_path):
    write_files(tmp_path, curves=[])
    rows = read_table(tmp_path / "evaluated/tiny/languages.csv")

    axes = draw_languages(rows, METRICS, "model", PlotSurnamesParams(**SECTION)).axes[0]

    assert axes.get_yticklabels()[-1].get_text() == "Czech (4)"
