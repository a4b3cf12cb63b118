import numpy as np
import pytest

from stages.shared.intervals import BootstrapParams
from stages.surnames.assessment import (
    EvaluateParams,
    Predictions,
    assess,
    average_nll,
    collect_predictions,
    confusion_matrix,
    expected_calibration_error,
    find_temperature,
    is_in_top_k,
    measure_improvement,
    precision_recall_f1,
    predict,
    scale_temperature,
    score_predictions,
)
from stages.surnames.names import Names, Splits, Vocabulary

PARAMS = EvaluateParams(
    split="test",
    queries=["a"],
    top=1,
    bins=10,
    bootstrap=BootstrapParams(resamples=400, seed=0),
    prior_strengths=[0.0],
)
VOCABULARY = Vocabulary("custom", "a", ["Aa", "Bb"])


def names_of(languages):
    number = len(languages)
    return Names(np.zeros((number, 1), dtype=np.int64), np.ones(number), np.array(languages))


TARGETS = [0] * 100 + [1] * 25
SPLITS = Splits(names_of(TARGETS), names_of(TARGETS), names_of(TARGETS))


def answer(right):
    """Log-probabilities of 90 % for the true language of some names, and of 10 % for the others."""
    sure = np.where(right, 0.9, 0.1)
    is_first = np.array(TARGETS) == 0
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
    always_first = answer(np.array(TARGETS) == 0)

    scores = assess(always_first, always_first, SPLITS, PARAMS).scores

    assert scores["intervals"]["accuracy"] == {"low": 0.8, "high": 0.8}


def test_every_score_that_counts_names_has_an_interval_around_it():
    scores = assess(answer(HALF), answer(HALF), SPLITS, PARAMS).scores

    plain = {"accuracy", "balanced_accuracy", "macro_f1"}
    adjusted = {f"{name}_adjusted" for name in plain}
    assert scores["intervals"].keys() == plain | adjusted | {"top3_accuracy"}
    for name in plain | adjusted:
        assert scores["intervals"][name]["low"] < scores[name] < scores["intervals"][name]["high"]


def test_logit_adjustment_takes_doubtful_names_for_the_rarer_language():
    log_probabilities = np.log([[0.7, 0.3], [0.9, 0.1]])

    predictions = predict(log_probabilities, prior=np.array([0.8, 0.2]), strength=1.0)

    assert predictions.plain.tolist() == [0, 0]
    assert predictions.adjusted.tolist() == [1, 0]  # 0.7 / 0.8 < 0.3 / 0.2


def score_on_validation(value):
    return {"validation": {"accuracy": value, "macro_f1_adjusted": value}}


def test_an_improvement_is_over_the_baseline_that_validation_prefers():
    targets = np.array(TARGETS)
    wrong = Predictions(1 - targets, 1 - targets)
    predictions = {"good": wrong, "lucky": Predictions(targets, targets)}
    baselines = {"good": score_on_validation(0.9), "lucky": score_on_validation(0.8)}

    improvement = measure_improvement(
        Predictions(targets, targets), baselines, predictions, SPLITS, PARAMS
    )

    ahead = {"baseline": "good", "low": 1.0, "high": 1.0}
    assert improvement == {"accuracy": ahead, "macro_f1_adjusted": ahead}


def test_an_improvement_over_equal_predictions_is_zero():
    targets = np.array(TARGETS)
    plain = np.where(HALF, targets, 1 - targets)
    predictions = Predictions(plain, targets)

    improvement = measure_improvement(
        predictions, {"same": score_on_validation(0.5)}, {"same": predictions}, SPLITS, PARAMS
    )

    even = {"baseline": "same", "low": 0.0, "high": 0.0}
    assert improvement == {"accuracy": even, "macro_f1_adjusted": even}


def test_predictions_are_read_by_baseline():
    rows = [
        {"baseline": "majority", "guess": "Bb", "guess_adjusted": "Aa"},
        {"baseline": "majority", "guess": "Bb", "guess_adjusted": "Bb"},
        {"baseline": "tfidf_svc", "guess": "Aa", "guess_adjusted": "Aa"},
    ]

    predictions = collect_predictions(rows, VOCABULARY)

    assert predictions["majority"].plain.tolist() == [1, 1]
    assert predictions["majority"].adjusted.tolist() == [0, 1]
    assert predictions["tfidf_svc"].plain.tolist() == [0]


SIX_TARGETS = np.array([0, 0, 0, 1, 1, 2])
SIX_PREDICTIONS = np.array([0, 0, 1, 1, 0, 1])


def test_scores_by_hand():
    scores = score_predictions(SIX_PREDICTIONS, SIX_TARGETS, 3)

    assert scores["accuracy"] == pytest.approx(3 / 6)
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)


def test_a_confusion_has_true_rows_and_guessed_columns():
    confusion = confusion_matrix(SIX_PREDICTIONS, SIX_TARGETS, 3)

    assert confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    precision, recall, _ = precision_recall_f1(confusion)
    assert precision.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert recall.tolist() == pytest.approx([2 / 3, 1 / 2, 0])


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    targets, predictions = generator.integers(5, size=(2, 400))

    scores = score_predictions(predictions, targets, 5)

    assert scores["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(targets, predictions)
    )
    assert scores["macro_f1"] == pytest.approx(
        metrics.f1_score(targets, predictions, average="macro")
    )


def test_top_three_counts_the_three_most_probable():
    log_probabilities = np.log([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])

    assert is_in_top_k(log_probabilities, np.array([2, 0]), 3).tolist() == [True, False]


def test_temperature_undoes_overconfidence():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 4))
    true = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    targets = np.array([generator.choice(4, p=np.exp(row)) for row in true[:4000]])

    sharp = scale_temperature(true[:4000], 1 / 2.5)

    assert find_temperature(sharp, targets) == pytest.approx(2.5, rel=0.1)
    assert expected_calibration_error(sharp, targets, 15) > 0.1
    assert expected_calibration_error(true[:4000], targets, 15) < 0.03
    assert average_nll(true[:4000], targets) < average_nll(sharp, targets)
