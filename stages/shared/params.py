"""params.yaml, read strictly: an unknown key or a wrong type stops the stage."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from stages.shared.errors import InputError

PARAMS_FILE = Path("params.yaml")

T = TypeVar("T")


class Params(BaseModel):
    """Base of every params section: no unknown keys, no coercion, no change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read_params(section: str, schema: type[T]) -> T:
    """Read one section of params.yaml.

    Args:
        section: path of the section, dots between keys: `sine.carried_rnn`.
        schema: a `Params` class, or a type such as `dict[str, SeriesParams]`.

    Raises:
        InputError: the file, the section or a field is missing or wrong.
    """
    return check_params(read_value(section), schema, f"{PARAMS_FILE}: {section}")


def check_params(value: Any, schema: type[T], where: str) -> T:
    """Check a value against a schema; errors begin with `where` and name the field."""
    try:
        return TypeAdapter(schema).validate_python(value)
    except ValidationError as error:
        raise InputError("; ".join(_say(problem, where) for problem in error.errors())) from None


def read_value(section: str) -> Any:
    """Read what params.yaml has at a path, unchecked: for what another stage has refused or taken.

    Raises:
        InputError: the file or the section is missing.
    """
    try:
        value = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{PARAMS_FILE} cannot be read: {' '.join(str(error).split())}") from None
    for key in section.split("."):
        if not isinstance(value, dict) or key not in value:
            raise InputError(f"{PARAMS_FILE} has no section {section}: add it")
        value = value[key]
    return value


def _say(problem: Any, where: str) -> str:
    field = ".".join([where, *(str(part) for part in problem["loc"])])
    if problem["type"] == "extra_forbidden":
        return f"{field} is not a known key: remove or rename it"
    if problem["type"] == "missing":
        return f"{field} is missing: add it"
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{field}: {reason[0].lower()}{reason[1:]}, got {problem['input']!r}: correct it there"
