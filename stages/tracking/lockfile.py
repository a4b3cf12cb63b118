"""What DVC knows: dvc.yaml, params.yaml and dvc.lock -> the stages that ran."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.shared.errors import InputError
from stages.tracking.checksums import Md5s


@dataclass(frozen=True)
class Stage:
    """One entry of dvc.lock."""

    name: str
    cmd: str
    deps: Md5s
    outs: Md5s
    params: dict[str, dict[str, Any]]  # file -> section -> value


def read_stages() -> list[Stage]:
    """Read dvc.lock: the stages that dvc.yaml and params.yaml ask for, not those that left."""
    asked = _list_names(_read_yaml("dvc.yaml")["stages"], _read_yaml("params.yaml"))
    entries = _read_yaml("dvc.lock").get("stages") or {}
    stages = []
    for name, entry in entries.items():
        if name in asked:
            deps = _read_md5s(entry.get("deps", []))
            outs = _read_md5s(entry.get("outs", []))
            stages.append(Stage(name, entry["cmd"], deps, outs, entry.get("params", {})))
    return stages


def read_descriptions() -> dict[str, str]:
    """Read what params.yaml says of models, and of the tour, for people alone."""
    return _read_yaml("params.yaml").get("descriptions") or {}


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return yaml.load(file, yaml.CSafeLoader) or {}  # the C one: a lock file is long
    except FileNotFoundError:
        raise InputError(
            f"{path} is not here: run `dvc repro` first, in the folder that holds dvc.yaml"
        ) from None


def _read_md5s(entries: list[dict[str, Any]]) -> Md5s:
    return {entry["path"]: entry["md5"] for entry in entries}


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
