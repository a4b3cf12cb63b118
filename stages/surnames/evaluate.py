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
from numpy.typing import NDArray
from torch import nn

from stages.shared.checkpoints import read_model
from stages.shared.command import run_as_command
from stages.shared.json_files import read_baselines, write_json
from stages.shared.params import read_params
from stages.shared.reproducible import make_reproducible
from stages.shared.tables import read_table
from stages.surnames.alphabet import clean_name, encode_name, has_letter
from stages.surnames.assessment import (
    METRICS,
    Array,
    EvaluateParams,
    Predictions,
    assess,
    collect_predictions,
    confusion_matrix,
    hide_test,
    measure_improvement,
    precision_recall_f1,
    scale_temperature,
    tabulate_predictions,
)
from stages.surnames.names import (
    Letters,
    Splits,
    Vocabulary,
    pad_letters,
    read_splits,
    read_vocabulary,
)

_BATCH = 1000  # names that go through the network together


@dataclass(frozen=True)
class _Evaluation:
    """Scores of a classifier, and its tables, one CSV file each."""

    scores: dict[str, Any]  # nested: on test, `intervals`, `validation`
    tables: dict[str, pd.DataFrame]
    predictions: Predictions  # on test


def evaluate(
    model: nn.Module, splits: Splits, vocabulary: Vocabulary, params: EvaluateParams
) -> _Evaluation:
    """Score a classifier on test, with the logit adjustment that is best on validation."""
    on_validation = classify_names(model, splits.validation.letters, splits.validation.lengths)
    on_test = classify_names(model, splits.test.letters, splits.test.lengths)
    assessment = assess(on_validation, on_test, splits, params)
    targets, predictions = splits.test.languages, assessment.predictions
    scores = {"data": vocabulary.data, "num_test": len(targets), **assessment.scores}
    if params.split != "test":
        scores["split"] = params.split

    languages = vocabulary.languages
    confusion = confusion_matrix(predictions.plain, targets, len(languages))
    confusion_table = pd.DataFrame(confusion, columns=languages)
    confusion_table.insert(0, "language", languages)
    precision, recall, f1 = precision_recall_f1(confusion)
    by_language = {
        "language": languages,
        "num_train": np.bincount(splits.train.languages, minlength=len(languages)),
        "num_test": confusion.sum(axis=1),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
    tables = {
        "predictions": tabulate_predictions(on_test, assessment, splits.test, vocabulary),
        "confusion": confusion_table,
        "languages": pd.DataFrame(by_language),
        "queries": _tabulate_queries(model, params, scores["temperature"], vocabulary),
    }
    return _Evaluation(scores, tables, predictions)


@torch.inference_mode()
def classify_names(model: nn.Module, letters: Letters, lengths: NDArray[np.int64]) -> Array:
    """Log-probabilities `(N, L)` of names `(N, T)`, padded on the right."""
    batches = []
    for start in range(0, len(letters), _BATCH):
        rows = slice(start, start + _BATCH)
        batches.append(
            model(torch.from_numpy(letters[rows]).long(), torch.from_numpy(lengths[rows]))
        )
    log_probabilities: Array = torch.cat(batches).double().numpy()
    return log_probabilities


def _tabulate_queries(
    model: nn.Module, params: EvaluateParams, temperature: float, vocabulary: Vocabulary
) -> pd.DataFrame:
    """Return the most probable languages of each name that the walk-through predicts.

    Names without a known letter are left out. `log_probability` has two decimals, as in the
    walk-through; `calibrated` is the log-probability after temperature scaling.
    """
    cleaned = {query: clean_name(query, vocabulary.symbols) for query in params.queries}
    cleaned = {query: name for query, name in cleaned.items() if has_letter(name)}
    rows = []
    if cleaned:
        encoded = encode_name("".join(cleaned.values()), vocabulary.symbols)
        lengths = np.array([len(name) for name in cleaned.values()])
        letters = pad_letters(np.array(encoded), lengths)
        log_probabilities = classify_names(model, letters, lengths)
        calibrated = scale_temperature(log_probabilities, temperature)
        for number, (query, name) in enumerate(cleaned.items()):
            best = np.argsort(-log_probabilities[number], kind="stable")[: params.top]
            for rank, language in enumerate(best, start=1):
                pair = log_probabilities[number, language], calibrated[number, language]
                language_name = vocabulary.languages[language]
                rows.append((query, name, rank, language_name, *np.round(pair, 2)))
    columns = ["query", "cleaned", "rank", "language", "log_probability", "calibrated"]
    return pd.DataFrame(rows, columns=columns)


def main(trained: str, surnames: str, baselines: str, metrics: str, out: str) -> None:
    """Write the metrics file, with the five scores that people compare, scores.json and tables."""
    params = read_params("evaluate_classifiers", EvaluateParams)
    splits = hide_test(read_splits(Path(surnames)), params)
    vocabulary = read_vocabulary(Path(surnames))
    make_reproducible()
    evaluation = evaluate(read_model(Path(trained)), splits, vocabulary, params)
    improvement = measure_improvement(
        evaluation.predictions,
        read_baselines(Path(baselines)),
        collect_predictions(read_table(Path(baselines) / "predictions.csv"), vocabulary),
        splits,
        params,
    )
    scores = evaluation.scores | {"improvement": improvement}
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    Path(metrics).parent.mkdir(parents=True, exist_ok=True)
    write_json(Path(metrics), {metric: scores[metric] for metric in METRICS})
    write_json(folder / "scores.json", scores)
    for name, table in evaluation.tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
