import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.models.elman_classifier import ElmanClassifier
from stages.shared.checkpoints import write_model
from stages.shared.intervals import BootstrapParams
from stages.shared.model_config import ModelConfig
from stages.shared.tables import read_table
from stages.shared.yaml_files import format_yaml
from stages.surnames import score_baselines
from stages.surnames.assessment import EvaluateParams
from stages.surnames.evaluate import evaluate, main
from stages.surnames.names import (
    Corpus,
    Names,
    Splits,
    Vocabulary,
    pad_letters,
    write_corpus,
    write_vocabulary,
)

FIVE = ["accuracy", "macro_f1", "macro_f1_adjusted", "top3_accuracy", "calibration_error"]
VOCABULARY = Vocabulary("custom", "abc", ["Aa", "Bb"])
PARAMS = EvaluateParams(
    split="test",
    queries=["b", "Ca-"],
    top=1,
    bins=10,
    bootstrap=BootstrapParams(resamples=200, seed=0),
    prior_strengths=[0.0],
)


class FirstLetter(torch.nn.Module):
    """Names `a…` are of Aa and `b…` of Bb, each with 80 %; `c…` may be either."""

    def forward(self, letters, lengths):
        odds = torch.tensor([[0.8, 0.2], [0.2, 0.8], [0.5, 0.5]])
        return odds.log()[letters[:, 0]]


def names_of(*pairs):
    """Names as words of the alphabet with the index of their language."""
    encoded = [["abc".index(letter) for letter in word] for word, _ in pairs]
    lengths = np.array([len(word) for word, _ in pairs])
    return Names(
        pad_letters(np.concatenate(encoded), lengths),
        lengths,
        np.array([language for _, language in pairs]),
    )


SPLITS = Splits(
    train=names_of(("a", 0), ("aa", 0), ("bab", 1)),
    validation=names_of(("a", 0), ("b", 1)),
    test=names_of(("ab", 0), ("ac", 0), ("ba", 0), ("bb", 1)),
)


def test_scores_on_test_stand_at_the_top_beside_validation():
    scores = evaluate(FirstLetter(), SPLITS, VOCABULARY, PARAMS).scores

    assert scores["data"] == "custom"
    assert scores["num_test"] == 4
    assert scores["accuracy"] == 3 / 4
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert scores["nll"] == pytest.approx(-(3 * math.log(0.8) + math.log(0.2)) / 4)
    assert scores["calibration_error_uncalibrated"] == pytest.approx(0.8 - 3 / 4)
    assert scores["validation"]["accuracy"] == 1


def test_every_score_is_taken_on_test_and_on_validation():
    scores = evaluate(FirstLetter(), SPLITS, VOCABULARY, PARAMS).scores

    plain = {
        "accuracy",
        "top3_accuracy",
        "balanced_accuracy",
        "macro_f1",
        "nll",
        "calibration_error",
    }
    adjusted = {"accuracy_adjusted", "balanced_accuracy_adjusted", "macro_f1_adjusted"}
    assert plain | adjusted <= scores.keys()
    assert plain | adjusted <= scores["validation"].keys()


def test_validation_chooses_the_prior_strength_and_the_temperature():
    # against a prior of 4 to 1, a strength of 2 takes `c…` and even `a…` for the rare language
    splits = Splits(
        train=names_of(("a", 0), ("a", 0), ("a", 0), ("a", 0), ("b", 1)),
        validation=names_of(("a", 0), ("c", 1), ("b", 1)),
        test=SPLITS.test,
    )
    params = PARAMS.model_copy(update={"prior_strengths": [2.0, 0.5, 0.0]})

    scores = evaluate(FirstLetter(), splits, VOCABULARY, params).scores

    assert scores["prior_strength"] == 0.5
    assert scores["temperature"] < 1  # all that it was sure of was right
    assert scores["validation"]["accuracy"] == pytest.approx(2 / 3)
    assert scores["validation"]["accuracy_adjusted"] == 1


def test_the_tables_have_the_values_behind_the_metrics():
    tables = evaluate(FirstLetter(), SPLITS, VOCABULARY, PARAMS).tables

    assert tables["predictions"]["name"].tolist() == ["ab", "ac", "ba", "bb"]
    assert tables["predictions"]["language"].tolist() == ["Aa", "Aa", "Aa", "Bb"]
    assert tables["predictions"]["guess"].tolist() == ["Aa", "Aa", "Bb", "Bb"]
    assert tables["predictions"]["guess_adjusted"].tolist() == ["Aa", "Aa", "Bb", "Bb"]
    assert tables["confusion"].to_numpy().tolist() == [["Aa", 2, 1], ["Bb", 0, 1]]
    assert tables["languages"]["num_train"].tolist() == [2, 1]
    assert tables["languages"]["recall"].tolist() == pytest.approx([2 / 3, 1])


