"""Md5s of the files of a served model, written with it and checked before it is unpacked.

This file is part of each served model, so it imports only the standard library.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKSUMS = "checksums.json"


def write_checksums(folder: Path) -> None:
    """Write the md5s of all files of a folder to checksums.json in it."""
    md5s = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            md5s[path.relative_to(folder).as_posix()] = compute_file_md5(path)
    (folder / CHECKSUMS).write_text(json.dumps(md5s, indent=1) + "\n", encoding="utf-8")


def checksum_problem(folder: Path) -> str | None:
    """Return which file of a folder is missing or damaged by its checksums, or None."""
    path = folder / CHECKSUMS
    try:
        md5s = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        md5s = None
    if not isinstance(md5s, dict):
        return f"{CHECKSUMS} is missing or damaged"
    for name, md5 in md5s.items():
        path = folder / name
        # links out of the folder are not followed; pipes and devices may never end
        if not (path.is_file() and path.resolve().is_relative_to(folder.resolve())):
            return f"{name} is missing"
        if compute_file_md5(path) != md5:
            return f"{name} is damaged"
    return None


@contextmanager
def unpack(package: str) -> Iterator[dict[str, str]]:
    """Unpack the package of a model into a temporary folder, and yield name -> path.

    Raises:
        OSError: if a file of the model is missing or damaged.
    """
    model = Path(package).parents[1]
    if (model / "MLmodel").exists():  # MLflow also tries a model that it is still packing
        problem = checksum_problem(model)
        if problem:
            raise OSError(f"the model in {model} cannot be served: {problem}")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(package) as files:
            files.extractall(folder)
        yield {path.stem: str(path) for path in Path(folder).iterdir()}


def compute_file_md5(path: Path) -> str:
    """Return the md5 of a file."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
