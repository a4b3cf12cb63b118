import json
import math
from pathlib import Path

import numpy as np
import pytest

from stages.shared.intervals import BootstrapParams
from stages.shared.tables import read_table
from stages.shared.yaml_files import format_yaml
from stages.surnames.assessment import EvaluateParams
from stages.surnames.names import (
    Corpus,
    Names,
    Splits,
    Vocabulary,
    pad_letters,
    write_corpus,
    write_vocabulary,
)
from stages.surnames.score_baselines import BaselineParams, main, score_baselines

EVALUATION = EvaluateParams(
    split="test",
    queries=["a"],
    top=1,
    bins=10,
    bootstrap=BootstrapParams(resamples=50, seed=0),
    prior_strengths=[0.0, 0.5],
)
PARAMS = BaselineParams(names=["majority", "tfidf_svc"], costs=[0.1, 1.0])
SYMBOLS = "abcdB"
LANGUAGES = ["Aa", "Bb", "Cc"]


def names_of(pairs):
    """Names as words with the index of their language."""
    encoded = [[SYMBOLS.index(letter) for letter in word] for word, _ in pairs]
    lengths = np.array([len(word) for word, _ in pairs])
    return Names(
        pad_letters(np.concatenate(encoded), lengths),
        lengths,
        np.array([language for _, language in pairs]),
    )


ENDINGS = [
    ("acda", 0),
    ("cada", 0),
    ("daca", 0),
    ("dcaa", 0),
    ("cadb", 1),
    ("acdb", 1),
    ("dacc", 2),
]
LETTERS = Splits(names_of(ENDINGS), names_of(ENDINGS), names_of(ENDINGS))


def score(splits, languages=LANGUAGES, params=PARAMS):
    return score_baselines(splits, Vocabulary("custom", SYMBOLS, languages), params, EVALUATION)


def test_the_majority_baseline_uses_only_the_shares_of_the_languages():
    scores = score(LETTERS).scores["majority"]

    assert scores["accuracy"] == pytest.approx(4 / 7)
    assert scores["balanced_accuracy"] == pytest.approx(1 / 3)
    assert scores["macro_f1"] == pytest.approx((2 * 4 / (7 + 4)) / 3)
    shares = np.array([4, 2, 1]) / 7
    assert scores["nll"] == pytest.approx(-(shares * np.log(shares)).sum())  # their entropy


def test_the_svm_separates_languages_by_their_letters():
    scores = score(LETTERS).scores["tfidf_svc"]

    assert scores["accuracy"] == scores["validation"]["accuracy"] == 1
    assert scores["nll"] == scores["validation"]["nll"]  # the same names, at the same temperature


def test_all_baselines_have_the_scores_of_a_classifier():
    scores = score(LETTERS).scores

    chosen = {"cost", "lowercase", "marked", "sublinear", "margin_temperature"}
    assert scores["tfidf_svc"].keys() == scores["majority"].keys() | chosen
    assert {"macro_f1_adjusted", "calibration_error", "intervals", "prior_strength"} <= scores[
        "majority"
    ].keys()


def test_two_languages_have_one_decision_function():
    pairs = [pair for pair in ENDINGS if pair[1] < 2]
    splits = Splits(names_of(pairs), names_of(pairs), names_of(pairs))

    scores = score(splits, LANGUAGES[:2]).scores

    assert scores["tfidf_svc"]["accuracy"] == 1
    assert scores["tfidf_svc"]["nll"] < math.log(2)


def choose(train, validation):
    """What validation chose of names whose languages they tell apart by one trait."""
    splits = Splits(names_of(train), names_of(validation), names_of(validation))
    return score(splits, LANGUAGES[:2]).scores["tfidf_svc"]


def test_validation_chooses_marked_ends_if_they_help():
    train = [("ca", 0), ("da", 0), ("ac", 1), ("ad", 1)] * 3
    validation = [("Ba", 0), ("aB", 1)]  # of whose pairs of letters none is known

    assert choose(train, validation)["marked"] == 1


def test_validation_chooses_lower_case_where_capitals_mislead():
    train = [("Baa", 0), ("Bac", 0), ("cbb", 1), ("dbb", 1)] * 3
    validation = [("BBB", 1), ("ccc", 1), ("Bcd", 1), ("aad", 0)]

    assert choose(train, validation)["lowercase"] == 1


def test_scores_and_predictions_are_written_as_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = {
        "surname_baselines": PARAMS.model_dump(),
        "evaluate_classifiers": EVALUATION.model_dump(),
    }
    Path("params.yaml").write_text(format_yaml(params), encoding="utf-8")
    corpus = Corpus(
        letters=np.arange(36, dtype=np.uint8) % 4,
        lengths=np.full(12, 3),
        languages=np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 2, 1, 0]),
        splits=np.repeat(["train", "validation", "test"], [6, 3, 3]),
    )
    write_corpus(tmp_path, corpus)
    write_vocabulary(tmp_path, Vocabulary("sample", SYMBOLS, LANGUAGES))

    main(".", "first")
    main(".", "second")

    scores = json.loads(Path("first/scores.json").read_text(encoding="utf-8"))
    assert list(scores) == ["data", "majority", "tfidf_svc"]
    assert scores["data"] == "sample"
    rows = read_table(Path("first/predictions.csv"))
    by_svc = [row for row in rows if row["baseline"] == "tfidf_svc"]
    num_right = sum(row["guess"] == row["language"] for row in by_svc)
    assert (len(rows), len(by_svc)) == (6, 3)
    assert num_right / 3 == scores["tfidf_svc"]["accuracy"]
    for file in ("scores.json", "predictions.csv"):
        assert Path("first", file).read_bytes() == Path("second", file).read_bytes()
