"""DVC's files: which stages ran, by a lock file, and whether the workspace agrees with it."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from stages.shared.dvc_pipeline import StageOuts, find_object, find_objects, resolve_stages
from stages.shared.errors import InputError
from stages.shared.files import read_file
from stages.shared.json_files import read_json
from stages.shared.params import describe_problem
from stages.shared.yaml_files import format_damage, read_yaml
from stages.tracking.mlflow_sync.checksums import compute_file_md5

Md5s = dict[str, str]  # path -> md5, `.dir` at the end of a folder's

_MD5 = re.compile("[0-9a-f]{32}")
_OTHER_STATES = {"etag", "checksum", "repo", "files"}  # by which DVC knows what has no md5


@dataclass(frozen=True)
class Stage:
    """One entry of a lock file; its deps include the code that it ran."""

    name: str
    cmd: str
    deps: Md5s
    outs: Md5s
    params: dict[str, dict[str, Any]]  # file -> section -> value
    lock: str = "dvc.lock"

    def read_section(self, name: str, file: str = "params.yaml") -> dict[str, Any]:
        """What the stage read of one section of a file of params.

        Raises:
            InputError: it is missing in the lock file.
        """
        section = self.params.get(file, {}).get(name)
        if not isinstance(section, dict):
            self.raise_incomplete()
        return section

    def raise_incomplete(self) -> NoReturn:
        """Raise InputError: something is missing in the entry."""
        raise InputError(format_damage(self.lock, f"the entry of {self.name} is incomplete"))


def read_stages(pipeline: str, params: str, code_lists: str) -> dict[str, Stage]:
    """Read the entries of a lock file whose stages are in dvc.yaml, by name.

    Args:
        pipeline: path of dvc.yaml, beside which is its dvc.lock.
        params: path of the params over which `foreach` iterates.
        code_lists: folder of JSON files that list the code of a stage, `{"files": {path: md5}}`: a
            stage that depends on one depends on these files.

    Raises:
        InputError: a file is missing or damaged.
    """
    definitions = resolve_stages(read_yaml(pipeline), read_yaml(params))
    stages = read_locked(Path(pipeline), definitions)
    for name, stage in stages.items():
        code: Md5s = {}
        for path, md5 in stage.deps.items():
            is_list = path.startswith(code_lists) and Path(path).exists()
            if is_list and compute_md5(Path(path)) == md5:
                code |= read_json(Path(path), _CodeList)["files"]
        stages[name] = replace(stage, deps=stage.deps | code)
    return stages


def read_locked(
    pipeline: Path, definitions: dict[str, StageOuts], *, outside_deps: bool = False
) -> dict[str, Stage]:
    """The entries of the dvc.lock beside a dvc.yaml, by name, with paths from here on.

    Args:
        pipeline: path of dvc.yaml.
        definitions: its stages; entries of others are left out.
        outside_deps: whether stages may read files outside of the repository.

    Raises:
        InputError: the lock file is missing or damaged.
    """
    lock = pipeline.with_name("dvc.lock")
    stages = {}
    for name, entry in read_entries(lock, outside_deps=outside_deps).items():
        defined = find_definition(name, definitions)
        if defined is None:
            continue
        folder = pipeline.parent / defined.wdir
        files = {}
        for kind in ("deps", "outs"):
            listed = entry.list_files(kind).items()
            files[kind] = {join_path(folder, path): md5 for path, md5 in listed}
        stages[name] = Stage(name, entry.cmd, files["deps"], files["outs"], entry.params, str(lock))
    return stages


def find_definition(name: str, definitions: dict[str, StageOuts]) -> StageOuts | None:
    """What dvc.yaml says of a stage, also of one whose item it does not name."""
    return definitions.get(name) or definitions.get(f"{name.partition('@')[0]}@*")


def join_path(folder: Path, path: str) -> str:
    """A path from the repository on; addresses and absolute paths stay."""
    return path if "://" in path else os.path.normpath(folder / path).replace(os.sep, "/")


class _File(BaseModel):
    """A dep or an out, as far as it is used here."""

    path: str
    md5: Annotated[str | None, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]

    @model_validator(mode="before")
    @classmethod
    def _allow_other_states(cls, file: Any) -> Any:
        has_other = isinstance(file, dict) and bool(_OTHER_STATES & file.keys())
        return {"md5": None} | file if has_other else file


def _join_commands(commands: Any) -> Any:
    """Several commands of a stage as one."""
    are_texts = isinstance(commands, list) and all(isinstance(one, str) for one in commands)
    return " && ".join(commands) if are_texts else commands


class _Entry(BaseModel):
    """A stage in a lock file, or a .dvc file, which has no command."""

    cmd: Annotated[str, BeforeValidator(_join_commands)] = ""
    deps: list[_File] = []
    outs: list[_File] = []
    params: dict[str, dict[str, Any]] = {}

    def list_files(self, kind: str) -> Md5s:
        """The md5s of deps or outs by path."""
        return {file.path: file.md5 for file in getattr(self, kind) if file.md5}


class _CodeList(BaseModel):
    files: Md5s


def read_entries(path: Path, *, outside_deps: bool = False) -> dict[str, _Entry]:
    """The entries of a lock file by stage, or the one of a .dvc file.

    Args:
        path: of the file.
        outside_deps: whether stages may read files outside of the repository.

    Raises:
        InputError: it is damaged, or names files outside of the repository.
    """
    try:
        text = read_file(path)
    except FileNotFoundError:
        text = b""  # `read_yaml` says what to do
    return _parse_entries(path, text, outside_deps)


@lru_cache(maxsize=4)  # a command reads dvc.lock up to four times, 0.2 s each
def _parse_entries(path: Path, _text: bytes, outside_deps: bool) -> dict[str, _Entry]:
    """The entries of a lock file with this text."""
    content = read_yaml(path)
    entries = {"": content} if path.suffix == ".dvc" else content.get("stages") or {}
    try:
        found = TypeAdapter(dict[str, _Entry]).validate_python(entries)
    except ValidationError as error:  # DVC writes in place: a kill cuts it anywhere
        raise InputError(format_damage(path, describe_problem(error))) from None
    for name, entry in found.items():
        for file in [*([] if outside_deps else entry.deps), *entry.outs]:
            target = Path(os.path.normpath(path.parent / file.path))
            if target.is_absolute() or ".." in target.parts:
                damage = f"{name} names {file.path}, outside of the repository"
                raise InputError(format_damage(path, damage))
    return found


# Files and their md5s


def compute_md5(path: Path) -> str:
    """Md5 as DVC computes it; that of a folder is of the list of its files."""
    if path.is_file():
        return compute_file_md5(path)
    listing = []
    for file in path.rglob("*"):
        if file.is_file():
            relative = file.relative_to(path).as_posix()
            listing.append({"md5": compute_file_md5(file), "relpath": relative})
    listing.sort(key=lambda entry: entry["relpath"])
    digest = hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False)
    return f"{digest.hexdigest()}.dir"


def workspace_problem(
    paths: Iterable[str], md5s: Md5s, pull: str = "make pull", *, may_be_missing: bool = False
) -> str | None:
    """Why files or folders cannot be used: one is missing or differs from the lock file, or None.

    A path is compared if it, or a folder above it, has an md5. A message names the command `pull`.
    """
    paths = list(paths)
    for path in paths:
        if not may_be_missing and not Path(path).exists():
            return f"{path} is missing: run `{pull}` or `dvc repro`"
    for path in paths:
        listed = find_entry(path, md5s)
        if not listed or not Path(listed).exists():
            continue
        md5 = md5s[listed]
        if compute_md5(Path(listed)) == md5:
            continue
        objects = find_objects()
        damaged = _find_damaged_object(md5, objects)
        remedy = "run `dvc repro`"
        if damaged:
            remedy = (
                f"so does DVC's copy of it, delete both ({listed} and {damaged}) and run "
                "`make repro`"
            )
        elif find_object(md5, objects).exists():
            # DVC may take it for unchanged
            remedy = "delete it, then run `dvc checkout` or `dvc repro`"
        return f"{listed} differs from dvc.lock: {remedy}"
    return None


def find_entry(path: str, entries: Iterable[str]) -> str | None:
    """Find a path, or else the nearest folder above it, among paths."""
    for candidate in [path, *map(str, Path(path).parents)]:
        if candidate in entries:
            return candidate
    return None


# DVC's cache


def find_cached_file(md5: str) -> Path | None:
    """The file of an md5 in DVC's cache, if it is there and undamaged."""
    if not _MD5.fullmatch(md5):
        return None
    path = find_object(md5, find_objects())
    return path if path.is_file() and compute_file_md5(path) == md5 else None


