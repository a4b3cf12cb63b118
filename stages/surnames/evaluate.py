"""Score one surname classifier: data/trained/ and surnames -> data/evaluated/<model>/.

Run by DVC as `python -m stages.surnames.evaluate TRAINED SURNAMES OUT`.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from stages.shared.bundle import read_model
from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.json_files import write_json
from stages.shared.params import Params, read_params
from stages.shared.threads import use_one_thread
from stages.surnames.alphabet import clean_name
from stages.surnames.names import (
    Names,
    Vocabulary,
    batch_names,
    decode_names,
    read_split,
    read_vocabulary,
)
from stages.surnames.scores import (
    average_nll,
    correct_prior,
    count_confusion,
    expected_calibration_error,
    find_temperature,
    scale_temperature,
    score_classes,
    score_guesses,
    score_top,
)

Array = NDArray[np.float64]


class EvaluateParams(Params):
    """Section `evaluate_surnames` of params.yaml."""

    asked: list[str] = Field(min_length=1)  # strings that the walk-through asks about
    top: int = Field(gt=0)  # languages listed for each of them
    bins: int = Field(gt=0)  # of the calibration error
    prior_strengths: list[float] = Field(min_length=1)  # τ, of which validation chooses


def classify(model: nn.Module, letters: torch.Tensor, lengths: torch.Tensor) -> Array:
    """Log-probabilities `(N, L)`, a thousand names at a time."""
    with torch.inference_mode():
        parts = zip(letters.split(1000), lengths.split(1000), strict=True)
        return torch.cat([model(*part) for part in parts]).double().numpy()


def classify_names(model: nn.Module, names: Names) -> Array:
    """Log-probabilities `(N, L)` of one split."""
    return classify(model, torch.from_numpy(names.letters), torch.from_numpy(names.lengths))


def find_prior_strength(
    log_probabilities: Array, truths: NDArray[np.int64], prior: Array, strengths: list[float]
) -> float:
    """The τ with the best macro F1; the smallest of equals."""

    def macro_f1(strength: float) -> float:
        guesses = correct_prior(log_probabilities, prior, strength).argmax(axis=1)
        return score_guesses(guesses, truths, len(prior))["macro_f1"]

    return max(sorted(strengths), key=macro_f1)


def score(
    log_probabilities: Array,
    truths: NDArray[np.int64],
    prior: Array,
    strength: float,
    temperature: float,
    bins: int,
) -> dict[str, float]:
    """All scores of one split."""
    num_languages = len(prior)
    corrected = correct_prior(log_probabilities, prior, strength).argmax(axis=1)
    calibrated = scale_temperature(log_probabilities, temperature)
    plain = score_guesses(log_probabilities.argmax(axis=1), truths, num_languages)
    adjusted = score_guesses(corrected, truths, num_languages)
    return {
        **plain,
        "top3_accuracy": score_top(log_probabilities, truths, 3),
        **{f"{metric}_corrected": value for metric, value in adjusted.items()},
        "nll": average_nll(log_probabilities, truths),
        "nll_calibrated": average_nll(calibrated, truths),
        "ece": expected_calibration_error(calibrated, truths, bins),
        "ece_uncalibrated": expected_calibration_error(log_probabilities, truths, bins),
    }


def score_majority(train: Names, test: Names, num_languages: int) -> dict[str, float]:
    """Scores of naming the most frequent language of the training split every time."""
    majority = np.bincount(train.languages, minlength=num_languages).argmax()
    guesses = np.full(len(test.languages), majority)
    scores = score_guesses(guesses, test.languages, num_languages)
    return {f"majority_{metric}": value for metric, value in scores.items()}


def tabulate_predictions(probabilities: Array, test: Names, vocabulary: Vocabulary) -> pd.DataFrame:
    """One row a test name: its language, the guess and the guess's probability."""
    languages = np.array(vocabulary.languages)
    return pd.DataFrame(
        {
            "name": decode_names(test, vocabulary.symbols),
            "language": languages[test.languages],
            "guess": languages[probabilities.argmax(axis=1)],
            "probability": probabilities.max(axis=1),
        }
    )


def tabulate_languages(
    confusion: NDArray[np.int64], train: Names, vocabulary: Vocabulary
) -> pd.DataFrame:
    """One row a language: numbers of names, precision, recall and F1."""
    precision, recall, f1 = score_classes(confusion)
    return pd.DataFrame(
        {
            "language": vocabulary.languages,
            "num_train": np.bincount(train.languages, minlength=len(confusion)),
            "num_test": confusion.sum(axis=1),
            "precision": precision,
            "recall": recall,
            "f1": f1,
        }
    )


def tabulate_asked(
    model: nn.Module, params: EvaluateParams, temperature: float, vocabulary: Vocabulary
) -> pd.DataFrame:
    """The most probable languages of each string that the walk-through asks about."""
    cleaned = [clean_name(query, vocabulary.symbols) for query in params.asked]
    if not all(cleaned):
        raise InputError(
            f"evaluate_surnames.asked in params.yaml: {params.asked[cleaned.index('')]!r} has no "
            "letter of the alphabet: remove it"
        )
    answers = classify(model, *batch_names(cleaned, vocabulary.symbols))
    found = scale_temperature(answers, temperature)
    rows = [
        (query, clean, rank, vocabulary.languages[language], row[language])
        for query, clean, row in zip(params.asked, cleaned, found, strict=True)
        for rank, language in enumerate(np.argsort(-row, kind="stable")[: params.top], start=1)
    ]
    return pd.DataFrame(rows, columns=["query", "cleaned", "rank", "language", "log_probability"])


def main(trained: str, surnames: str, out: str) -> None:
    """Write metrics.json and four tables."""
    params = read_params("evaluate_surnames", EvaluateParams)
    vocabulary = read_vocabulary(Path(surnames))
    train, validation, test = (
        read_split(Path(surnames), split) for split in ("train", "validation", "test")
    )
    use_one_thread()
    model = read_model(Path(trained))
    num_languages = len(vocabulary.languages)
    prior = np.bincount(train.languages, minlength=num_languages) / len(train.languages)

    on_validation, on_test = classify_names(model, validation), classify_names(model, test)
    strength = find_prior_strength(
        on_validation, validation.languages, prior, params.prior_strengths
    )
    temperature = find_temperature(on_validation, validation.languages)
    chosen = (prior, strength, temperature, params.bins)
    checks = score(on_validation, validation.languages, *chosen)
    metrics: dict[str, Any] = {
        "data": vocabulary.data,
        "num_test": len(test.languages),
        **score(on_test, test.languages, *chosen),
        **{f"validation_{metric}": value for metric, value in checks.items()},
        **score_majority(train, test, num_languages),
        "prior_strength": strength,
        "temperature": temperature,
    }
    probabilities = np.exp(scale_temperature(on_test, temperature))
    confusion = count_confusion(probabilities.argmax(axis=1), test.languages, num_languages)
    names = vocabulary.languages
    tables = {
        "predictions": tabulate_predictions(probabilities, test, vocabulary),
        "confusion": pd.DataFrame(
            confusion, index=pd.Index(names, name="language"), columns=names
        ).reset_index(),
        "languages": tabulate_languages(confusion, train, vocabulary),
        "asked": tabulate_asked(model, params, temperature, vocabulary),
    }
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", metrics)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
