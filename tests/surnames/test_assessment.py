import numpy as np
import pytest

from stages.shared.intervals import BootstrapParams
from stages.surnames.assessment import (
    Adjustment,
    EvaluateParams,
    Guesses,
    assess,
    collect_guesses,
    guess,
    measure_improvement,
)
from stages.surnames.names import Names, Splits, Vocabulary

PARAMS = EvaluateParams(
    split="test",
    asked=["a"],
    top=1,
    bins=10,
    bootstrap=BootstrapParams(resamples=400, seed=0),
    prior_strengths=[0.0],
)
VOCABULARY = Vocabulary("custom", "a", ["Aa", "Bb"])


def names_of(languages):
    number = len(languages)
    return Names(np.zeros((number, 1), dtype=np.int64), np.ones(number), np.array(languages))


TRUTHS = [0] * 100 + [1] * 25
SPLITS = Splits(names_of(TRUTHS), names_of(TRUTHS), names_of(TRUTHS))


def answer(right):
    """Log-probabilities of 90 % for the true language of some names, and of 10 % for the others."""
    sure = np.where(right, 0.9, 0.1)
    is_first = np.array(TRUTHS) == 0
    first = np.where(is_first, sure, 1 - sure)
    return np.log(np.stack([first, 1 - first], axis=1))


HALF = np.tile([True, False], 63)[:125]


def test_an_interval_of_recall_is_that_of_two_binomials():
    scores = assess(answer(HALF), answer(HALF), SPLITS, PARAMS).scores

    recall = scores["intervals"]["balanced_accuracy"]  # the mean of 50 / 100 and 13 / 25
    spread = 1.96 * np.sqrt(0.25 / 100 + 0.25 / 25) / 2
    assert recall["low"] == pytest.approx(0.51 - spread, abs=0.02)
    assert recall["high"] == pytest.approx(0.51 + spread, abs=0.02)


def test_each_language_keeps_its_number_of_names_in_an_interval():
    always_first = answer(np.array(TRUTHS) == 0)

    scores = assess(always_first, always_first, SPLITS, PARAMS).scores

    assert scores["intervals"]["accuracy"] == {"low": 0.8, "high": 0.8}


def test_every_score_that_counts_names_has_an_interval_around_it():
    scores = assess(answer(HALF), answer(HALF), SPLITS, PARAMS).scores

    plain = {"accuracy", "balanced_accuracy", "macro_f1"}
    adjusted = {f"{name}_adjusted" for name in plain}
    assert scores["intervals"].keys() == plain | adjusted | {"top3_accuracy"}
    for name in plain | adjusted:
        assert scores["intervals"][name]["low"] < scores[name] < scores["intervals"][name]["high"]


def test_correction_takes_doubtful_names_for_the_rarer_language():
    log_probabilities = np.log([[0.7, 0.3], [0.9, 0.1]])
    adjustment = Adjustment(np.array([0.8, 0.2]), prior_strength=1.0, temperature=1.0)

    guesses = guess(log_probabilities, adjustment)

    assert guesses.plain.tolist() == [0, 0]
    assert guesses.adjusted.tolist() == [1, 0]  # 0.7 / 0.8 < 0.3 / 0.2


def score_on_validation(value):
    return {"validation": {"accuracy": value, "macro_f1_adjusted": value}}


def test_an_improvement_is_over_the_baseline_that_validation_prefers():
    truths = np.array(TRUTHS)
    wrong = Guesses(1 - truths, 1 - truths)
    guesses = {"good": wrong, "lucky": Guesses(truths, truths)}
    baselines = {"good": score_on_validation(0.9), "lucky": score_on_validation(0.8)}

    improvement = measure_improvement(Guesses(truths, truths), baselines, guesses, SPLITS, PARAMS)

    ahead = {"baseline": "good", "low": 1.0, "high": 1.0}
    assert improvement == {"accuracy": ahead, "macro_f1_adjusted": ahead}


def test_an_improvement_of_names_told_apart_alike_is_zero():
    truths = np.array(TRUTHS)
    plain = np.where(HALF, truths, 1 - truths)
    guesses = Guesses(plain, truths)

    improvement = measure_improvement(
        guesses, {"same": score_on_validation(0.5)}, {"same": guesses}, SPLITS, PARAMS
    )

    even = {"baseline": "same", "low": 0.0, "high": 0.0}
    assert improvement == {"accuracy": even, "macro_f1_adjusted": even}


def test_guesses_are_read_by_baseline():
    rows = [
        {"baseline": "majority", "guess": "Bb", "guess_adjusted": "Aa"},
        {"baseline": "majority", "guess": "Bb", "guess_adjusted": "Bb"},
        {"baseline": "tfidf_svc", "guess": "Aa", "guess_adjusted": "Aa"},
    ]

    guesses = collect_guesses(rows, VOCABULARY)

    assert guesses["majority"].plain.tolist() == [1, 1]
    assert guesses["majority"].adjusted.tolist() == [0, 1]
    assert guesses["tfidf_svc"].plain.tolist() == [0]
