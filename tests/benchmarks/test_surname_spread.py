from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.data import Division
from benchmarks.surname_spread import (
    BLEND,
    Result,
    Source,
    choose_baseline,
    has_chance,
    measure_improvements,
    pool_tests,
    scale_weights,
    score_pooled,
    shift_seed,
    try_entries,
)
from stages.shared.params import read_params
from stages.shared.yaml_files import format_yaml, parse_yaml
from stages.surnames.assessment import IMPROVED, Predictions
from stages.surnames.names import Names, Splits, Vocabulary
from stages.surnames.train import ClassifierParams, train

VOCABULARY = Vocabulary("custom", "abc", ["Aa", "Bb"])
LANGUAGE_OF = np.array([0, 0, 1, 1])  # of the rows 0 to 3


def divide(*test_rows):
    """A division with these rows in its test."""
    languages = LANGUAGE_OF[list(test_rows)]
    ones = np.ones(len(languages), dtype=np.int64)
    names = Names(np.zeros((len(languages), 1), dtype=np.uint8), ones, languages)
    return Division(Splits(names, names, names), VOCABULARY, np.array(test_rows))


def guess(*languages):
    return Predictions(np.array(languages), np.array(languages))


def test_a_pair_of_two_tests_is_pooled_once():
    pool = pool_tests([divide(0, 2), divide(0, 1)])

    assert pool.languages.tolist() == [0, 0, 1]
    assert [places.tolist() for places in pool.places] == [[0, -1, 1], [0, 1, -1]]


def test_a_chosen_pair_counts_in_every_test_that_it_is_in():
    pool = pool_tests([divide(0, 2), divide(0, 1)])
    right_on_row_0 = [[guess(0, 0)], [guess(0, 1)]]

    each = np.array([[0], [0]])  # the only training of both splits
    once = score_pooled(right_on_row_0, pool, np.arange(3), each)
    twice = score_pooled(right_on_row_0, pool, np.array([0, 0, 1, 2]), each)

    assert once["accuracy"] == pytest.approx(1 / 2)
    assert twice["accuracy"] == pytest.approx(2 / 3)  # two of three, in both tests


def test_the_statistic_is_the_mean_over_splits_of_the_mean_over_trainings():
    pool = pool_tests([divide(0, 2), divide(1, 3)])
    right, wrong = guess(0, 1), guess(1, 0)
    predictions = [[right, wrong], [right, right]]

    scores = score_pooled(predictions, pool, np.arange(4), np.array([[0, 1], [0, 1]]))
    again = score_pooled(predictions, pool, np.arange(4), np.array([[1, 1], [0, 1]]))

    assert scores == {"accuracy": 0.75, "macro_f1_adjusted": 0.75}
    assert again == {"accuracy": 0.5, "macro_f1_adjusted": 0.5}  # the wrong one is drawn twice


def make_result(name, split, guesses, **validation):
    return Result(name, split, {"validation": dict.fromkeys(IMPROVED, 0.5) | validation}, guesses)


def test_a_pair_in_several_tests_is_resampled_in_all_of_them_together():
    divisions = [divide(0, 1, 2)] * 3
    own, theirs = [], []
    for split in range(3):
        own.append(make_result("entry", split, guess(0, 0, 1)))
        theirs.append(make_result("baseline", split, guess(1, 0, 1)))

    improvement = measure_improvements(own, {"baseline": theirs}, divisions)["accuracy"]

    assert improvement.baseline == "baseline"
    assert improvement.difference == pytest.approx(1 / 3)
    # row 0 is drawn 0, 1 or 2 times, a quarter, half and a quarter of the draws; by itself in each
    # test it would be drawn 0 times in all three in 1 of 64, which the interval would leave out
    assert improvement.interval == pytest.approx({"low": 0, "high": 2 / 3})


def test_each_language_keeps_its_number_of_pairs():
    divisions = [divide(0, 1, 2, 3)]
    entry = make_result("entry", 0, guess(0, 0, 1, 1))
    right_on_language_1 = make_result("baseline", 0, guess(1, 1, 1, 1))

    improvement = measure_improvements([entry], {"baseline": [right_on_language_1]}, divisions)[
        "accuracy"
    ]

    assert improvement.interval == {"low": 0.5, "high": 0.5}


def test_the_baseline_is_the_best_on_validation_in_the_mean_over_splits():
    lucky, steady = [], []
    for split, accuracy in enumerate([0.9, 0.1]):
        lucky.append(make_result("lucky", split, guess(0), accuracy=accuracy))
        steady.append(make_result("steady", split, guess(0), accuracy=0.6))

    assert choose_baseline({"lucky": lucky, "steady": steady}, "accuracy") == "steady"


NAMES = Names(
    np.array([[0, 1], [1, 2], [2, 0]], dtype=np.uint8), np.array([2, 2, 1]), np.array([0, 1, 1])
)


@pytest.mark.parametrize(
    ("name", "changes", "chance"),
    [
        ("surname_markov", {"batch": 2}, False),
        ("surname_fast", {"batch": 3, "iterations": 1, "sorted_batches": 1}, True),
    ],
)
def test_only_what_counts_all_names_is_the_same_by_every_seed(name, changes, chance):
    params = read_params(f"classifiers.{name}", ClassifierParams).model_copy(update=changes)

    weights = []
    for shift in range(5):
        trained = train(shift_seed(params, shift), NAMES, VOCABULARY, name)
        weights.append(torch.cat([w.flatten() for w in trained.model.state_dict().values()]))

    assert has_chance(params) == chance
    assert all(torch.equal(weights[0], other) for other in weights) != chance


def test_scaled_weights_are_all_a_little_larger():
    model = torch.nn.Linear(2, 3)
    before = [weight.clone() for weight in model.parameters()]

    scale_weights(model, 1.5)

    for weight, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(weight, 1.5 * old)


FILES = {
    "Aa": [f"{a}{b}o" for a in "klmnp" for b in "aeiou"],
    "Bb": [f"{a}{b}sch" for a in "drstw" for b in "aeiou"],
}
NUM_TRAIN = 42  # of the 50 names, without a tenth of each language to validate and a tenth to test
SHORT = {
    "surname_gru": {"batch": 21, "iterations": 20, "sorted_batches": 1},
    "surname_ngrams": {"batch": 21, "iterations": 20},
    "surname_markov": {"batch": NUM_TRAIN},
}


@pytest.fixture
def short_params(tmp_path, monkeypatch):
    """A params.yaml whose trainings take moments."""
    params = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))
    for name, changes in SHORT.items():
        params["classifiers"][name].update(changes)
    (tmp_path / "params.yaml").write_text(format_yaml(params), encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_entries_are_scored_and_blended_by_each_seed(short_params):
    source = Source(FILES, "custom")

    first, second = (try_entries(list(SHORT), source, 1, shift) for shift in (0, 1))

    assert len(source.divide(1).splits.train.lengths) == NUM_TRAIN
    assert [result.name for result in first] == [*SHORT, BLEND]
    assert [result.name for result in second] == ["surname_gru", "surname_ngrams", BLEND]
    assert {result.split for result in first + second} == {1}
    assert first[0].scores["nll"] != second[0].scores["nll"]
    assert first[-1].scores["nll"] != second[-1].scores["nll"]
