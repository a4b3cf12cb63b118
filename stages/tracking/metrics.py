"""The scores of a model, metrics.json, and the names that MLflow gives them."""

from pathlib import Path
from typing import Any

from stages.shared.json_files import read_json
from stages.tracking.nested import flatten

Metrics = dict[str, Any]  # test scores and labels; `validation` and `baselines` hold more scores


def find_metrics(model: str) -> Path:
    """Where the scores of a model lie, if it has been scored."""
    return Path("data/evaluated", model, "metrics.json")


def read_metrics(model: str) -> Metrics:
    """Read the scores of a model."""
    metrics: Metrics = read_json(find_metrics(model))
    return metrics


def list_scores(metrics: Metrics) -> dict[str, float]:
    """List the numbers by path: `macro_f1`, `validation/macro_f1`, `baselines/ar2/one_step_mse`."""
    values = flatten(metrics, "/")
    return {name: value for name, value in values.items() if not isinstance(value, str)}


def list_labels(metrics: Metrics) -> dict[str, str]:
    """List what is no number: which data the model was scored on."""
    return {name: value for name, value in metrics.items() if isinstance(value, str)}
