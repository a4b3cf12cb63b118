"""Read and write YAML 1.2, the version that DVC uses.

PyYAML uses YAML 1.1, where `010` is 8, `1:30` is 90, `yes` is true and `1e-05` is text: a stage
would train with other values than dvc.lock records.
"""

import copy
import re
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.resolver import VersionedResolver

from stages.shared.errors import InputError
from stages.shared.files import read_file

_MERGED = ("dvc.lock", "champions.yaml")  # files that only commands write
_MOST_CHARACTERS, _MOST_VALUES, _MOST_LEVELS = 2**25, 10**6, 200


class _Resolver(VersionedResolver):
    """Has a fixed version: looking it up for every value takes half of the time."""

    processing_version = (1, 2)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that is in git; an empty file gives {}.

    Raises:
        InputError: if it is missing or damaged, or has conflict markers.
    """
    try:
        text = read_file(Path(path)).decode("utf-8", errors="replace")
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing: run `dvc repro` first, in the folder with dvc.yaml"
        ) from None
    return copy.deepcopy(_parse_file(str(path), text))


@lru_cache(maxsize=8)  # a command reads params.yaml up to 30 times, 25 ms each
def _parse_file(path: str, text: str) -> dict[str, Any]:
    """Parse the content of a file that is in git; raise InputError as `read_yaml` does."""
    conflict = re.search("^<<<<<<< ", text, re.MULTILINE)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        remedy = "keep the entries of both sides and remove the markers"
        if Path("stages/cli/merge.py").exists():  # not in other repositories, see mlflow_sync
            is_merged = Path(path).name in _MERGED
            remedy = "`srn merge` merges both sides" if is_merged else f"{remedy}, then `srn merge`"
        raise InputError(f"{path} has conflict markers from line {line} on: {remedy}")
    try:
        content = parse_yaml(text) or {}
    except ValueError as error:
        raise InputError(format_damage(path, str(error))) from None
    if not isinstance(content, dict):
        raise InputError(format_damage(path, "not a mapping"))
    return content


def format_damage(path: str | Path, what: str) -> str:
    """Return the error message for a damaged file that is in git."""
    return f"{path} is damaged ({what}): correct it, or restore it by `git checkout {path}`"


def parse_yaml(text: str) -> Any:
    """Return the content of a YAML text; None if it is empty.

    Raises:
        ValueError: if it is not valid YAML, has a duplicate key, or is too large or too deep.
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
    """Raise ValueError for nesting so deep that the parser, written in C, would crash."""
    # a deep text has as many brackets, or a line with as many spaces or `- `
    num_brackets = text.count("[") + text.count("{")
    if num_brackets + 2 * max(map(len, text.splitlines()), default=0) <= _MOST_LEVELS:
        return
    level = 0
    for event in YAML(typ="safe").parse(text):
        level += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if level > _MOST_LEVELS:
            raise ValueError(f"it has more than {_MOST_LEVELS:,} levels")


def _check_aliases(content: Any) -> None:
    """Raise ValueError if aliases expand to more values than fit into memory."""
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
    """Return plain values as YAML, keys in their order.

    Args:
        content: mappings, lists, numbers, text, true, false and None.
        flow: write one line, such as `{a: [1, 2]}`.
        width: maximum characters in a line, if not `flow`.
    """
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 1000 if flow else width
    written = StringIO()
    yaml.dump(content, written)
    return written.getvalue()
