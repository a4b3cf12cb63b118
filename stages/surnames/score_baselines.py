"""Score the baselines of the surnames -> data/evaluated/details/surnames/baselines/.

Run by DVC as `python stages/run.py surnames.score_baselines SURNAMES OUT`.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from stages.shared.command import run_as_command
from stages.shared.json_files import Baselines, write_baselines
from stages.shared.params import Params, read_params
from stages.shared.reproducible import make_reproducible
from stages.surnames.assessment import (
    Array,
    EvaluateParams,
    assess,
    find_temperature,
    hide_test,
    measure_prior,
    scale_temperature,
    tabulate_predictions,
)
from stages.surnames.names import (
    Names,
    Splits,
    Vocabulary,
    decode_names,
    read_splits,
    read_vocabulary,
)

_Baseline = Literal["majority", "tfidf_svc"]
_Cost = Annotated[float, Field(ge=1e-6, le=1000)]  # beyond it the solver takes hours


class BaselineParams(Params):
    """Section `surname_baselines` of params.yaml."""

    names: list[_Baseline] = Field(min_length=1)
    costs: list[_Cost] = Field(min_length=1)  # C of the SVM, chosen on validation


class _Variant(NamedTuple):
    """How names become counts of n-grams."""

    lowercase: bool
    marked: bool  # start and end of a name count as letters
    sublinear: bool  # 1 + log of a count


@dataclass(frozen=True)
class _Fitted:
    """Log-probabilities `(N, L)` of a baseline, and what was chosen on validation."""

    on_validation: Array
    on_test: Array
    chosen: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Scored:
    scores: Baselines
    predictions: pd.DataFrame  # one row per baseline and test name


def score_baselines(
    splits: Splits, vocabulary: Vocabulary, params: BaselineParams, evaluation: EvaluateParams
) -> _Scored:
    """Fit, choose and score all baselines.

    Args:
        splits: the names.
        vocabulary: symbols and languages.
        params: which baselines, and what to choose from.
        evaluation: how they are scored, as networks are.
    """
    scores: Baselines = {}
    tables = []
    for name in params.names:
        if name == "majority":
            fitted = _fit_majority(splits, len(vocabulary.languages))
        else:
            fitted = _fit_tfidf_svc(splits, vocabulary, params.costs)
        assessment = assess(fitted.on_validation, fitted.on_test, splits, evaluation)
        scores[name] = {**assessment.scores, **fitted.chosen}
        table = tabulate_predictions(fitted.on_test, assessment, splits.test, vocabulary)
        table.insert(0, "baseline", name)
        tables.append(table)
    return _Scored(scores, pd.concat(tables))


def _fit_majority(splits: Splits, num_languages: int) -> _Fitted:
    """The shares of the languages in the training split, whatever the name."""
    log_prior = np.log(measure_prior(splits, num_languages))
    num_validation, num_test = len(splits.validation.languages), len(splits.test.languages)
    return _Fitted(np.tile(log_prior, (num_validation, 1)), np.tile(log_prior, (num_test, 1)))


def _fit_tfidf_svc(splits: Splits, vocabulary: Vocabulary, costs: list[float]) -> _Fitted:
    """TF-IDF of letter n-grams, and one linear SVM per language.

    Validation chooses how n-grams are counted, the cost C, and the temperature at which the
    distances from the separating planes are most like log-probabilities.
    """
    targets = splits.validation.languages
    best, best_accuracy = None, -1.0
    for fitted in _fit_svms(splits, vocabulary, costs):
        accuracy = float((fitted.on_validation.argmax(axis=1) == targets).mean())
        if accuracy > best_accuracy:  # the first of equals
            best, best_accuracy = fitted, accuracy
    assert best is not None  # there is a cost
    temperature = find_temperature(best.on_validation, targets)
    return _Fitted(
        scale_temperature(best.on_validation, temperature),
        scale_temperature(best.on_test, temperature),
        {**best.chosen, "margin_temperature": temperature},
    )


def _fit_svms(splits: Splits, vocabulary: Vocabulary, costs: list[float]) -> Iterator[_Fitted]:
    """The SVMs of every variant and cost, with distances instead of log-probabilities."""
    for switches in product((False, True), repeat=len(_Variant._fields)):
        variant = _Variant(*switches)
        vectorizer = TfidfVectorizer(
            analyzer="char",
            ngram_range=(1, 4),
            lowercase=variant.lowercase,
            sublinear_tf=variant.sublinear,
        )
        train = vectorizer.fit_transform(_list_texts(splits.train, vocabulary, variant))
        validation = vectorizer.transform(_list_texts(splits.validation, vocabulary, variant))
        test = vectorizer.transform(_list_texts(splits.test, vocabulary, variant))
        switched = {name: int(switch) for name, switch in variant._asdict().items()}
        for cost in costs:
            svm = LinearSVC(C=cost, random_state=0)
            svm.fit(train, splits.train.languages)
            yield _Fitted(
                _measure_distances(svm, validation),
                _measure_distances(svm, test),
                {"cost": cost, **switched},
            )


def _list_texts(names: Names, vocabulary: Vocabulary, variant: _Variant) -> list[str]:
    """The names as text; the marks ^ and $ are no symbols of any name."""
    texts = decode_names(names, vocabulary.symbols)
    return [f"^{text}$" for text in texts] if variant.marked else texts


def _measure_distances(svm: LinearSVC, counts: Any) -> Array:
    """Signed distances `(N, L)` from the plane of each language; two languages share one."""
    distances: Array = svm.decision_function(counts)
    return np.stack([-distances, distances], axis=1) if distances.ndim == 1 else distances


def main(surnames: str, out: str) -> None:
    """Write scores.json and predictions.csv."""
    params = read_params("surname_baselines", BaselineParams)
    evaluation = read_params("evaluate_classifiers", EvaluateParams)
    make_reproducible()
    vocabulary = read_vocabulary(Path(surnames))
    splits = hide_test(read_splits(Path(surnames)), evaluation)
    scored = score_baselines(splits, vocabulary, params, evaluation)
    folder = Path(out)
    write_baselines(folder, vocabulary.data, scored.scores)
    scored.predictions.to_csv(folder / "predictions.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
