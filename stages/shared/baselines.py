"""The scores of baselines: one scores.json per data set, below data/evaluated/details/."""

from pathlib import Path
from typing import Any

from stages.shared.json_files import read_json, write_json

Baselines = dict[str, dict[str, Any]]  # by name: nested scores, as in scores.json of a model


def write_baselines(folder: Path, data: str, baselines: Baselines) -> None:
    """Write the scores of all baselines below the name of their data."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "scores.json", {"data": data, **baselines})


def read_baselines(folder: Path) -> Baselines:
    """Read the scores of all baselines."""
    scores: dict[str, Any] = read_json(folder / "scores.json")
    del scores["data"]
    return scores
