"""How well names are told apart, by networks and baselines alike, from log-probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, StringConstraints

from stages.shared.intervals import (
    BootstrapParams,
    Items,
    bootstrap,
    bootstrap_difference,
)
from stages.shared.json_files import Baselines
from stages.shared.params import Count, Params
from stages.shared.tables import Rows
from stages.surnames.names import Names, Splits, Vocabulary, decode_names
from stages.surnames.scores import (
    Array,
    Classes,
    adjust_logits,
    average_nll,
    expected_calibration_error,
    find_temperature,
    is_in_top,
    scale_temperature,
    score_guesses,
)

TOP = 3  # languages of top3_accuracy
IMPROVED = ("accuracy", "macro_f1_adjusted")  # scores whose improvement over a baseline is taken
METRICS = ("accuracy", "macro_f1", "macro_f1_adjusted", "top3_accuracy", "calibration_error")

Question = Annotated[str, StringConstraints(max_length=200)]  # the longest names have some 20
Strength = Annotated[float, Field(ge=-100, le=100)]  # exp of it times a logarithm stays finite


class EvaluateParams(Params):
    """Section `evaluate_classifiers` of params.yaml."""

    split: Literal["test", "validation"]  # validation: while recipes are chosen
    asked: list[Question] = Field(min_length=1)  # strings that the walk-through asks about
    top: Count  # languages listed for each of them
    bins: Count  # of the calibration error
    prior_strengths: list[Strength] = Field(min_length=1)  # τ, of which validation chooses
    bootstrap: BootstrapParams  # of the intervals, over the test names of each language


@dataclass(frozen=True)
class Adjustment:
    """What is done to log-probabilities after training, as validation chose it."""

    prior: Array  # (L,), shares of the languages in the training split
    prior_strength: float  # τ of the logit adjustment
    temperature: float


@dataclass(frozen=True)
class Guesses:
    """The languages that names are taken for."""

    plain: Classes  # (N,)
    adjusted: Classes  # (N,), after the logit adjustment


@dataclass(frozen=True)
class Assessment:
    """What there is to say about the answers of a classifier."""

    scores: dict[str, Any]  # nested: scores on test, `intervals`, `validation`
    adjustment: Adjustment
    guesses: Guesses  # on test


def hide_test(splits: Splits, params: EvaluateParams) -> Splits:
    """While recipes are chosen, the validation split stands where nobody may see the test."""
    return splits if params.split == "test" else replace(splits, test=splits.validation)


def assess(
    on_validation: Array, on_test: Array, splits: Splits, params: EvaluateParams
) -> Assessment:
    """Score answers on test, with what validation chose.

    Args:
        on_validation: `(N, L)` log-probabilities.
        on_test: likewise.
        splits: of which the training split says how frequent the languages are.
        params: what to choose from.
    """
    truths = splits.test.languages
    adjustment = choose_adjustment(on_validation, splits, params)
    guesses = guess(on_test, adjustment)
    scores = {
        **score(on_test, truths, adjustment, params.bins),
        "prior_strength": adjustment.prior_strength,
        "temperature": adjustment.temperature,
        "intervals": find_intervals(on_test, guesses, truths, params.bootstrap),
        "validation": score(on_validation, splits.validation.languages, adjustment, params.bins),
    }
    return Assessment(scores, adjustment, guesses)


def choose_adjustment(
    log_probabilities: Array, splits: Splits, params: EvaluateParams
) -> Adjustment:
    """What suits the answers to the validation split best."""
    truths = splits.validation.languages
    prior = measure_prior(splits, log_probabilities.shape[1])
    strength = find_prior_strength(log_probabilities, truths, prior, params.prior_strengths)
    return Adjustment(prior, strength, find_temperature(log_probabilities, truths))


def measure_prior(splits: Splits, num_languages: int) -> Array:
    """Shares of the languages in the training split."""
    counts = np.bincount(splits.train.languages, minlength=num_languages)
    prior: Array = counts / counts.sum()
    return prior


def find_prior_strength(
    log_probabilities: Array, truths: Classes, prior: Array, strengths: list[float]
) -> float:
    """The τ with the best macro F1; the smallest of equals."""

    def macro_f1(strength: float) -> float:
        guesses = adjust_logits(log_probabilities, prior, strength).argmax(axis=1)
        return score_guesses(guesses, truths, len(prior))["macro_f1"]

    return max(sorted(strengths), key=macro_f1)


def guess(log_probabilities: Array, adjustment: Adjustment) -> Guesses:
    """The most probable languages."""
    adjusted = adjust_logits(log_probabilities, adjustment.prior, adjustment.prior_strength)
    return Guesses(log_probabilities.argmax(axis=1), adjusted.argmax(axis=1))


def score(
    log_probabilities: Array, truths: Classes, adjustment: Adjustment, bins: int
) -> dict[str, float]:
    """All scores of one split."""
    calibrated = scale_temperature(log_probabilities, adjustment.temperature)
    guesses = guess(log_probabilities, adjustment)
    is_near = is_in_top(log_probabilities, truths, TOP)
    scores = score_items(guesses, is_near, truths, log_probabilities.shape[1])
    scores["nll"] = average_nll(log_probabilities, truths)
    scores["nll_calibrated"] = average_nll(calibrated, truths)
    scores["calibration_error"] = expected_calibration_error(calibrated, truths, bins)
    scores["calibration_error_uncalibrated"] = expected_calibration_error(
        log_probabilities, truths, bins
    )
    return scores


def score_items(
    guesses: Guesses,
    is_near: NDArray[np.bool_],
    truths: Classes,
    num_languages: int,
    chosen: Items | slice = slice(None),
) -> dict[str, float]:
    """The scores that count names, of all or of chosen ones.

    Args:
        guesses: of the names.
        is_near: `(N,)`, whether the true language is among the most probable three.
        truths: `(N,)`.
        num_languages: L.
        chosen: names.
    """
    scores = score_guesses(guesses.plain[chosen], truths[chosen], num_languages)
    scores["top3_accuracy"] = float(is_near[chosen].mean())
    adjusted = score_guesses(guesses.adjusted[chosen], truths[chosen], num_languages)
    for metric, value in adjusted.items():
        scores[f"{metric}_adjusted"] = value
    return scores


def find_intervals(
    log_probabilities: Array, guesses: Guesses, truths: Classes, params: BootstrapParams
) -> dict[str, Any]:
    """Intervals of the scores that count names."""
    is_near = is_in_top(log_probabilities, truths, TOP)
    measure = partial(score_items, guesses, is_near, truths, log_probabilities.shape[1])
    return bootstrap(measure, truths, params)


def measure_improvement(
    guesses: Guesses,
    baselines: Baselines,
    baseline_guesses: Mapping[str, Guesses],
    splits: Splits,
    params: EvaluateParams,
) -> dict[str, Any]:
    """The improvement over the best baseline.

    It is the score of the classifier less that of the baseline, as an interval of the paired
    difference: all above 0, the classifier is ahead; all below, behind.

    Args:
        guesses: of the classifier, on test.
        baselines: their scores; that which is best on validation is compared.
        baseline_guesses: theirs on the same names.
        splits: the names.
        params: of the intervals.
    """
    truths = splits.test.languages
    num_languages = int(max(truths.max(), splits.train.languages.max())) + 1
    unknown = np.zeros(len(truths), dtype=np.bool_)  # no improvement is of the three most probable
    improvement = {}
    for metric in IMPROVED:
        best = max(baselines, key=lambda name: baselines[name]["validation"][metric])
        intervals = bootstrap_difference(
            partial(score_items, guesses, unknown, truths, num_languages),
            partial(score_items, baseline_guesses[best], unknown, truths, num_languages),
            truths,
            params.bootstrap,
        )
        improvement[metric] = {"baseline": best, **intervals[metric]}
    return improvement


def choose_metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores that people compare: the metrics file.

    scores.json holds these and all others, so that whoever reads scores reads one file. DVC prints
    a column for each number of the metrics file, which therefore repeats five of them alone.

    Args:
        scores: of a classifier, as in scores.json.
    """
    return {metric: scores[metric] for metric in METRICS}


