"""A search that nobody ran, in the workspace of tests/workspace.py."""

import shutil
from pathlib import Path
from typing import Any

from stages.searching.outcome import LABELS, Best, write_best
from stages.shared.tables import write_table
from stages.shared.yaml_files import format_yaml, parse_yaml
from tests.shell import PROJECT
from tests.workspace import take_results

NAME = "search_classifiers"
OUT = Path("data/searched/classifiers")
COLUMNS = ["recipe", "seed", "rate", "network.hidden", "validation/macro_f1", "failure"]
ROWS: list[list[Any]] = [
    [0, 0, 0.012, 96, 0.41234, ""],
    [1, 0, 0.02, 64, 0.52, ""],
    [2, 0, 0.03, 128, None, "the loss became nan"],
]
TRIALS = ["surname_gru 0, seed 0", "surname_gru 1, seed 0", "surname_gru 2, seed 0"]
LOSSES = [[0, 0, 2, 1.5], [0, 0, 4, 1.25], [1, 0, 2, 0.5]]
SEARCH = {
    "base": "surname_gru",
    "architecture": "pooled_classifier",
    "recipes": 2,
    "seed": 0,
    "seeds": [0],
    "score": "macro_f1",
    "space": {"rate": {"log": [0.01, 0.1]}, "network.hidden": {"choices": [64, 128]}},
}


def add_search(folder: Path, value: float = 0.52) -> None:
    """Let dvc.lock of the searches say that one was run.

    Args:
        folder: a workspace.
        value: best score.
    """
    shutil.copy(PROJECT / "searches/dvc.yaml", folder / "searches")
    sections = parse_yaml((folder / "searches/params.yaml").read_text(encoding="utf-8"))
    text = format_yaml(sections | {NAME: SEARCH})
    (folder / "searches/params.yaml").write_text(text, encoding="utf-8")
    (folder / OUT).mkdir(parents=True, exist_ok=True)
    rows = [[*row[:4], value if row[0] == 1 else row[4], row[5]] for row in ROWS]
    write_table(folder / OUT / "trials.csv", COLUMNS, rows)
    write_table(folder / OUT / "curves.csv", [*LABELS, "iteration", "loss"], LOSSES)
    changes = {"rate": 0.02, "network.hidden": 64}
    params = parse_yaml((folder / "params.yaml").read_text(encoding="utf-8"))
    entry = params["classifiers"]["surname_gru"]
    entry = entry | {"rate": 0.02, "network": entry["network"] | {"hidden": 64}}
    del entry["seed"]
    best = Best(
        "classifiers", "surname_gru", "official", 1, changes, entry, "macro_f1", value, 0.41234
    )
    write_best(folder / OUT, best)
    take_results(folder, f"searches/dvc.yaml:{NAME}", "follow_imports")
