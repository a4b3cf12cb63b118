"""Score the baselines of the surnames -> data/evaluated/details/surnames/baselines/.

Run by DVC as `python stages/run.py surnames.score_baselines SURNAMES OUT`.
"""

import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

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
from stages.surnames.names import Splits, Vocabulary, decode_names, read_splits, read_vocabulary

_Baseline = Literal["majority", "tfidf_svc"]
_Cost = Annotated[float, Field(ge=1e-6, le=1000)]  # beyond it the solver takes hours


class BaselineParams(Params):
    """Section `surname_baselines` of params.yaml."""

    names: list[_Baseline] = Field(min_length=1)
    costs: list[_Cost] = Field(min_length=1)  # C of the SVM, chosen on validation


@dataclass(frozen=True)
class _Scored:
    scores: Baselines
    predictions: pd.DataFrame  # one row per baseline and test name


def score_baselines(
    splits: Splits, vocabulary: Vocabulary, params: BaselineParams, evaluation: EvaluateParams
) -> _Scored:
    """Fit, choose and score all baselines, in the same way as networks are scored."""
    scores: Baselines = {}
    tables = []
    for name in params.names:
        chosen: dict[str, float] = {}
        if name == "majority":  # the shares of the languages in training, whatever the name
            log_prior = np.log(measure_prior(splits, len(vocabulary.languages)))
            on_validation = np.tile(log_prior, (len(splits.validation.languages), 1))
            on_test = np.tile(log_prior, (len(splits.test.languages), 1))
        else:
            on_validation, on_test, chosen = _fit_tfidf_svc(splits, vocabulary, params.costs)
        assessment = assess(on_validation, on_test, splits, evaluation)
        scores[name] = {**assessment.scores, **chosen}
        table = tabulate_predictions(on_test, assessment, splits.test, vocabulary)
        table.insert(0, "baseline", name)
        tables.append(table)
    return _Scored(scores, pd.concat(tables))


def _fit_tfidf_svc(
    splits: Splits, vocabulary: Vocabulary, costs: list[float]
) -> tuple[Array, Array, dict[str, float]]:
    """Fit one linear SVM per language to the TF-IDF of letter n-grams.

    Validation chooses how n-grams are counted, the cost C, and the temperature that turns distances
    from the separating planes into log-probabilities. Returns log-probabilities on validation and
    on test, `(N, L)`, and the choices.
    """
    targets = splits.validation.languages
    best_accuracy = -1.0
    for lowercase, marked, sublinear in product((False, True), repeat=3):
        texts = []
        for names in (splits.train, splits.validation, splits.test):
            plain = decode_names(names, vocabulary.symbols)
            # the marks of start and end are no symbols of any name
            texts.append([f"^{text}$" for text in plain] if marked else plain)
        vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=(1, 4), lowercase=lowercase, sublinear_tf=sublinear
        )
        train = vectorizer.fit_transform(texts[0])
        validation, test = vectorizer.transform(texts[1]), vectorizer.transform(texts[2])
        for cost in costs:
            svm = LinearSVC(C=cost, random_state=0)
            svm.fit(train, splits.train.languages)
            distances = [svm.decision_function(counts) for counts in (validation, test)]
            if distances[0].ndim == 1:  # two languages share one plane
                distances = [np.stack([-distance, distance], axis=1) for distance in distances]
            accuracy = float((distances[0].argmax(axis=1) == targets).mean())
            if accuracy > best_accuracy:  # the first of equals
                best_accuracy, best = accuracy, distances
                chosen = {
                    "cost": cost,
                    "lowercase": int(lowercase),
                    "marked": int(marked),
                    "sublinear": int(sublinear),
                }
    temperature = find_temperature(best[0], targets)
    on_validation, on_test = (scale_temperature(distances, temperature) for distances in best)
    return on_validation, on_test, {**chosen, "margin_temperature": temperature}


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
