"""Score one classifier beside the baselines: data/trained/ -> data/evaluated/.

Run by DVC as `python stages/run.py surnames.evaluate TRAINED SURNAMES BASELINES METRICS OUT`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from stages.shared.checkpoints import read_model
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.json_files import read_baselines, write_json
from stages.shared.params import read_params
from stages.shared.reproducible import make_reproducible
from stages.shared.tables import read_table
from stages.surnames.alphabet import clean_name, encode_name
from stages.surnames.assessment import (
    EvaluateParams,
    Guesses,
    assess,
    choose_metrics,
    collect_guesses,
    hide_test,
    measure_improvement,
    tabulate_predictions,
)
from stages.surnames.names import (
    Names,
    Splits,
    Vocabulary,
    pad_letters,
    read_splits,
    read_vocabulary,
)
from stages.surnames.scores import (
    Array,
    Counts,
    count_confusion,
    scale_temperature,
    score_classes,
)

AT_ONCE = 1000  # names that go through the network together


@dataclass(frozen=True)
class Evaluation:
    """The scores of a classifier, and its tables, one CSV file each."""

    scores: dict[str, Any]  # nested: on test, `intervals`, `validation`
    tables: dict[str, pd.DataFrame]
    guesses: Guesses  # on test


def evaluate(
    model: nn.Module, splits: Splits, vocabulary: Vocabulary, params: EvaluateParams
) -> Evaluation:
    """Score a classifier on test, with what validation chose.

    Args:
        model: gives log-probabilities.
        splits: of which the training split says how frequent the languages are.
        vocabulary: symbols and languages.
        params: what to choose from and to ask about.
    """
    on_validation = classify_names(model, splits.validation)
    on_test = classify_names(model, splits.test)
    assessment = assess(on_validation, on_test, splits, params)
    truths, guesses = splits.test.languages, assessment.guesses
    scores = {"data": vocabulary.data, "num_test": len(truths), **assessment.scores}
    if params.split != "test":
        scores["split"] = params.split
    confusion = count_confusion(guesses.plain, truths, len(vocabulary.languages))
    temperature = assessment.adjustment.temperature
    tables = {
        "predictions": tabulate_predictions(on_test, assessment, splits.test, vocabulary),
        "confusion": tabulate_confusion(confusion, vocabulary),
        "languages": tabulate_languages(confusion, splits.train, vocabulary),
        "asked": tabulate_asked(model, params, temperature, vocabulary),
    }
    return Evaluation(scores, tables, guesses)


def classify_names(model: nn.Module, names: Names) -> Array:
    """Log-probabilities `(N, L)` of one split."""
    return classify(model, torch.from_numpy(names.letters), torch.from_numpy(names.lengths))


@torch.inference_mode()
def classify(model: nn.Module, letters: Tensor, lengths: Tensor) -> Array:
    """Log-probabilities `(N, L)` of names `(N, T)`."""
    answers = []
    for start in range(0, len(letters), AT_ONCE):
        end = start + AT_ONCE
        answers.append(model(letters[start:end].long(), lengths[start:end]))
    log_probabilities: Array = torch.cat(answers).double().numpy()
    return log_probabilities


def batch_names(names: list[str], symbols: str) -> tuple[Tensor, Tensor]:
    """Clean, not empty names as letters `(B, T)` and lengths `(B,)`."""
    letters = np.array(encode_name("".join(names), symbols), dtype=np.uint8)
    lengths = np.array([len(name) for name in names])
    return torch.from_numpy(pad_letters(letters, lengths)), torch.from_numpy(lengths)


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
            f"evaluate_classifiers.asked in params.yaml: {params.asked[cleaned.index('')]!r} has "
            "no letter of the alphabet: remove it"
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


def main(trained: str, surnames: str, baselines: str, metrics: str, out: str) -> None:
    """Write the file `metrics`, and scores.json and four tables."""
    params = read_params("evaluate_classifiers", EvaluateParams)
    splits = hide_test(read_splits(Path(surnames)), params)
    vocabulary = read_vocabulary(Path(surnames))
    make_reproducible()
    evaluation = evaluate(read_model(Path(trained)), splits, vocabulary, params)
    beside = read_baselines(Path(baselines))
    their_guesses = collect_guesses(read_table(Path(baselines) / "predictions.csv"), vocabulary)
    improvement = measure_improvement(evaluation.guesses, beside, their_guesses, splits, params)
    scores = evaluation.scores | {"improvement": improvement}
    folder = Path(out)
    for made in (folder, Path(metrics).parent):
        made.mkdir(parents=True, exist_ok=True)
    write_json(Path(metrics), choose_metrics(scores))
    write_json(folder / "scores.json", scores)
    for name, table in evaluation.tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
