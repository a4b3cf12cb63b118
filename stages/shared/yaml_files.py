"""YAML by the rules of version 1.2, which DVC follows too.

By those of version 1.1, which PyYAML follows, `010` is 8, `1:30` is 90, `yes` is true and `1e-05`
is text: a stage would not train with what dvc.lock records.
"""

import re
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.resolver import VersionedResolver

from stages.shared.errors import InputError
from stages.shared.files import read_file

_MERGED = ("dvc.lock", "champions.yaml")  # which nobody writes by hand
_MOST_CHARACTERS, _MOST_VALUES, _MOST_LEVELS = 2**25, 10**6, 2_000


class _Resolver(VersionedResolver):
    """Knows the version: to find it out for every value takes half of the time."""

    processing_version = (1, 2)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that is in git; empty, if nothing is in it.

    Raises:
        InputError: it is missing or damaged, or has conflict markers.
    """
    try:
        text = read_file(Path(path)).decode("utf-8", errors="replace")
    except FileNotFoundError:
        raise InputError(
            f"{path} is not here: run `dvc repro` first, in the folder that holds dvc.yaml"
        ) from None
    conflict = re.search("^<<<<<<< ", text, re.MULTILINE)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        remedy = "keep the entries of both sides, remove the markers, then type `srn merge`"
        if Path(path).name in _MERGED:
            remedy = "`srn merge` unites both sides"
        raise InputError(f"{path} has conflict markers from line {line} on: {remedy}")
    try:
        content = parse_yaml(text) or {}
    except ValueError as error:
        raise InputError(format_damage(path, str(error))) from None
    if not isinstance(content, dict):
        raise InputError(format_damage(path, "no mapping"))
    return content


def format_damage(path: str | Path, what: str) -> str:
    """An error message: what is wrong with a file that is in git."""
    return f"{path} is damaged ({what}): correct it, or take git's by `git checkout {path}`"


def parse_yaml(text: str) -> Any:
    """Plain values of a YAML text; None for an empty one.

    Raises:
        ValueError: it is no YAML, a key stands in it twice, or it is too large or too deep.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"it has more than {_MOST_CHARACTERS:,} characters")
    try:
        _check_depth(text)
        yaml = YAML(typ="safe")
        yaml.Resolver = _Resolver
        content = yaml.load(text)
    except (YAMLError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    if "*" in text:
        _check_aliases(content)
    return content


def _check_depth(text: str) -> None:
    """Reject lists in lists so deep that the parser in C would end the process.

    Raises:
        ValueError: there are too many levels.
    """
    # what has so many levels has their brackets, or a line with so many blanks or `- `
    num_brackets = text.count("[") + text.count("{")
    if num_brackets + 2 * max(map(len, text.splitlines()), default=0) <= _MOST_LEVELS:
        return
    level = 0
    for event in YAML(typ="safe").parse(text):
        level += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if level > _MOST_LEVELS:
            raise ValueError(f"it has more than {_MOST_LEVELS:,} levels")


def _check_aliases(content: Any) -> None:
    """Reject aliases of aliases that stand for more values than any memory holds.

    Raises:
        ValueError: there are too many.
    """
    waiting, num_values = [content], 0
    while waiting:
        value = waiting.pop()
        num_values += 1
        if num_values > _MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {_MOST_VALUES:,} values")
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def format_yaml(content: Any, *, flow: bool = False, width: int = 80) -> str:
    """YAML of plain values, keys in their order.

    Args:
        content: mappings, lists, numbers, text, true, false and None.
        flow: on one line, as `{a: [1, 2]}`.
        width: characters after which a line is broken, unless it is one line.
    """
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 1000 if flow else width
    written = StringIO()
    yaml.dump(content, written)
    return written.getvalue()