def tabulate_predictions(
    on_test: Array, assessment: Assessment, test: Names, vocabulary: Vocabulary
) -> pd.DataFrame:
    """One row a test name: its language, the guesses and the probability of the plain one."""
    languages = np.array(vocabulary.languages)
    probabilities = np.exp(scale_temperature(on_test, assessment.adjustment.temperature))
    return pd.DataFrame(
        {
            "name": decode_names(test, vocabulary.symbols),
            "language": languages[test.languages],
            "guess": languages[assessment.guesses.plain],
            "guess_adjusted": languages[assessment.guesses.adjusted],
            "probability": probabilities.max(axis=1),
        }
    )


def collect_guesses(predictions: Rows, vocabulary: Vocabulary) -> dict[str, Guesses]:
    """The guesses of each baseline, from the rows of their predictions.csv."""
    index_of = {language: index for index, language in enumerate(vocabulary.languages)}
    plain: dict[str, list[int]] = {}
    adjusted: dict[str, list[int]] = {}
    for row in predictions:
        plain.setdefault(row["baseline"], []).append(index_of[row["guess"]])
        adjusted.setdefault(row["baseline"], []).append(index_of[row["guess_adjusted"]])
    return {name: Guesses(np.array(plain[name]), np.array(adjusted[name])) for name in plain}