def _find_damaged_object(md5: str, objects: Path) -> Path | None:
    """The first damaged object of a file, or of a folder and its files, in DVC's cache."""
    path = find_object(md5, objects)
    if not path.is_file():
        return None
    if compute_file_md5(path) != md5.removesuffix(".dir"):
        return path
    if md5.endswith(".dir"):
        for entry in json.loads(path.read_bytes()):
            damaged = _find_damaged_object(entry["md5"], objects)
            if damaged:
                return damaged
    return None


def read_folders(files: Iterable[Path], *, outside_deps: bool = False) -> Md5s:
    """Folders that DVC may write, with their md5s, of lock files and the .dvc files of `dvc add`.

    Files that do not exist are left out.

    Raises:
        InputError: one of them is damaged.
    """
    folders: Md5s = {}
    for path in files:
        if not path.is_file():
            continue
        for entry in read_entries(path, outside_deps=outside_deps).values():
            outs = entry.list_files("outs")
            folders |= {out: md5 for out, md5 in outs.items() if md5.endswith(".dir")}
    return folders


def check_listings(folders: Md5s) -> None:
    """Compare the listings in DVC's cache of the folders that DVC may write with the lock file.

    DVC writes what a listing names, and compares the files alone with their md5s: a changed listing
    on a remote could place files anywhere.

    Raises:
        InputError: a listing is another one, or names a path outside of its folder.
    """
    if not folders:
        return
    objects = find_objects()
    for folder, md5 in folders.items():
        path = find_object(md5, objects)
        problem = listing_problem(read_file(path), md5) if path.exists() else None
        if problem:
            shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            raise InputError(
                f"DVC's listing of {folder} {problem}: delete {shown} and {folder}, then type "
                "`make pull` or `make repro`"
            )


def listing_problem(listing: bytes, md5: str) -> str | None:
    """Why DVC must not write what the listing of a folder names, or None.

    Args:
        listing: JSON, as DVC keeps it: [{"md5": …, "relpath": …}, …].
        md5: of the folder in the lock file, with `.dir` at its end.
    """
    if hashlib.md5(listing, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
        return "is not that of dvc.lock"
    try:
        entries = json.loads(listing)
        paths = [entry["relpath"] for entry in entries if _MD5.fullmatch(entry["md5"])]
        named = {path.casefold() for path in paths}  # some systems know no case
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return "is no list of files"
    if not isinstance(entries, list):
        return "is no list of files"
    if len(paths) < len(entries):
        return "has a file without an md5"
    if len(named) < len(paths):
        return "names a file twice"
    for path in paths:
        parts = path.split("/")
        folders = {"/".join(parts[:count]).casefold() for count in range(1, len(parts))}
        if {"", ".", ".."} & {*parts} or "\\" in path or not path.isprintable():
            return f"names {path!r}, which is outside of it"
        if folders & named:
            return f"names {path!r} below a file"
    return None
