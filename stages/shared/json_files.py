"""JSON as people read it."""

import json
from pathlib import Path
from typing import Any

from stages.shared.errors import InputError


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented; the same content gives the same bytes."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: it is none, so it was damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): delete it and run `dvc checkout`") from None
