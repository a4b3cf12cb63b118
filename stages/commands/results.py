"""Print the scores of every model beside its baselines: `python -m stages.commands.results`."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

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
BASELINES = {"sine": ["copy_period", "ar2", "ar_best"], "surnames": ["majority"]}


def read_metrics(evaluated: Path) -> dict[str, dict[str, Any]]:
    """Metrics by model."""
    files = sorted(evaluated.glob("*/metrics.json"))
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


def tabulate(metrics: dict[str, dict[str, Any]], columns: list[str], names: list[str]) -> Any:
    """One row a model, and once for each data set the rows of its baselines."""
    chosen = {model: row for model, row in metrics.items() if columns[0] in row}
    rows = [
        (row["data"], 1, model, *(row.get(column, math.nan) for column in columns))
        for model, row in chosen.items()
    ]
    beside = {
        (row["data"], 0, name, *(row.get(f"{name}_{column}", math.nan) for column in columns))
        for row in chosen.values()
        for name in names
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
    pairs = ((SINE, "{:.2g}", "sine"), (SURNAMES, "{:.3f}", "surnames"))
    for columns, number, task in pairs:
        table = tabulate(metrics, columns, BASELINES[task])
        if not table.empty:
            print(f"\n{task}")
            print(table.to_string(index=False, na_rep="-", float_format=number.format))


if __name__ == "__main__":
    print_results(Path("data/evaluated"))
