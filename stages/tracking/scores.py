"""The scores of models and baselines, scores.json, and the names that MLflow gives them."""

import math
from pathlib import Path
from typing import Any

from stages.forecasting.metrics import name_metrics
from stages.shared.json_files import read_baselines, read_json

Scores = dict[str, Any]  # test scores and labels; `validation`, `intervals` … hold more
DETAILS = {  # folder of all scores, by task
    "forecasting": "data/evaluated/details/forecasting",
    "surnames": "data/evaluated/details/surnames",
}

_NO_SCORES = ("intervals", "improvement")  # for the note on the page; as metrics they would fill it


def find_scores(task: str, name: str) -> Path:
    """The path of the scores of a model, whether it has been scored or not."""
    return Path(DETAILS[task], name, "scores.json")


def read_scores(task: str, name: str) -> Scores:
    """Read the scores of a model."""
    scores: Scores = read_json(find_scores(task, name))
    return scores


def read_baseline_scores(task: str, data: str) -> dict[str, Scores]:
    """Read the scores of the baselines by name; none, if they are not here.

    Args:
        task: forecasting or surnames.
        data: the series; the surnames have one set of baselines.
    """
    folder = Path(DETAILS[task], "baselines")
    if task == "forecasting":
        folder /= data
    return read_baselines(folder) if (folder / "scores.json").exists() else {}


def list_scores(scores: Scores) -> dict[str, float]:
    """List the numbers by path: `macro_f1`, `validation/macro_f1`."""
    kept = {name: value for name, value in scores.items() if name not in _NO_SCORES}
    values = flatten(kept, "/")
    return {name: value for name, value in values.items() if not isinstance(value, str)}


def list_metrics(scores: Scores) -> dict[str, float]:
    """List the numbers by their names in MLflow: those of a metrics file have its names."""
    names = {}
    if "horizon_long" in scores:
        names = {name: metric for metric, name in name_metrics(scores).items()}
    metrics = {}
    for path, value in list_scores(scores).items():
        section, slash, name = path.rpartition("/")
        metrics[f"{section}{slash}{names.get(name, name)}"] = value
    return metrics


def name_interval(scores: Scores) -> str:
    """What the intervals of scores are called.

    Forecasts of an observed series overlap, so that its intervals hold less than 95 %.
    """
    is_backtest = any("mase" in name for name in scores)
    return "block bootstrap interval" if is_backtest else "95 % interval"


def list_labels(scores: Scores) -> dict[str, str]:
    """List what is no number: which data the model was scored on."""
    return {name: value for name, value in scores.items() if isinstance(value, str)}


def has_logarithm(name: str) -> bool:
    """Whether a score spans orders of magnitude: an error, or a ratio of errors."""
    return "mse" in name or "ratio" in name


def shorten(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics with four digits; errors and their ratios as logarithms too.

    They span 25 orders of magnitude, and charts show the small ones as 0.00.
    """
    shortened = {}
    for name, value in metrics.items():
        shortened[name] = float(f"{value:.4g}")
        if has_logarithm(name) and value > 0:
            section, slash, last = name.rpartition("/")
            shortened[f"{section}{slash}log10_{last}"] = round(math.log10(value), 3)
    return shortened


def flatten(values: dict[str, Any], separator: str) -> dict[str, Any]:
    """Join the keys that lead to each value: `{"a": {"b": 1}}` -> `{"a/b": 1}`."""
    flat = {}
    for key, value in values.items():
        if isinstance(value, dict):
            for rest, inner in flatten(value, separator).items():
                flat[f"{key}{separator}{rest}"] = inner
        else:
            flat[key] = value
    return flat
