import json

import numpy as np

from stages.shared.model_config import ModelConfig, write_config
from stages.shared.tables import Curves, write_curves, write_table
from stages.shared.yaml_files import format_yaml
from stages.surnames.plot import draw_confusion, draw_languages, draw_reliability, main

ALWAYS = {"confusion", "languages", "details/reliability"}
SCORES = {"data": "sample", "balanced_accuracy": 0.75, "macro_f1": 0.7, "calibration_error": 0.1}
CONFUSION = [
    {"language": "Czech", "Czech": "2", "Greek": "2"},
    {"language": "Greek", "Czech": "0", "Greek": "1"},
]
LANGUAGES = [
    {"language": "Greek", "num_test": "1", "recall": "1.0", "f1": "0.5"},
    {"language": "Czech", "num_test": "4", "recall": "0.5", "f1": "0.67"},
]
PREDICTIONS = [
    {"language": "Czech", "guess": "Czech", "probability": "0.9"},
    {"language": "Greek", "guess": "Czech", "probability": "0.92"},
    {"language": "Greek", "guess": "Greek", "probability": "0.3"},
]
CURVES = Curves([100, 200], [2.0, 1.0], [None, 1.5], [1.5, 0.5])


def write_files(folder, curves):
    trained, evaluated = folder / "trained/tiny", folder / "evaluated/tiny"
    trained.mkdir(parents=True)
    evaluated.mkdir(parents=True)
    write_curves(trained / "curves.csv", curves)
    write_config(trained, ModelConfig("surnames", "pooled_classifier", {"cell": "gru"}))
    tables = {"confusion": CONFUSION, "languages": LANGUAGES, "predictions": PREDICTIONS}
    for name, rows in tables.items():
        write_table(evaluated / f"{name}.csv", list(rows[0]), [row.values() for row in rows])
    (evaluated / "scores.json").write_text(json.dumps(SCORES), encoding="utf-8")
    params = {"figures": {"dpi": 40}}
    if curves.loss:  # a blend has no entry
        params["classifiers"] = {"tiny": {"clip_norm": None}}
    (folder / "params.yaml").write_text(format_yaml(params), encoding="utf-8")


def draw(folder, monkeypatch, out="plotted"):
    monkeypatch.chdir(folder)
    main("trained/tiny", "evaluated/tiny", out)
    figures = {}
    for path in (folder / out).rglob("*.png"):
        figures[path.relative_to(folder / out).with_suffix("").as_posix()] = path.read_bytes()
    return figures


def test_a_trained_network_has_its_curves_drawn(tmp_path, monkeypatch):
    write_files(tmp_path, CURVES)

    curves = {f"details/{name}" for name in ("loss", "loss_linear", "gradient_norm")}
    assert set(draw(tmp_path, monkeypatch)) == ALWAYS | curves


def test_a_blend_has_no_curves(tmp_path, monkeypatch):
    write_files(tmp_path, Curves())

    assert set(draw(tmp_path, monkeypatch)) == ALWAYS


def test_same_files_give_same_bytes(tmp_path, monkeypatch):
    write_files(tmp_path, CURVES)

    assert draw(tmp_path, monkeypatch, "first") == draw(tmp_path, monkeypatch, "second")


def test_rows_of_the_confusion_matrix_are_shares_of_the_true_language():
    axes = draw_confusion(CONFUSION, "model").axes[0]

    np.testing.assert_array_equal(axes.images[0].get_array(), [[50, 50], [0, 100]])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Czech", "Greek"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Czech (4)", "Greek (1)"]


def test_the_language_with_the_most_names_is_at_the_top():
    axes = draw_languages(LANGUAGES, SCORES, "model").axes[0]

    assert axes.get_yticklabels()[-1].get_text() == "Czech (4)"


def test_guesses_of_like_confidence_share_a_point():
    axes = draw_reliability(PREDICTIONS, SCORES, "model").axes[0]

    _, points = axes.get_lines()
    np.testing.assert_allclose(points.get_xydata(), [[0.3, 1], [0.91, 0.5]])
