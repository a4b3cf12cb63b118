import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from stages.models.elman_classifier import ElmanClassifier
from stages.shared.bundle import Curves, Sizes, write_bundle
from stages.shared.errors import InputError
from stages.surnames.evaluate import main
from stages.surnames.scores import (
    average_nll,
    correct_prior,
    count_confusion,
    expected_calibration_error,
    find_temperature,
    scale_temperature,
    score_classes,
    score_guesses,
    score_top,
)

TRUTHS = np.array([0, 0, 0, 1, 1, 2])
GUESSES = np.array([0, 0, 1, 1, 0, 1])


def test_scores_by_hand():
    scores = score_guesses(GUESSES, TRUTHS, 3)

    assert scores["accuracy"] == pytest.approx(3 / 6)
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)


def test_a_confusion_has_true_rows_and_guessed_columns():
    confusion = count_confusion(GUESSES, TRUTHS, 3)

    assert confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    precision, recall, _ = score_classes(confusion)
    assert precision.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert recall.tolist() == pytest.approx([2 / 3, 1 / 2, 0])


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    truths, guesses = generator.integers(5, size=(2, 400))

    scores = score_guesses(guesses, truths, 5)

    assert scores["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(truths, guesses)
    )
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(truths, guesses, average="macro"))


def test_top_three_counts_the_three_most_probable():
    log_probabilities = np.log([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])

    assert score_top(log_probabilities, np.array([2, 0]), 3) == 0.5


def test_temperature_undoes_overconfidence():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 4))
    true = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    truths = np.array([generator.choice(4, p=np.exp(row)) for row in true[:4000]])

    sharp = scale_temperature(true[:4000], 1 / 2.5)

    assert find_temperature(sharp, truths) == pytest.approx(2.5, rel=0.1)
    assert expected_calibration_error(sharp, truths, 15) > 0.1
    assert expected_calibration_error(true[:4000], truths, 15) < 0.03
    assert average_nll(true[:4000], truths) < average_nll(sharp, truths)


def test_prior_correction_favours_rare_classes():
    log_probabilities = np.log([[0.6, 0.4]])

    corrected = correct_prior(log_probabilities, np.array([0.9, 0.1]), strength=1.0)

    assert corrected.argmax() == 1


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["evaluate_surnames"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"evaluate_surnames": params}))
    (tmp_path / "surnames").mkdir()
    vocabulary = {
        "data": "sample",
        "symbols": "abcdefghijklmnopqrstuvwxyzYT ",
        "languages": ["Aa", "Bb"],
    }
    (tmp_path / "surnames/vocabulary.json").write_text(json.dumps(vocabulary))
    splits = np.repeat(["train", "validation", "test"], [8, 2, 2])
    arrays = {"letters": np.arange(24) % 26, "lengths": np.full(12, 2), "splits": splits}
    np.savez("surnames/names.npz", languages=np.array([0] * 5 + [1] * 3 + [0, 1] * 2), **arrays)
    torch.manual_seed(0)
    network = {"num_letters": 29, "num_languages": 2, "hidden": 4}
    model = ElmanClassifier(**network)
    write_bundle(tmp_path / "t", Sizes("surnames", "elman_classifier", network), model, Curves())
    return tmp_path


def test_scores_name_their_data_and_stand_beside_the_majority(workspace):
    main("t", "surnames", "e")

    metrics = json.loads((workspace / "e/metrics.json").read_text())
    assert (metrics["data"], metrics["num_test"], metrics["majority_accuracy"]) == (
        "sample",
        2,
        0.5,
    )
    plain = {"accuracy", "top3_accuracy", "balanced_accuracy", "macro_f1", "nll", "ece"}
    corrected = {"accuracy_corrected", "balanced_accuracy_corrected", "macro_f1_corrected"}
    for metric in plain | corrected:
        assert {metric, f"validation_{metric}"} <= metrics.keys()


def test_the_tables_say_what_the_metrics_sum_up(workspace):
    main("t", "surnames", "e")

    tables = {
        name: list(csv.DictReader((workspace / f"e/{name}.csv").read_text().splitlines()))
        for name in ("predictions", "confusion", "languages", "asked")
    }
    metrics = json.loads((workspace / "e/metrics.json").read_text())
    right = sum(row["language"] == row["guess"] for row in tables["predictions"])
    assert right / 2 == metrics["accuracy"]
    assert sum(int(tables["confusion"][n][name]) for n, name in enumerate(("Aa", "Bb"))) == right
    assert [row["num_train"] for row in tables["languages"]] == ["5", "3"]
    asked = [row["query"] for row in tables["asked"] if row["rank"] == "1"]
    assert asked == ["Yue Tingsong", "Yue tingsong", "yutingsong", "test your name"]


def test_a_question_without_letters_is_refused(workspace):
    (workspace / "params.yaml").write_text(
        yaml.safe_dump(
            {"evaluate_surnames": {"asked": ["123"], "top": 3, "bins": 5, "prior_strengths": [0.0]}}
        )
    )

    with pytest.raises(InputError, match="'123' has no letter"):
        main("t", "surnames", "e")
