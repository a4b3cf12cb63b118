"""Read params.yaml strictly: an unknown key or an invalid value is an error."""

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from stages.shared.errors import InputError
from stages.shared.yaml_files import read_yaml

PARAMS_FILE = Path("params.yaml")
SEARCHES_FILE = Path("searches/params.yaml")
SECTIONS = {"forecasting": "forecasters", "surnames": "classifiers"}  # task -> its models

_T = TypeVar("_T")

# The upper bounds are what one machine can hold or compute in a day.
Count = Annotated[int, Field(gt=0, le=10**7)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # range that NumPy and PyTorch accept
Amount = Annotated[float, Field(ge=1e-9, le=1e9)]  # of a signal; the ratio of two stays finite
Seconds = Annotated[float, Field(ge=0, le=86_400)]  # up to a day
Name = Annotated[str, StringConstraints(pattern="^[a-z0-9_]+$")]  # used in paths and stage names


def _check_data_path(path: str) -> str:
    if not re.fullmatch(r"data(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+", path):
        raise ValueError("must be a path below data/ of letters, digits, _, - and .")
    return path


DataPath = Annotated[str, AfterValidator(_check_data_path)]  # used in the command of a stage


class Params(BaseModel):
    """Base of every params section: unknown keys, coercion and NaN are errors; immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def read_params(section: str, schema: type[_T]) -> _T:
    """Read one section of params.yaml.

    Args:
        section: dotted path of the section, such as `forecasters.carried_rnn`.
        schema: a `Params` class, or a type such as `dict[str, GeneratedParams]`.

    Raises:
        InputError: if the file, the section or a field is missing or invalid.
    """
    return check_params(read_value(section), schema, f"{PARAMS_FILE}: {section}")


def check_params(value: Any, schema: type[_T], where: str) -> _T:
    """Check a value against a schema; errors begin with `where` and name the field."""
    try:
        return TypeAdapter(schema).validate_python(value)
    except ValidationError as error:
        raise InputError(
            "; ".join(_format_problem(problem, where) for problem in error.errors())
        ) from None


def describe_problem(error: ValidationError) -> str:
    """Return the first field that does not match its schema and why, for messages."""
    problem = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"])
    return f"{field}: {problem['msg']}" if field else problem["msg"]


def read_value(section: str) -> Any:
    """Read a section of params.yaml without checking it.

    Raises:
        InputError: if the file is damaged, or the file or the section is missing.
    """
    value: Any = read_yaml(PARAMS_FILE)
    for key in section.split("."):
        if not isinstance(value, dict) or key not in value:
            raise InputError(f"{PARAMS_FILE} has no section {section}: add it")
        value = value[key]
    return value


def _format_problem(problem: Any, where: str) -> str:
    # parts of pydantic's location that are not fields: invalid keys, and classes of a union
    no_fields = ("[key]", "[updates]", "[closed form]", "[one series]", "[many series]")
    parts = [str(part) for part in problem["loc"] if part not in no_fields]
    field = ".".join([where, *parts])
    if problem["type"] == "extra_forbidden":
        return f"{field} is not a known key: remove or rename it"
    if problem["type"] == "missing":
        return f"{field} is missing: add it"
    reason = problem["msg"].removeprefix("Value error, ")
    got = repr(problem["input"])
    if len(got) > 100:
        got = f"{got[:100]}…"
    return f"{field}: {reason[0].lower()}{reason[1:]}, got {got}: correct it there"
