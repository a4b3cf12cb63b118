"""Score what a network has to beat on the surnames -> data/evaluated/details/surnames/baselines/.

Run by DVC as `python stages/run.py surnames.score_baselines SURNAMES OUT`.
"""

import sys
from collections.abc import Callable, Iterator
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
    EvaluateParams,
    assess,
    hide_test,
    measure_prior,
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
from stages.surnames.scores import Array, find_temperature, scale_temperature

Baseline = Literal["majority", "tfidf_svc"]
Cost = Annotated[float, Field(ge=1e-6, le=1000)]  # beyond it the solver takes hours

LONGEST = 4  # letters of an n-gram
SEED = 0  # of the order in which the solver takes the names


class BaselineParams(Params):
    """Section `surname_baselines` of params.yaml."""

    names: list[Baseline] = Field(min_length=1)
    costs: list[Cost] = Field(min_length=1)  # C of the SVM, of which validation chooses


class Variant(NamedTuple):
    """How names become counts of n-grams."""

    lowercase: bool
    marked: bool  # the ends of a name are letters of their own
    sublinear: bool  # 1 + log of a count


@dataclass(frozen=True)
class Answers:
    """Log-probabilities `(N, L)`, and what validation chose for them."""

    on_validation: Array
    on_test: Array
    chosen: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """All baselines."""

    scores: Baselines
    predictions: pd.DataFrame  # one row a baseline and a test name


def score_baselines(
    splits: Splits, vocabulary: Vocabulary, params: BaselineParams, evaluation: EvaluateParams
) -> Scored:
    """Fit, choose and score all baselines.

    Args:
        splits: the names.
        vocabulary: symbols and languages.
        params: which baselines, and what to choose from.
        evaluation: what they are asked, as networks are.
    """
    scores: Baselines = {}
    tables = []
    for name in params.names:
        answers = FITS[name](splits, vocabulary, params)
        assessment = assess(answers.on_validation, answers.on_test, splits, evaluation)
        scores[name] = {**assessment.scores, **answers.chosen}
        table = tabulate_predictions(answers.on_test, assessment, splits.test, vocabulary)
        table.insert(0, "baseline", name)
        tables.append(table)
    return Scored(scores, pd.concat(tables))


def fit_majority(splits: Splits, vocabulary: Vocabulary, params: BaselineParams) -> Answers:
    """How frequent the languages are, whatever the name."""
    log_prior = np.log(measure_prior(splits, len(vocabulary.languages)))
    num_validation, num_test = len(splits.validation.languages), len(splits.test.languages)
    return Answers(np.tile(log_prior, (num_validation, 1)), np.tile(log_prior, (num_test, 1)))


def fit_tfidf_svc(splits: Splits, vocabulary: Vocabulary, params: BaselineParams) -> Answers:
    """Letter n-grams weighed by their rarity, and a linear SVM for each language.

    Validation chooses how n-grams are counted, the cost of errors, and the temperature at which
    distances from the separating planes are most like log-probabilities.
    """
    truths = splits.validation.languages
    best, best_accuracy = None, -1.0
    for answers in fit_svms(splits, vocabulary, params.costs):
        accuracy = float((answers.on_validation.argmax(axis=1) == truths).mean())
        if accuracy > best_accuracy:  # the first of equals
            best, best_accuracy = answers, accuracy
    assert best is not None  # there is a cost
    temperature = find_temperature(best.on_validation, truths)
    return Answers(
        scale_temperature(best.on_validation, temperature),
        scale_temperature(best.on_test, temperature),
        {**best.chosen, "margin_temperature": temperature},
    )


def fit_svms(splits: Splits, vocabulary: Vocabulary, costs: list[float]) -> Iterator[Answers]:
    """The SVMs of every variant and cost; their answers are distances, not log-probabilities."""
    for switches in product((False, True), repeat=len(Variant._fields)):
        variant = Variant(*switches)
        vectorizer = TfidfVectorizer(
            analyzer="char",
            ngram_range=(1, LONGEST),
            lowercase=variant.lowercase,
            sublinear_tf=variant.sublinear,
        )
        train = vectorizer.fit_transform(spell(splits.train, vocabulary, variant))
        validation = vectorizer.transform(spell(splits.validation, vocabulary, variant))
        test = vectorizer.transform(spell(splits.test, vocabulary, variant))
        switched = {name: int(switch) for name, switch in variant._asdict().items()}
        for cost in costs:
            svm = LinearSVC(C=cost, random_state=SEED)
            svm.fit(train, splits.train.languages)
            yield Answers(
                measure_distances(svm, validation),
                measure_distances(svm, test),
                {"cost": cost, **switched},
            )


def spell(names: Names, vocabulary: Vocabulary, variant: Variant) -> list[str]:
    """The names as text; marks are no symbols of any name."""
    texts = decode_names(names, vocabulary.symbols)
    return [f"^{text}$" for text in texts] if variant.marked else texts


def measure_distances(svm: LinearSVC, counts: Any) -> Array:
    """Signed distances `(N, L)` from the plane of each language; two languages share one."""
    distances: Array = svm.decision_function(counts)
    return np.stack([-distances, distances], axis=1) if distances.ndim == 1 else distances


Fit = Callable[[Splits, Vocabulary, BaselineParams], Answers]
FITS: dict[Baseline, Fit] = {"majority": fit_majority, "tfidf_svc": fit_tfidf_svc}


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
