"""The entries of dvc.lock as text, one per stage."""

import re
from pathlib import Path

from stages.tracking.mlflow_sync.dvc_files import read_yaml

HEAD = "schema: '2.0'\nstages:\n"
ENTRY = re.compile(r"  (\S+):\n(?:    .*\n)+")
NEW = Path(".dvc/tmp/dvc.lock.new")


def drop_unknown_entries() -> None:
    """Drop what lock files have of stages that their dvc.yaml does not know, such as of old names.

    Entries of models that left params.yaml stay: their stage is known.
    """
    for folder in (Path(), Path("searches")):
        path, pipeline = folder / "dvc.lock", folder / "dvc.yaml"
        if not path.exists() or not pipeline.exists():
            continue
        entries = split_entries(path.read_text(encoding="utf-8")) or {}
        known = read_yaml(str(pipeline))["stages"]
        kept = [text for name, text in entries.items() if name.partition("@")[0] in known]
        if len(kept) < len(entries):
            write_whole(path, HEAD + "".join(kept))


def write_whole(path: Path, text: str) -> None:
    """Write dvc.lock so that nobody ever sees a part of it."""
    NEW.write_text(text, encoding="utf-8")
    NEW.replace(path)


def split_entries(text: str) -> dict[str, str] | None:
    """The lines of each stage by its name; None, if DVC has not written this."""
    entries = {}
    for entry in ENTRY.finditer(text):
        entries[entry[1]] = entry[0]
    return entries if text == HEAD + "".join(entries.values()) else None
