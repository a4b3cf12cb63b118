"""Md5s as DVC writes them, and whether the files of the working folder still have them."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from stages.shared.errors import InputError
from stages.tracking.seal import compute_file_md5

Md5s = dict[str, str]  # path -> md5, `.dir` at the end of a folder's
MD5 = re.compile("[0-9a-f]{32}")
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
            return f"{path} is missing: run `make pull` or `dvc repro`"
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
    from dvc.config import Config

    config = Config.from_cwd()
    return Path(config["cache"].get("dir") or Path(config.dvc_dir, "cache"), "files", "md5")


def check_listings(folders: Md5s) -> None:
    """Compare the listings of folders in DVC's cache with dvc.lock.

    DVC writes what a listing names, and compares the files alone with their md5s: a changed listing
    on a remote could place files anywhere.

    Args:
        folders: md5 of each folder that DVC may write.

    Raises:
        InputError: a listing is another one, or names what does not lie in its folder.
    """
    if not folders:
        return
    objects = find_objects()
    for folder, md5 in folders.items():
        path = objects / md5[:2] / md5[2:]
        if not path.exists():
            continue
        problem = listing_problem(path.read_bytes(), md5)
        if problem:
            raise InputError(
                f"DVC's listing of {folder} {problem}: delete {path} and {folder}, then type "
                "`make pull` or `make repro`"
            )


def listing_problem(listing: bytes, md5: str) -> str | None:
    """Why DVC must not write what the listing of a folder names, or None.

    Args:
        listing: JSON, as DVC keeps it: [{"md5": …, "relpath": …}, …].
        md5: of the folder in dvc.lock, with `.dir` at its end.
    """
    if hashlib.md5(listing, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
        return "is not that of dvc.lock"
    for entry in json.loads(listing):
        parts = entry["relpath"].split("/")
        if {"", ".", ".."} & {*parts} or not MD5.fullmatch(entry["md5"]):
            return f"names {entry['relpath']!r}, which does not lie in it"
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
