"""What DVC knows: dvc.yaml, params.yaml and dvc.lock -> the stages that ran.

Those of searches/ have files of their own.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from stages.shared.errors import InputError
from stages.shared.json_files import read_json
from stages.shared.yaml_files import parse_yaml
from stages.tracking.checksums import CODE, Md5s, check_listings, compute_md5

SEARCHES_LOCK = "searches/dvc.lock"
Descriptions = dict[str, dict[str, str]]  # kind of a run -> its name -> a sentence
DESCRIPTIONS = "stages/tracking/descriptions.yaml"


@dataclass(frozen=True)
class Stage:
    """One entry of dvc.lock, or of that of the searches; its deps hold the code that it ran."""

    name: str
    cmd: str
    deps: Md5s
    outs: Md5s
    params: dict[str, dict[str, Any]]  # file -> section -> value
    lock: str = "dvc.lock"

    def read_section(self, name: str, file: str = "params.yaml") -> dict[str, Any]:
        """What the stage read of a section of params.yaml, or of another file.

        Raises:
            InputError: the lock has not all of it.
        """
        section = self.params.get(file, {}).get(name)
        if not isinstance(section, dict):
            self.refuse()
        return section

    def read_sections(self, file: str = "params.yaml") -> dict[str, Any]:
        """All that the stage read of a file of params.

        Raises:
            InputError: the lock has nothing of it.
        """
        if not self.params.get(file):
            self.refuse()
        return self.params[file]

    def refuse(self) -> NoReturn:
        """End where the entry lacks something.

        Raises:
            InputError: always.
        """
        raise InputError(_say_damage(self.lock, f"no whole entry of {self.name}"))


def read_stages() -> list[Stage]:
    """Read dvc.lock: the stages that dvc.yaml and params.yaml ask for, not those that left."""
    asked = _list_names(read_yaml("dvc.yaml")["stages"], read_yaml("params.yaml"))
    return _read_asked("dvc.lock", asked)


def read_searches() -> list[Stage]:
    """Read searches/dvc.lock likewise: the searches that were run."""
    if not Path(SEARCHES_LOCK).exists():
        return []
    return _read_asked(SEARCHES_LOCK, set(read_yaml("searches/dvc.yaml")["stages"]))


def check_dvc_listings() -> None:
    """Stop at a listing of a folder in DVC's cache that would have DVC write what it must not.

    Raises:
        InputError: a listing is not that of dvc.lock, or names what does not lie in its folder.
    """
    check_listings(read_folders())


def read_folders() -> Md5s:
    """Folders that DVC may write: those of the lock files, and of `dvc add`.

    Raises:
        InputError: a file of DVC is damaged.
    """
    added = [*Path().glob("*.dvc"), *Path("data").rglob("*.dvc")]
    folders: Md5s = {}
    for path in [Path("dvc.lock"), Path(SEARCHES_LOCK), *added]:
        if path.is_file():
            folders |= _read_folders(path)
    return folders


def _read_folders(path: Path) -> Md5s:
    content = read_yaml(str(path))
    try:
        entries = [content, *(content.get("stages") or {}).values()]
        outs = [out for entry in entries for out in entry.get("outs", [])]
        return {out["path"]: out["md5"] for out in outs if out["md5"].endswith(".dir")}
    except (AttributeError, KeyError, TypeError):
        raise InputError(_say_damage(str(path), "no whole entry of a folder")) from None


def _read_asked(path: str, asked: set[str]) -> list[Stage]:
    entries = read_yaml(path).get("stages") or {}
    stages = []
    for name, entry in entries.items():
        if name in asked:
            stages.append(_read_stage(path, name, entry))
    return stages


def _read_stage(path: str, name: str, entry: dict[str, Any]) -> Stage:
    try:
        deps = _add_code(_read_md5s(entry.get("deps", [])))
        outs = _read_md5s(entry.get("outs", []))
        params = {file: dict(found) for file, found in entry.get("params", {}).items()}
        return Stage(name, entry["cmd"], deps, outs, params, path)
    except (AttributeError, KeyError, TypeError, ValueError):
        # DVC writes in place: a kill cuts it anywhere
        raise InputError(_say_damage(path, f"no whole entry of {name}")) from None


def read_descriptions() -> Descriptions:
    """Read what people are told of each run."""
    return read_yaml(DESCRIPTIONS)


def read_yaml(path: str) -> dict[str, Any]:
    """Read dvc.yaml, params.yaml or dvc.lock.

    Raises:
        InputError: it is not here, or it is damaged.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise InputError(
            f"{path} is not here: run `dvc repro` first, in the folder that holds dvc.yaml"
        ) from None
    conflict = re.search("^<<<<<<< ", text, re.MULTILINE)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        raise InputError(
            f"{path} has conflict markers from line {line} on: resolve them, or take one side with "
            f"`git checkout --ours {path}` or --theirs, then type `make repro`"
        )
    try:
        content = parse_yaml(text) or {}
    except ValueError as error:
        raise InputError(_say_damage(path, str(error))) from None
    if not isinstance(content, dict):
        raise InputError(_say_damage(path, "no mapping"))
    return content


def _say_damage(path: str, what: str) -> str:
    return f"{path} is damaged ({what}): mend it, or take back git's by `git checkout {path}`"


def _read_md5s(entries: list[dict[str, Any]]) -> Md5s:
    return {entry["path"]: entry["md5"] for entry in entries}


def _add_code(deps: Md5s) -> Md5s:
    """Dependencies with the files that the lists of code among them name, where those are here."""
    code: Md5s = {}
    for path, md5 in deps.items():
        if path.startswith(CODE) and Path(path).exists() and compute_md5(Path(path)) == md5:
            code |= read_json(Path(path))["files"]
    return deps | code


def _list_names(stages: dict[str, Any], params: dict[str, Any]) -> set[str]:
    """Names of all stages, templates unrolled."""
    names = set()
    for name, stage in stages.items():
        if "foreach" not in stage:
            names.add(name)
            continue
        items = stage["foreach"]
        if isinstance(items, str):  # "${section}": one stage an entry of params.yaml
            items = params[items.strip("${}")]
        for item in items:
            names.add(f"{name}@{item}")
    return names
