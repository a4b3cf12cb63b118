"""DVC's own files: the stages that dvc.yaml defines, dvc.lock entry by entry, and its cache."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from stages.shared.errors import InputError, summarize
from stages.shared.files import replacing
from stages.shared.params import describe_problem
from stages.shared.yaml_files import format_damage

if TYPE_CHECKING:
    from dvc.config import Config


_HEAD = "schema: '2.0'\nstages:\n"
_ENTRY = re.compile(r"  (\S+):\n(?:    .*\n)+")
_TEMPLATE = re.compile(r"\$\{([^}]+)\}")
_UNKNOWN = "*"
_Out = str | Annotated[dict[str, Any], Field(min_length=1)]  # a path, or one with its options


class _Definition(BaseModel):
    """What a stage writes, as far as it is used here."""

    outs: list[_Out] = []
    metrics: list[_Out] = []
    plots: list[_Out] = []


class _Stage(_Definition):
    """A stage in dvc.yaml, or the template of several."""

    foreach: str | list[Any] | dict[str, Any] | None = None
    matrix: dict[str, Any] | None = None
    do: _Definition | None = None


def list_outs(pipeline: dict[str, Any], params: dict[str, Any]) -> dict[str, list[str]]:
    """The stages of a dvc.yaml by name, one per item of a `foreach`, with the paths of their outs.

    What is not known from the params alone is `*`: the items of a `matrix`, and names of `vars`.

    Args:
        pipeline: content of dvc.yaml.
        params: content of the file of params that its templates name.
    """
    found = {}
    for name, stage in parse_pipeline(pipeline).items():
        items: Any = stage.foreach
        if isinstance(items, str):  # "${section}": one stage per entry of the params
            items = _look_up(items.strip("${}"), params)
            items = items if isinstance(items, list | dict) else _UNKNOWN
        if stage.matrix is not None or items == _UNKNOWN:
            found[f"{name}@{_UNKNOWN}"] = _list_paths(stage.do or stage, {})
        elif items is None:
            found[name] = _list_paths(stage, params)
        else:
            for key in items:
                item = items[key] if isinstance(items, dict) else key
                known = params | {"key": key, "item": item}
                found[f"{name}@{key}"] = _list_paths(stage.do or stage, known)
    return found


def parse_pipeline(pipeline: dict[str, Any]) -> dict[str, _Stage]:
    """The stages of a dvc.yaml by name, as it defines them.

    Raises:
        InputError: it defines something else.
    """
    try:
        return TypeAdapter(dict[str, _Stage]).validate_python(pipeline.get("stages") or {})
    except ValidationError as error:
        raise InputError(format_damage("dvc.yaml", describe_problem(error))) from None


def _list_paths(stage: _Definition, values: dict[str, Any]) -> list[str]:
    """Paths of the outs, metrics and plots of one stage, each with options or without."""
    paths = []
    for entries in (stage.outs, stage.metrics, stage.plots):
        for entry in entries:
            path = next(iter(entry)) if isinstance(entry, dict) else entry
            paths.append(_TEMPLATE.sub(lambda match: str(_look_up(match[1], values)), path))
    return paths


def _look_up(name: str, values: dict[str, Any]) -> Any:
    """The value of a template's name, such as `item.series`; `*`, if it is not known."""
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            return _UNKNOWN
        found = found[part]
    return found


def split_lock(text: str) -> dict[str, str] | None:
    """The lines of each stage of a dvc.lock by its name; None, if DVC has not written this."""
    entries = {}
    for entry in _ENTRY.finditer(text):
        entries[entry[1]] = entry[0]
    return entries if text == join_lock(entries) else None


def join_lock(entries: dict[str, str]) -> str:
    """The text of a dvc.lock with these entries; empty, if there are none."""
    return _HEAD + "".join(entries.values())


def write_lock(path: Path, entries: dict[str, str]) -> None:
    """Write a dvc.lock completely or not at all."""
    with replacing(path) as new:
        new.write_text(join_lock(entries), encoding="utf-8")


def read_dvc_config() -> "Config":
    """DVC's settings here.

    Raises:
        InputError: a file of them is damaged.
    """
    from dvc.config import Config, ConfigError

    try:
        return Config.from_cwd()
    except ConfigError as error:
        raise InputError(
            f"DVC's settings are damaged ({summarize(error)}): correct .dvc/config, or take git's "
            "by `git checkout .dvc/config`"
        ) from None


def find_objects() -> Path:
    """The folder of DVC's cache that holds files by their md5; several clones may share it."""
    config = read_dvc_config()
    return Path(config["cache"].get("dir") or Path(config.dvc_dir, "cache"), "files", "md5")


def find_object(md5: str, objects: Path) -> Path:
    """Where the folder of `find_objects` has the file or listing of an md5, if it is there."""
    return objects / md5[:2] / md5[2:]
