"""JSON as people read it, and the scores of baselines: scores.json."""

import json
from pathlib import Path
from typing import Any

from stages.shared.errors import InputError
from stages.shared.files import read_file

Baselines = dict[str, dict[str, Any]]  # by name: nested scores, as in scores.json of a model


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented; the same content gives the same bytes."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: it is none, so it was damaged, or it cannot be read to its end.
    """
    try:
        return json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and run `dvc checkout`") from None


def write_baselines(folder: Path, data: str, baselines: Baselines) -> None:
    """Write the scores of all baselines below the name of their data."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "scores.json", {"data": data, **baselines})


def read_baselines(folder: Path) -> Baselines:
    """Read the scores of all baselines."""
    scores: dict[str, Any] = read_json(folder / "scores.json")
    del scores["data"]
    return scores
