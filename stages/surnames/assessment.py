"""Scores of classifiers, both networks and baselines, from their log-probabilities.

Shapes: N names, L languages; log-probabilities are `(N, L)`, targets and predictions `(N,)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, StringConstraints

from stages.shared.intervals import BootstrapParams, Items, bootstrap, bootstrap_difference
from stages.shared.json_files import Baselines
from stages.shared.params import Count, Params
from stages.shared.tables import Rows
from stages.surnames.names import Names, Splits, Vocabulary, decode_names

Array = NDArray[np.float64]
Classes = NDArray[np.int64]
Counts = NDArray[np.int64]  # (L, L), rows targets, columns predictions

IMPROVED = ("accuracy", "macro_f1_adjusted")  # scores whose improvement over a baseline is measured
METRICS = ("accuracy", "macro_f1", "macro_f1_adjusted", "top3_accuracy", "calibration_error")

_Query = Annotated[str, StringConstraints(max_length=200)]  # the longest names have some 20
_Strength = Annotated[float, Field(ge=-100, le=100)]  # exp of it times a logarithm stays finite


class EvaluateParams(Params):
    """Section `evaluate_classifiers` of params.yaml."""

    split: Literal["test", "validation"]  # validation: while recipes are chosen
    queries: list[_Query] = Field(min_length=1)  # names that the walk-through predicts
    top: Count  # languages listed for each of them
    bins: Count  # of the calibration error
    prior_strengths: list[_Strength] = Field(min_length=1)  # of the logit adjustment
    bootstrap: BootstrapParams  # of the intervals, over the test names of each language


@dataclass(frozen=True)
class Predictions:
    """The most probable languages of names."""

    plain: Classes  # (N,)
    adjusted: Classes  # (N,), after the logit adjustment


@dataclass(frozen=True)
class _Assessment:
    scores: dict[str, Any]  # nested: scores on test, `intervals`, `validation`
    predictions: Predictions  # on test


def hide_test(splits: Splits, params: EvaluateParams) -> Splits:
    """Replace the test split by the validation split while recipes are chosen."""
    return splits if params.split == "test" else replace(splits, test=splits.validation)


def assess(
    on_validation: Array, on_test: Array, splits: Splits, params: EvaluateParams
) -> _Assessment:
    """Score log-probabilities `(N, L)` on test.

    Validation chooses the temperature, and the strength of the logit adjustment by macro F1, the
    smallest of equals. The prior of the languages comes from the training split.
    """
    targets, num_languages = splits.test.languages, on_test.shape[1]
    validation_targets = splits.validation.languages
    prior = measure_prior(splits, num_languages)

    def macro_f1(strength: float) -> float:
        predictions = predict(on_validation, prior, strength).adjusted
        return score_predictions(predictions, validation_targets, num_languages)["macro_f1"]

    strength = max(sorted(params.prior_strengths), key=macro_f1)
    temperature = find_temperature(on_validation, validation_targets)

    def score(log_probabilities: Array, targets: Classes) -> dict[str, float]:
        predictions = predict(log_probabilities, prior, strength)
        is_in_top = is_in_top_k(log_probabilities, targets, 3)
        scores = score_items(predictions, is_in_top, targets, num_languages)
        calibrated = scale_temperature(log_probabilities, temperature)
        scores["nll"] = average_nll(log_probabilities, targets)
        scores["nll_calibrated"] = average_nll(calibrated, targets)
        scores["calibration_error"] = expected_calibration_error(calibrated, targets, params.bins)
        scores["calibration_error_uncalibrated"] = expected_calibration_error(
            log_probabilities, targets, params.bins
        )
        return scores

    predictions = predict(on_test, prior, strength)
    is_in_top = is_in_top_k(on_test, targets, 3)
    measure = partial(score_items, predictions, is_in_top, targets, num_languages)
    scores = {
        **score(on_test, targets),
        "prior_strength": strength,
        "temperature": temperature,
        "intervals": bootstrap(measure, targets, params.bootstrap),
        "validation": score(on_validation, validation_targets),
    }
    return _Assessment(scores, predictions)


def measure_prior(splits: Splits, num_languages: int) -> Array:
    """Return the shares of the languages in the training split, `(L,)`."""
    counts = np.bincount(splits.train.languages, minlength=num_languages)
    prior: Array = counts / counts.sum()
    return prior


def predict(log_probabilities: Array, prior: Array, strength: float) -> Predictions:
    """Return the most probable languages, before and after the logit adjustment.

    Log-probabilities become log p - strength · log prior (Menon et al., Long-tail learning, 2021).
    """
    adjusted = log_probabilities - strength * np.log(prior)
    return Predictions(log_probabilities.argmax(axis=1), adjusted.argmax(axis=1))


def score_items(
    predictions: Predictions,
    is_in_top: NDArray[np.bool_],
    targets: Classes,
    num_languages: int,
    chosen: Items | slice = slice(None),
) -> dict[str, float]:
    """Return the scores that count names, for all or for chosen names.

    `is_in_top` `(N,)` shows which targets are among the three most probable languages.
    """
    scores = score_predictions(predictions.plain[chosen], targets[chosen], num_languages)
    scores["top3_accuracy"] = float(is_in_top[chosen].mean())
    adjusted = score_predictions(predictions.adjusted[chosen], targets[chosen], num_languages)
    for metric, value in adjusted.items():
        scores[f"{metric}_adjusted"] = value
    return scores


def measure_improvement(
    predictions: Predictions,
    baselines: Baselines,
    baseline_predictions: Mapping[str, Predictions],
    splits: Splits,
    params: EvaluateParams,
) -> dict[str, Any]:
    """Return the improvement on test over the baseline that is best on validation.

    The improvement is the interval of the paired difference: score of the classifier minus score
    of the baseline. If both ends are above 0, the classifier is better.
    """
    targets = splits.test.languages
    num_languages = int(max(targets.max(), splits.train.languages.max())) + 1
    unused = np.zeros(len(targets), dtype=np.bool_)  # top3_accuracy is not in IMPROVED
    improvement = {}
    for metric in IMPROVED:
        best = max(baselines, key=lambda name: baselines[name]["validation"][metric])
        intervals = bootstrap_difference(
            partial(score_items, predictions, unused, targets, num_languages),
            partial(score_items, baseline_predictions[best], unused, targets, num_languages),
            targets,
            params.bootstrap,
        )
        improvement[metric] = {"baseline": best, **intervals[metric]}
    return improvement


def tabulate_predictions(
    on_test: Array, assessment: _Assessment, test: Names, vocabulary: Vocabulary
) -> pd.DataFrame:
    """Return a row per test name: target, predictions, and probability of the plain one."""
    languages = np.array(vocabulary.languages)
    probabilities = np.exp(scale_temperature(on_test, assessment.scores["temperature"]))
    return pd.DataFrame(
        {
            "name": decode_names(test, vocabulary.symbols),
            "language": languages[test.languages],
            "guess": languages[assessment.predictions.plain],
            "guess_adjusted": languages[assessment.predictions.adjusted],
            "probability": probabilities.max(axis=1),
        }
    )


def collect_predictions(rows: Rows, vocabulary: Vocabulary) -> dict[str, Predictions]:
    """Return the predictions of each baseline, from the rows of their predictions.csv."""
    index_of = {language: index for index, language in enumerate(vocabulary.languages)}
    plain: dict[str, list[int]] = {}
    adjusted: dict[str, list[int]] = {}
    for row in rows:
        plain.setdefault(row["baseline"], []).append(index_of[row["guess"]])
        adjusted.setdefault(row["baseline"], []).append(index_of[row["guess_adjusted"]])
    return {name: Predictions(np.array(plain[name]), np.array(adjusted[name])) for name in plain}


def confusion_matrix(predictions: Classes, targets: Classes, num_classes: int) -> Counts:
    """Count how often each target, in the rows, was predicted as each class, in the columns."""
    flat = np.bincount(targets * num_classes + predictions, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def precision_recall_f1(confusion: Counts) -> tuple[Array, Array, Array]:
    """Return precision, recall and F1 of each class, `(L,)`; 0 in place of 0 / 0."""
    hits = np.diag(confusion).astype(float)
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(true, 1)
    return precision, recall, 2 * hits / np.maximum(predicted + true, 1)


def score_predictions(predictions: Classes, targets: Classes, num_classes: int) -> dict[str, float]:
    """Return accuracy, balanced accuracy (mean recall) and macro F1 (mean F1)."""
    confusion = confusion_matrix(predictions, targets, num_classes)
    _, recall, f1 = precision_recall_f1(confusion)
    present = confusion.sum(axis=1) > 0
    return {
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        "balanced_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
    }


def is_in_top_k(log_probabilities: Array, targets: Classes, k: int) -> NDArray[np.bool_]:
    """Test if the target of each name is among the k most probable classes, `(N,)`."""
    top = np.argsort(-log_probabilities, axis=1, kind="stable")[:, :k]
    found: NDArray[np.bool_] = (top == targets[:, None]).any(axis=1)
    return found


def average_nll(log_probabilities: Array, targets: Classes) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(-log_probabilities[np.arange(len(targets)), targets].mean())


def expected_calibration_error(log_probabilities: Array, targets: Classes, bins: int) -> float:
    """Mean gap between confidence and accuracy, over equal bins of confidence."""
    confidence = np.exp(log_probabilities.max(axis=1))
    is_right = log_probabilities.argmax(axis=1) == targets
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - is_right, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))


def scale_temperature(log_probabilities: Array, temperature: float) -> Array:
    """Log-probabilities of softmax(log p / T): T > 1 makes them less confident."""
    scaled = log_probabilities / temperature
    return scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)


def find_temperature(log_probabilities: Array, targets: Classes) -> float:
    """Return the temperature with the least NLL, to 1 % (Guo et al., On Calibration, 2017).

    It is at least 1 if all predictions are right, since errors are needed to measure confidence.
    """
    grid = np.exp(np.linspace(np.log(0.25), np.log(4.0), 279))
    losses = [average_nll(scale_temperature(log_probabilities, t), targets) for t in grid]
    temperature = float(grid[int(np.argmin(losses))])
    is_right = log_probabilities.argmax(axis=1) == targets
    return max(temperature, 1.0) if is_right.all() else temperature
