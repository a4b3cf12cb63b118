"""Print the scores of every model beside its baselines: `python -m stages.commands.results`."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from stages.tracking.content import BASELINES, read_json
from stages.tracking.lockfile import read_models

SINE = [
    "document_mse",
    "one_step_mse",
    "free_run_mse_49",
    "free_run_mse_500",
    "free_run_mse_5000",
]
SURNAMES = [
    "accuracy",
    "top3_accuracy",
    "balanced_accuracy",
    "macro_f1",
    "accuracy_corrected",
    "macro_f1_corrected",
    "nll",
    "ece",
]


def read_metrics(evaluated: Path) -> dict[str, dict[str, Any]]:
    """Metrics of the models that dvc.yaml asks for, by name."""
    files = (evaluated / model.name / "metrics.json" for model in read_models())
    return {file.parent.name: read_json(file) for file in files if file.exists()}


def tabulate(metrics: dict[str, dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """One row a model, and once for each data set the rows of its baselines."""
    chosen = {model: row for model, row in metrics.items() if columns[0] in row}
    rows = [
        (row["data"], 1, model, *(row.get(column, math.nan) for column in columns))
        for model, row in chosen.items()
    ]
    beside = {
        (row["data"], 0, name, *(row.get(f"{name}_{column}", math.nan) for column in columns))
        for row in chosen.values()
        for name in BASELINES
        if any(f"{name}_{column}" in row for column in columns)
    }
    table = pd.DataFrame(sorted([*rows, *beside], key=lambda row: row[:3]))
    if table.empty:
        return table
    table.columns = ["data", "kind", "model", *columns]
    table["kind"] = table["kind"].map({0: "baseline", 1: "network"})
    return table


def print_results(evaluated: Path) -> None:
    """Print two tables, mean squared errors and shares."""
    metrics = read_metrics(evaluated)
    for task, columns, number in (("sine", SINE, "{:.2g}"), ("surnames", SURNAMES, "{:.3f}")):
        table = tabulate(metrics, columns)
        if not table.empty:
            print(f"\n{task}")
            print(table.to_string(index=False, na_rep="-", float_format=number.format))


if __name__ == "__main__":
    print_results(Path("data/evaluated"))
