"""Md5s as DVC writes them, and whether the files of the working folder still have them."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from stages.tracking.seal import compute_file_md5

Md5s = dict[str, str]  # path -> md5, `.dir` at the end of a folder's
CODE = "data/code/"  # lists of the code that stages run, by stages/imports/follow.py


def compute_md5(path: Path) -> str:
    """Md5 of a file; a folder's is that of the list of its files."""
    if path.is_file():
        return compute_file_md5(path)
    listing = []
    for file in path.rglob("*"):
        if file.is_file():
            relative = file.relative_to(path).as_posix()
            listing.append({"md5": compute_md5(file), "relpath": relative})
    listing.sort(key=lambda entry: entry["relpath"])
    digest = hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False)
    return f"{digest.hexdigest()}.dir"


def find_missing(paths: Iterable[str]) -> str | None:
    """Say which is the first file or folder that is not there, or nothing."""
    for path in paths:
        if not Path(path).exists():
            return f"{path} is missing: run `dvc pull` or `dvc repro`"
    return None


def find_departure(paths: Iterable[str], md5s: Md5s) -> str | None:
    """Say how the first file that is there and departs from dvc.lock can be mended, or nothing.

    Args:
        paths: files and folders.
        md5s: what dvc.lock says of them, or of a folder above them.
    """
    for path in paths:
        pinned = find_entry(path, md5s)
        if pinned and Path(pinned).exists() and compute_md5(Path(pinned)) != md5s[pinned]:
            return f"{pinned} differs from dvc.lock: {_find_remedy(pinned, md5s[pinned])}"
    return None


def _find_remedy(path: str, md5: str) -> str:
    if not path.startswith("data/") or path.startswith(CODE):
        return "run `dvc repro`"
    rotten = find_rotten_object(md5, find_objects())
    if rotten:
        return f"so does DVC's copy of it, delete both ({path} and {rotten}) and run `make repro`"
    return "delete it, then run `dvc checkout` or `dvc repro`"  # DVC may know it as whole


def find_rotten_object(md5: str, objects: Path) -> Path | None:
    """The first object in DVC's cache whose name is not its md5 (any more).

    Args:
        md5: of a file or a folder, whose files are looked at too.
        objects: folder of the cache.
    """
    path = objects / md5[:2] / md5[2:]
    if not path.exists():
        return None
    if compute_file_md5(path) != md5.removesuffix(".dir"):
        return path
    if md5.endswith(".dir"):
        for entry in json.loads(path.read_bytes()):
            rotten = find_rotten_object(entry["md5"], objects)
            if rotten:
                return rotten
    return None


def find_objects() -> Path:
    """The folder of DVC's cache that holds files by their md5; several clones may share it."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return Path(done.stdout.strip(), "files", "md5")


def find_entry(path: str, entries: Iterable[str]) -> str | None:
    """Find a path, or else the folder above it, among paths."""
    candidates = [path]
    for folder in Path(path).parents:
        candidates.append(str(folder))
    for candidate in candidates:
        if candidate in entries:
            return candidate
    return None
