"""Read DVC's files: the stages of dvc.yaml, the entries of dvc.lock, settings and cache."""

import os
import re
from dataclasses import dataclass
from itertools import product
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
_NO_ITEMS: dict[str, Any] = {}  # the items are not known
_Out = str | Annotated[dict[str, Any], Field(min_length=1)]  # a path, or {path: options}


class _Definition(BaseModel):
    """The fields of a stage that are used here."""

    outs: list[_Out] = []
    metrics: list[_Out] = []
    plots: list[_Out] = []
    wdir: str = "."


class _Stage(_Definition):
    """A stage in dvc.yaml, or the template of several."""

    foreach: str | list[Any] | dict[str, Any] | None = None
    matrix: str | dict[str, Any] | None = None
    do: _Definition | None = None


@dataclass(frozen=True)
class StageOuts:
    """The outs of one stage, as paths relative to its working folder `wdir`.

    A part of a path that does not follow from params is `*`.
    """

    paths: list[str]  # all of them
    metrics: list[str]
    plots: dict[str, dict[str, Any]]  # path -> options, such as x and y
    wdir: str


def resolve_stages(pipeline: dict[str, Any], params: dict[str, Any]) -> dict[str, StageOuts]:
    """Return the outs of each stage of a dvc.yaml, one stage per item of a `foreach` or `matrix`.

    A stage whose items do not follow from params is named `name@*`.

    Args:
        pipeline: content of dvc.yaml.
        params: content of the params files that its templates use.
    """
    found = {}
    for name, stage in parse_pipeline(pipeline).items():
        template = stage.do or stage
        if stage.foreach is None and stage.matrix is None:
            found[name] = _fill_in(template, params)
            continue
        items = _list_items(stage, params)
        for key, item in items.items():
            found[f"{name}@{key}"] = _fill_in(template, params | {"key": key, "item": item})
        if items is _NO_ITEMS:
            found[f"{name}@{_UNKNOWN}"] = _fill_in(template, {})
    return found


def list_outs(pipeline: dict[str, Any], params: dict[str, Any]) -> dict[str, list[str]]:
    """Return the paths of the outs of each stage, relative to the folder of dvc.yaml."""
    found = {}
    for name, stage in resolve_stages(pipeline, params).items():
        found[name] = [os.path.normpath(Path(stage.wdir) / path) for path in stage.paths]
    return found


def parse_pipeline(pipeline: dict[str, Any]) -> dict[str, _Stage]:
    """Return the stages of a dvc.yaml by name, with templates as they are.

    Raises:
        InputError: if dvc.yaml has another structure.
    """
    try:
        return TypeAdapter(dict[str, _Stage]).validate_python(pipeline.get("stages") or {})
    except ValidationError as error:
        raise InputError(format_damage("dvc.yaml", describe_problem(error))) from None


def _list_items(stage: _Stage, params: dict[str, Any]) -> dict[str, Any]:
    """Return the items of a `foreach` or `matrix` by the names that DVC gives them."""
    if stage.foreach is not None:
        items = _resolve(stage.foreach, params)
        if isinstance(items, list):  # DVC names them by number if there are mappings
            is_counted = any(isinstance(item, dict | list) for item in items)
            keys = range(len(items)) if is_counted else items
            return {_to_text(key): item for key, item in zip(keys, items, strict=True)}
        is_known = isinstance(items, dict)
        return {_to_text(key): item for key, item in items.items()} if is_known else _NO_ITEMS
    axes = _resolve(stage.matrix, params)
    axes = {name: _resolve(of, params) for name, of in axes.items()} if axes != _UNKNOWN else {}
    if not axes or not all(isinstance(values, list) for values in axes.values()):
        return _NO_ITEMS
    found = {}
    for chosen in product(*(enumerate(values) for values in axes.values())):
        parts = []
        for axis, (number, value) in zip(axes, chosen, strict=True):
            is_nested = isinstance(value, dict | list)
            parts.append(f"{axis}{number}" if is_nested else _to_text(value))
        found["-".join(parts)] = {
            axis: value for axis, (_, value) in zip(axes, chosen, strict=True)
        }
    return found


def _fill_in(stage: _Definition, values: dict[str, Any]) -> StageOuts:
    """Return the outs of a stage with its templates replaced by values."""
    paths: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in ("outs", "metrics", "plots"):
        paths[kind] = {}
        for entry in getattr(stage, kind):
            path, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
            paths[kind][fill_in(path, values)] = {
                name: fill_in(value, values) if isinstance(value, str) else value
                for name, value in (options or {}).items()
            }
    wdir = fill_in(stage.wdir, values)
    every = [path for of_kind in paths.values() for path in of_kind]
    return StageOuts(every, [*paths["metrics"]], paths["plots"], wdir)


def fill_in(text: str, values: dict[str, Any]) -> str:
    """Replace the templates of a text, such as `${item.series}`, by their values."""
    return _TEMPLATE.sub(lambda match: _to_text(_look_up(match[1], values)), text)


def _to_text(value: Any) -> str:
    """Return a value as DVC writes it in place of a template."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _resolve(value: Any, params: dict[str, Any]) -> Any:
    """Return a value, or if it is a template the section of params that it names."""
    match = _TEMPLATE.fullmatch(value) if isinstance(value, str) else None
    return _look_up(match[1], params) if match else value


def _look_up(name: str, values: dict[str, Any]) -> Any:
    """Return the value of a name in a template, such as `item.series`; `*` if it is unknown."""
    found: Any = values
    for part in name.strip().replace("[", ".").replace("]", "").split("."):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            return _UNKNOWN
    return found


def split_lock(text: str) -> dict[str, str] | None:
    """Return the lines of each stage in a dvc.lock; None if DVC has not written this text."""
    entries = {}
    for entry in _ENTRY.finditer(text):
        entries[entry[1]] = entry[0]
    return entries if text == join_lock(entries) else None


def join_lock(entries: dict[str, str]) -> str:
    """Return the text of a dvc.lock with these entries."""
    return _HEAD + "".join(entries.values())


def write_lock(path: Path, entries: dict[str, str]) -> None:
    """Write a dvc.lock completely or not at all."""
    with replacing(path) as new:
        new.write_text(join_lock(entries), encoding="utf-8")


def read_dvc_config() -> "Config":
    """Return DVC's settings for the repository in the working folder.

    Raises:
        InputError: if a settings file is damaged.
    """
    from dvc.config import Config, ConfigError

    try:
        return Config(".dvc")  # `Config.from_cwd` would import all of DVC to find this folder
    except ConfigError as error:
        raise InputError(
            f"DVC's settings are damaged ({summarize(error)}): correct .dvc/config, or restore it "
            "by `git checkout .dvc/config`"
        ) from None


def find_objects() -> Path:
    """Return the folder of DVC's cache with files named by md5; several clones may share it."""
    config = read_dvc_config()
    return Path(config["cache"].get("dir") or ".dvc/cache", "files", "md5")


def find_object(md5: str, objects: Path) -> Path:
    """Return the path in `find_objects()` for the file or listing with an md5."""
    return objects / md5[:2] / md5[2:]