def test_queries_are_cleaned_and_get_their_likeliest_languages():
    params = PARAMS.model_copy(update={"top": 2})

    queries = evaluate(FirstLetter(), SPLITS, VOCABULARY, params).tables["queries"]

    assert queries["query"].tolist() == ["b", "b", "Ca-", "Ca-"]
    assert queries["cleaned"].tolist() == ["b", "b", "a", "a"]
    assert queries["rank"].tolist() == [1, 2, 1, 2]
    assert queries["language"].tolist() == ["Bb", "Aa", "Aa", "Bb"]
    # ln 0.8 and ln 0.2: the network's own, whatever temperature validation chose
    assert queries["log_probability"].tolist() == [-0.22, -1.61, -0.22, -1.61]


@pytest.mark.parametrize(
    ("labels", "power"),
    [
        ((0, 1), 1 / 4),  # half of the guesses are wrong: the temperature rises to its most, 4
        ((0, 0), 1),  # all are right, which does not say how sure they may be
    ],
)
def test_calibrated_probabilities_are_beside_the_networks_own(labels, power):
    validation = names_of(*(("a", label) for label in labels))
    splits = Splits(SPLITS.train, validation, SPLITS.test)

    queries = evaluate(FirstLetter(), splits, VOCABULARY, PARAMS).tables["queries"]

    sure = 0.8**power / (0.8**power + 0.2**power)
    assert queries["calibrated"].tolist() == [round(math.log(sure), 2)] * 2


@pytest.mark.parametrize("others", [["a"], []])
def test_a_query_without_letters_is_left_out(others):
    params = PARAMS.model_copy(update={"queries": [*others, "123"]})

    queries = evaluate(FirstLetter(), SPLITS, VOCABULARY, params).tables["queries"]

    assert {*queries["query"]} == {*others}


def test_evaluation_changes_neither_the_model_nor_its_predictions():
    torch.manual_seed(0)
    model = ElmanClassifier(num_letters=3, num_languages=2, hidden=4)
    weights = {name: value.clone() for name, value in model.state_dict().items()}

    first, second = (evaluate(model, SPLITS, VOCABULARY, PARAMS) for _ in range(2))

    assert first.scores == second.scores
    for name, table in first.tables.items():
        assert table.equals(second.tables[name])
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])


def prepare(folder, split="test", test_languages=(0, 1)):
    """Params, names and a trained model; two names are left for the test."""
    network = {"num_letters": 3, "num_languages": 2, "hidden": 4}
    config = ModelConfig("surnames", "elman_classifier", network)
    write_model(folder / "trained", config, ElmanClassifier(**network))
    baselines = {"names": ["majority"], "costs": [1.0]}
    evaluation = PARAMS.model_dump() | {"split": split}
    params = {"evaluate_classifiers": evaluation, "surname_baselines": baselines}
    (folder / "params.yaml").write_text(format_yaml(params))
    corpus = Corpus(
        letters=np.arange(24, dtype=np.uint8) % 3,
        lengths=np.full(12, 2),
        languages=np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 1, *test_languages]),
        splits=np.repeat(["train", "validation", "test"], [8, 2, 2]),
    )
    write_corpus(folder, corpus)
    write_vocabulary(folder, VOCABULARY)


def test_metrics_and_tables_are_written_as_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    score_baselines.main(".", "baselines")

    main("trained", ".", "baselines", "metrics.json", "evaluated")

    scores = json.loads(Path("evaluated/scores.json").read_text())
    assert scores["num_test"] == 2
    assert scores["improvement"]["accuracy"]["baseline"] == "majority"
    metrics = json.loads(Path("metrics.json").read_text())
    assert list(metrics) == FIVE
    assert metrics == {name: scores[name] for name in FIVE}
    predictions = read_table(Path("evaluated/predictions.csv"))
    num_right = sum(row["language"] == row["guess"] for row in predictions)
    assert num_right / 2 == scores["accuracy"]
    confusion = read_table(Path("evaluated/confusion.csv"))
    assert int(confusion[0]["Aa"]) + int(confusion[1]["Bb"]) == num_right
    assert [row["num_train"] for row in read_table(Path("evaluated/languages.csv"))] == ["5", "3"]
    assert len(read_table(Path("evaluated/queries.csv"))) == 2


def test_while_recipes_are_chosen_the_test_names_change_nothing(tmp_path, monkeypatch):
    written = []
    for number, test_languages in enumerate([(0, 1), (1, 0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        torch.manual_seed(0)
        prepare(folder, "validation", test_languages)
        score_baselines.main(".", "baselines")
        main("trained", ".", "baselines", "metrics.json", "evaluated")
        files = sorted(path for path in folder.glob("[be]*/*") if path.is_file())
        written.append([path.read_bytes() for path in files])

    assert written[0] == written[1]
    scores = json.loads(Path("evaluated/scores.json").read_text())
    assert scores["split"] == "validation"
    assert scores["accuracy"] == scores["validation"]["accuracy"]
