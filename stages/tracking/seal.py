"""Md5s of the files of a packed model: written with it, held against it before it is loaded.

Travels with the model, and imports nothing but the standard library.
"""

import hashlib
import json
from pathlib import Path

SEAL = "checksums.json"


def seal(folder: Path) -> None:
    """Write down what the files of a folder are."""
    md5s = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            md5s[path.relative_to(folder).as_posix()] = compute_file_md5(path)
    (folder / SEAL).write_text(json.dumps(md5s, indent=1) + "\n", encoding="utf-8")


def find_damage(folder: Path) -> str | None:
    """Say which file of a sealed folder is missing or not as it was, or nothing."""
    try:
        md5s = json.loads((folder / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{SEAL} is missing or damaged"
    for name, md5 in md5s.items():
        path = folder / name
        if not path.exists():
            return f"{name} is missing"
        if compute_file_md5(path) != md5:
            return f"{name} is damaged"
    return None


def compute_file_md5(path: Path) -> str:
    """Md5 of a file."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
