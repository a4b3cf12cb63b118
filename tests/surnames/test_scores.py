import numpy as np
import pytest

from stages.surnames.scores import (
    adjust_logits,
    average_nll,
    count_confusion,
    expected_calibration_error,
    find_temperature,
    is_in_top,
    scale_temperature,
    score_classes,
    score_guesses,
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

    assert is_in_top(log_probabilities, np.array([2, 0]), 3).tolist() == [True, False]


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

    adjusted = adjust_logits(log_probabilities, np.array([0.9, 0.1]), strength=1.0)

    assert adjusted.argmax() == 1
