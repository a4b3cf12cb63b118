"""Md5s as DVC writes them, and whether the files of the working folder still have them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

Md5s = dict[str, str]  # path -> md5, `.dir` at the end of a folder's


def compute_md5(path: Path) -> str:
    """Md5 of a file; a folder's is that of the list of its files."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    listing = []
    for file in path.rglob("*"):
        if file.is_file():
            relative = file.relative_to(path).as_posix()
            listing.append({"md5": compute_md5(file), "relpath": relative})
    listing.sort(key=lambda entry: entry["relpath"])
    digest = hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False)
    return f"{digest.hexdigest()}.dir"


def find_first_disagreement(paths: Iterable[str], md5s: Md5s) -> str | None:
    """Say how the first file that departs from dvc.lock does so, or nothing.

    Args:
        paths: files and folders.
        md5s: what dvc.lock says of them, or of a folder above them.
    """
    for path in paths:
        if not Path(path).exists():
            return f"{path} is missing: run `dvc pull` or `dvc repro`"
        pinned = find_entry(path, md5s)
        if pinned and compute_md5(Path(pinned)) != md5s[pinned]:
            return f"{pinned} differs from dvc.lock: run `dvc checkout` or `dvc repro`"
    return None


def find_entry(path: str, entries: Iterable[str]) -> str | None:
    """Find a path, or else the folder above it, among paths."""
    candidates = [path]
    for folder in Path(path).parents:
        candidates.append(str(folder))
    for candidate in candidates:
        if candidate in entries:
            return candidate
    return None
