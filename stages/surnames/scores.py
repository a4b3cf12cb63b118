"""Scores of a classifier from its log-probabilities. Arrays: `(N, L)` and true classes `(N,)`."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Classes = NDArray[np.int64]
Counts = NDArray[np.int64]  # (L, L), rows true, columns guessed


def count_confusion(guesses: Classes, truths: Classes, num_classes: int) -> Counts:
    """How often each true class was guessed as each class."""
    flat = np.bincount(truths * num_classes + guesses, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def score_classes(confusion: Counts) -> tuple[Array, Array, Array]:
    """Precision, recall and F1 of each class; 0 where there is nothing to divide by."""
    hits = np.diag(confusion).astype(float)
    guessed, true = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = hits / np.maximum(guessed, 1)
    recall = hits / np.maximum(true, 1)
    return precision, recall, 2 * hits / np.maximum(guessed + true, 1)


def score_guesses(guesses: Classes, truths: Classes, num_classes: int) -> dict[str, float]:
    """Accuracy, balanced accuracy (mean recall) and macro F1 (mean F1)."""
    confusion = count_confusion(guesses, truths, num_classes)
    _, recall, f1 = score_classes(confusion)
    present = confusion.sum(axis=1) > 0
    return {
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        "balanced_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
    }


def is_in_top(log_probabilities: Array, truths: Classes, count: int) -> NDArray[np.bool_]:
    """Whether the true class of each example is among the `count` most probable."""
    top = np.argsort(-log_probabilities, axis=1, kind="stable")[:, :count]
    found: NDArray[np.bool_] = (top == truths[:, None]).any(axis=1)
    return found


def average_nll(log_probabilities: Array, truths: Classes) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(-log_probabilities[np.arange(len(truths)), truths].mean())


def scale_temperature(log_probabilities: Array, temperature: float) -> Array:
    """Log-probabilities of softmax(log p / T): T > 1 makes them less sure."""
    scaled = log_probabilities / temperature
    return scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)


def find_temperature(log_probabilities: Array, truths: Classes) -> float:
    """The temperature with the least NLL, to 1 % (Guo et al., On Calibration, 2017)."""
    grid = np.exp(np.linspace(np.log(0.25), np.log(4.0), 279))
    losses = [average_nll(scale_temperature(log_probabilities, t), truths) for t in grid]
    return float(grid[int(np.argmin(losses))])


def expected_calibration_error(log_probabilities: Array, truths: Classes, bins: int) -> float:
    """Mean gap between confidence and accuracy, over equal bins of confidence."""
    confidence = np.exp(log_probabilities.max(axis=1))
    right = log_probabilities.argmax(axis=1) == truths
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(truths))


def adjust_logits(log_probabilities: Array, prior: Array, strength: float) -> Array:
    """Logit adjustment, log p - τ log prior (Menon et al., Long-tail learning, 2021)."""
    return log_probabilities - strength * np.log(prior)
