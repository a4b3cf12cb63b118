"""The scores of models and baselines, metrics.json, and the names that MLflow gives them."""

import math
from pathlib import Path
from typing import Any

from stages.shared.baselines import read_baselines as read_scores
from stages.shared.json_files import read_json
from stages.tracking.nested import flatten
from stages.tracking.subjects import BASELINES

Metrics = dict[str, Any]  # test scores and labels; `validation`, `intervals`, `lead` hold more
NO_SCORES = ("intervals", "lead")  # for the note on the page; as metrics they would fill it


def find_metrics(model: str) -> Path:
    """Where the scores of a model lie, if it has been scored."""
    return Path("data/evaluated", model, "metrics.json")


def read_metrics(model: str) -> Metrics:
    """Read the scores of a model."""
    metrics: Metrics = read_json(find_metrics(model))
    return metrics


def read_baselines(task: str, data: str) -> dict[str, Metrics]:
    """Read the scores of the baselines by name; none, if they are not here.

    Args:
        task: sine or surnames.
        data: the series; the surnames have one set of baselines.
    """
    folder = Path(BASELINES, "surnames" if task == "surnames" else data)
    return read_scores(folder) if (folder / "metrics.json").exists() else {}


def list_scores(metrics: Metrics) -> dict[str, float]:
    """List the numbers by path: `macro_f1`, `validation/macro_f1`."""
    kept = {name: value for name, value in metrics.items() if name not in NO_SCORES}
    values = flatten(kept, "/")
    return {name: value for name, value in values.items() if not isinstance(value, str)}


def name_interval(metrics: Metrics) -> str:
    """What the intervals of scores are called.

    Those of a series from a file are of forecasts that overlap, and hold less than 95 %.
    """
    is_backtest = any("_mase_" in name for name in metrics)
    return "block bootstrap interval" if is_backtest else "95 % interval"


def list_labels(metrics: Metrics) -> dict[str, str]:
    """List what is no number: which data the model was scored on."""
    return {name: value for name, value in metrics.items() if isinstance(value, str)}


def shorten(scores: dict[str, float]) -> dict[str, float]:
    """Scores as a column of MLflow has room for, errors by their logarithm too.

    Errors span 25 orders of magnitude, and charts show the small ones as 0.00.
    """
    shortened = {}
    for name, score in scores.items():
        shortened[name] = float(f"{score:.4g}")
        if "_mse" in name and score > 0:
            section, slash, last = name.rpartition("/")
            shortened[f"{section}{slash}log10_{last}"] = round(math.log10(score), 3)
    return shortened
