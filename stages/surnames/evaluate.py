"""Score one surname classifier: data/trained/ and surnames -> data/evaluated/<model>/.

Run by DVC as `python -m stages.surnames.evaluate TRAINED SURNAMES OUT`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field, StringConstraints
from torch import Tensor, nn

from stages.shared.arithmetic import prepare_arithmetic
from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.json_files import write_json
from stages.shared.networks import read_model
from stages.shared.params import Count, Params, read_params
from stages.surnames.alphabet import clean_name, encode_name
from stages.surnames.names import (
    Names,
    Splits,
    Vocabulary,
    decode_names,
    pad_names,
    read_splits,
    read_vocabulary,
)
from stages.surnames.scores import (
    Array,
    Classes,
    Counts,
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

AT_ONCE = 1000  # names that go through the network together

Question = Annotated[str, StringConstraints(max_length=200)]  # the longest names have some 20
Strength = Annotated[float, Field(ge=-100, le=100)]  # exp of it times a logarithm stays finite


class EvaluateParams(Params):
    """Section `evaluate_surnames` of params.yaml."""

    asked: list[Question] = Field(min_length=1)  # strings that the walk-through asks about
    top: Count  # languages listed for each of them
    bins: Count  # of the calibration error
    prior_strengths: list[Strength] = Field(min_length=1)  # τ, of which validation chooses


@dataclass(frozen=True)
class Evaluation:
    """What there is to say about a classifier: metrics.json, and a CSV file a table."""

    metrics: dict[str, Any]  # test scores; those of validation and baselines in mappings of theirs
    tables: dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Adjustment:
    """What is done to log-probabilities after training, as validation chose it."""

    prior: Array  # (L,), shares of the languages in the training split
    prior_strength: float  # τ of the logit adjustment
    temperature: float


def evaluate(
    model: nn.Module, splits: Splits, vocabulary: Vocabulary, params: EvaluateParams
) -> Evaluation:
    """Score a classifier on test, with what validation chose, beside the majority class.

    Args:
        model: gives log-probabilities.
        splits: of which the training split says how frequent the languages are.
        vocabulary: symbols and languages.
        params: what to choose from and to ask about.
    """
    num_languages = len(vocabulary.languages)
    on_validation = classify_names(model, splits.validation)
    on_test = classify_names(model, splits.test)
    adjustment = choose_adjustment(on_validation, splits, num_languages, params)
    metrics = {
        "data": vocabulary.data,
        "num_test": len(splits.test.languages),
        **score(on_test, splits.test.languages, adjustment, params.bins),
        "prior_strength": adjustment.prior_strength,
        "temperature": adjustment.temperature,
        "validation": score(on_validation, splits.validation.languages, adjustment, params.bins),
        "baselines": {"majority": score_majority(splits, num_languages)},
    }
    probabilities = np.exp(scale_temperature(on_test, adjustment.temperature))
    guesses = probabilities.argmax(axis=1)
    confusion = count_confusion(guesses, splits.test.languages, num_languages)
    tables = {
        "predictions": tabulate_predictions(probabilities, splits.test, vocabulary),
        "confusion": tabulate_confusion(confusion, vocabulary),
        "languages": tabulate_languages(confusion, splits.train, vocabulary),
        "asked": tabulate_asked(model, params, adjustment.temperature, vocabulary),
    }
    return Evaluation(metrics, tables)


def classify_names(model: nn.Module, names: Names) -> Array:
    """Log-probabilities `(N, L)` of one split."""
    return classify(model, torch.from_numpy(names.letters), torch.from_numpy(names.lengths))


@torch.inference_mode()
def classify(model: nn.Module, letters: Tensor, lengths: Tensor) -> Array:
    """Log-probabilities `(N, L)` of names `(N, T)`."""
    answers = []
    for start in range(0, len(letters), AT_ONCE):
        end = start + AT_ONCE
        answers.append(model(letters[start:end], lengths[start:end]))
    log_probabilities: Array = torch.cat(answers).double().numpy()
    return log_probabilities


def batch_names(names: list[str], symbols: str) -> tuple[Tensor, Tensor]:
    """Clean, not empty names as letters `(B, T)` and lengths `(B,)`."""
    encoded = [encode_name(name, symbols) for name in names]
    lengths = torch.tensor([len(name) for name in encoded])
    return torch.from_numpy(pad_names(encoded)), lengths


def choose_adjustment(
    log_probabilities: Array, splits: Splits, num_languages: int, params: EvaluateParams
) -> Adjustment:
    """What suits the answers to the validation split best."""
    truths = splits.validation.languages
    counts = np.bincount(splits.train.languages, minlength=num_languages)
    prior = counts / counts.sum()
    strength = find_prior_strength(log_probabilities, truths, prior, params.prior_strengths)
    return Adjustment(prior, strength, find_temperature(log_probabilities, truths))


def find_prior_strength(
    log_probabilities: Array, truths: Classes, prior: Array, strengths: list[float]
) -> float:
    """The τ with the best macro F1; the smallest of equals."""

    def macro_f1(strength: float) -> float:
        guesses = correct_prior(log_probabilities, prior, strength).argmax(axis=1)
        return score_guesses(guesses, truths, len(prior))["macro_f1"]

    return max(sorted(strengths), key=macro_f1)


def score(
    log_probabilities: Array, truths: Classes, adjustment: Adjustment, bins: int
) -> dict[str, float]:
    """All scores of one split."""
    prior = adjustment.prior
    corrected = correct_prior(log_probabilities, prior, adjustment.prior_strength)
    calibrated = scale_temperature(log_probabilities, adjustment.temperature)
    scores = score_guesses(log_probabilities.argmax(axis=1), truths, len(prior))
    scores["top3_accuracy"] = score_top(log_probabilities, truths, 3)
    for metric, value in score_guesses(corrected.argmax(axis=1), truths, len(prior)).items():
        scores[f"{metric}_corrected"] = value
    scores["nll"] = average_nll(log_probabilities, truths)
    scores["nll_calibrated"] = average_nll(calibrated, truths)
    scores["ece"] = expected_calibration_error(calibrated, truths, bins)
    scores["ece_uncalibrated"] = expected_calibration_error(log_probabilities, truths, bins)
    return scores


def score_majority(splits: Splits, num_languages: int) -> dict[str, float]:
    """Test scores of naming the most frequent language of the training split every time."""
    truths = splits.test.languages
    majority = np.bincount(splits.train.languages, minlength=num_languages).argmax()
    return score_guesses(np.full(len(truths), majority), truths, num_languages)


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


def tabulate_confusion(confusion: Counts, vocabulary: Vocabulary) -> pd.DataFrame:
    """One row a true language, one column a guessed one: numbers of test names."""
    table = pd.DataFrame(confusion, columns=vocabulary.languages)
    table.insert(0, "language", vocabulary.languages)
    return table


def tabulate_languages(confusion: Counts, train: Names, vocabulary: Vocabulary) -> pd.DataFrame:
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
    """The most probable languages of each string that the walk-through asks about.

    `log_probability` is the network's own, with two decimals as the walk-through prints it;
    `calibrated` is that after temperature scaling.

    Raises:
        InputError: a string without any letter of the alphabet.
    """
    cleaned = [clean_name(query, vocabulary.symbols) for query in params.asked]
    if "" in cleaned:
        raise InputError(
            f"evaluate_surnames.asked in params.yaml: {params.asked[cleaned.index('')]!r} has no "
            "letter of the alphabet: remove it"
        )
    letters, lengths = batch_names(cleaned, vocabulary.symbols)
    answers = classify(model, letters, lengths)
    calibrated = scale_temperature(answers, temperature)
    rows = []
    for number, query in enumerate(params.asked):
        best = np.argsort(-answers[number], kind="stable")[: params.top]
        for rank, language in enumerate(best, start=1):
            name = vocabulary.languages[language]
            own, ours = answers[number, language], calibrated[number, language]
            rows.append((query, cleaned[number], rank, name, round(own, 2), round(ours, 2)))
    columns = ["query", "cleaned", "rank", "language", "log_probability", "calibrated"]
    return pd.DataFrame(rows, columns=columns)


def main(trained: str, surnames: str, out: str) -> None:
    """Write metrics.json and four tables."""
    params = read_params("evaluate_surnames", EvaluateParams)
    splits = read_splits(Path(surnames))
    vocabulary = read_vocabulary(Path(surnames))
    prepare_arithmetic()
    evaluation = evaluate(read_model(Path(trained)), splits, vocabulary, params)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", evaluation.metrics)
    for name, table in evaluation.tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
