"""DVC's files: which stages ran, by a lock file, and whether the workspace agrees with it."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
        """Return the section of a params file that the stage read.

        Raises:
            InputError: if the lock file does not have it.
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
        pipeline: path of dvc.yaml; its dvc.lock is in the same folder.
        params: path of the params over which `foreach` iterates.
        code_lists: folder of JSON files that list the code of a stage, `{"files": {path: md5}}`;
            a stage that depends on such a list depends on these files.

    Raises:
        InputError: if a file is missing or damaged.
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
    """Read the dvc.lock beside a dvc.yaml, with paths relative to the working folder.

    Args:
        pipeline: path of dvc.yaml.
        definitions: stages of dvc.yaml; other entries of dvc.lock are left out.
        outside_deps: whether stages may read files outside of the repository.

    Raises:
        InputError: if the lock file is missing or damaged.
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
    """Return the definition of a stage, or of `stage@*` if its items are not known."""
    return definitions.get(name) or definitions.get(f"{name.partition('@')[0]}@*")


def join_path(folder: Path, path: str) -> str:
    """Join a folder and a path in it; URLs and absolute paths stay as they are."""
    return path if "://" in path else os.path.normpath(folder / path).replace(os.sep, "/")


def list_written(stages: Iterable[Stage]) -> dict[str, tuple[str, str]]:
    """Return the outs of stages: path -> md5 and name of the stage."""
    return {path: (md5, stage.name) for stage in stages for path, md5 in stage.outs.items()}


class _File(BaseModel):
    """The fields of a dep or an out that are used here."""

    path: str
    md5: Annotated[str | None, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]

    @model_validator(mode="before")
    @classmethod
    def _allow_other_states(cls, file: Any) -> Any:
        has_other = isinstance(file, dict) and bool(_OTHER_STATES & file.keys())
        return {"md5": None} | file if has_other else file


def _join_commands(commands: Any) -> Any:
    """Join the commands of a stage into one."""
    are_texts = isinstance(commands, list) and all(isinstance(one, str) for one in commands)
    return " && ".join(commands) if are_texts else commands


class _LockEntry(BaseModel):
    """A stage in a lock file, or a .dvc file, which has no command."""

    cmd: Annotated[str, BeforeValidator(_join_commands)] = ""
    deps: list[_File] = []
    outs: list[_File] = []
    params: dict[str, dict[str, Any]] = {}

    def list_files(self, kind: str) -> Md5s:
        """Return the md5s of `deps` or `outs` by path."""
        return {file.path: file.md5 for file in getattr(self, kind) if file.md5}


class _CodeList(BaseModel):
    files: Md5s


def read_entries(path: Path, *, outside_deps: bool = False) -> dict[str, _LockEntry]:
    """Read the entries of a lock file by stage, or the only one of a .dvc file, named "".

    Args:
        path: path of the file.
        outside_deps: whether stages may read files outside of the repository.

    Raises:
        InputError: if it is damaged, or names files outside of the repository.
    """
    content = read_yaml(path)
    entries = {"": content} if path.suffix == ".dvc" else content.get("stages") or {}
    try:
        found = TypeAdapter(dict[str, _LockEntry]).validate_python(entries)
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
    """Return the md5 of a file, or of the listing of a folder, as DVC computes it."""
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
    """Return which file or folder is missing or differs from the lock file, or None.

    A path is compared if it, or a folder above it, has an md5. Messages name the command `pull`.
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
            remedy = f"its copy {damaged} does too, delete both and run `make repro`"
        elif find_object(md5, objects).exists():
            # DVC may believe that it is unchanged
            remedy = "delete it, then run `dvc checkout` or `dvc repro`"
        return f"{listed} differs from dvc.lock: {remedy}"
    return None


def find_entry(path: str, entries: Iterable[str]) -> str | None:
    """Return the path or its nearest parent folder that is among `entries`, or None."""
    for candidate in [path, *map(str, Path(path).parents)]:
        if candidate in entries:
            return candidate
    return None


# DVC's cache


def find_cached_file(md5: str) -> Path | None:
    """Return the file with an md5 in DVC's cache, None if it is missing or damaged."""
    if not _MD5.fullmatch(md5):
        return None
    path = find_object(md5, find_objects())
    return path if path.is_file() and compute_file_md5(path) == md5 else None


def _find_damaged_object(md5: str, objects: Path) -> Path | None:
    """Return the first damaged object in DVC's cache of a file, or of a folder and its files."""
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
    """Return the folders that DVC may write, with their md5s.

    Args:
        files: lock files and .dvc files; missing ones are left out.
        outside_deps: whether stages may read files outside of the repository.

    Raises:
        InputError: if a file is damaged.
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
    """Check the listings of folders in DVC's cache.

    DVC writes the files that a listing names, and checks the md5s of files but not of the listing:
    a changed listing on a remote could place files anywhere.

    Raises:
        InputError: if a listing does not have its md5, or names a path outside of its folder.
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
    """Return why a listing must not be used, or None.

    Args:
        listing: DVC's JSON: [{"md5": …, "relpath": …}, …].
        md5: md5 of the folder in the lock file, which ends with `.dir`.
    """
    if hashlib.md5(listing, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
        return "is not that of dvc.lock"
    try:
        entries = json.loads(listing)
        paths = [entry["relpath"] for entry in entries if _MD5.fullmatch(entry["md5"])]
        named = {path.casefold() for path in paths}  # some systems know no case
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return "is not a list of files"
    if not isinstance(entries, list):
        return "is not a list of files"
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
