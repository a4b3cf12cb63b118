"""Read and write JSON files, and the scores of baselines in scores.json."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from stages.shared.errors import InputError
from stages.shared.files import read_file
from stages.shared.params import describe_problem

Label = Annotated[str, Field(max_length=300)]  # such as a file name


class _Interval(BaseModel):
    low: float
    high: float


class BaselineScores(BaseModel):
    """The scores of a model or baseline in scores.json: numbers and labels, and these sections."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | Label]

    intervals: dict[str, _Interval] = {}
    improvement: dict[str, _Interval] = {}
    validation: dict[str, float] = {}
    temperature: float = Field(default=1.0, gt=0)


class _BaselinesFile(BaseModel):
    """The scores.json of all baselines: the name of their data, and the scores of each."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, BaselineScores]

    data: Label


Baselines = dict[str, dict[str, Any]]  # name -> nested scores, as in scores.json of a model


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented; the same content gives the same bytes."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path, schema: Any = Any) -> Any:
    """Read a JSON file, and check it against a schema, such as a pydantic class.

    Returns:
        The content as plain values, without conversion by the schema.

    Raises:
        InputError: if the file is damaged or does not match the schema.
    """
    try:
        content = json.loads(read_file(path))
        TypeAdapter(schema).validate_python(content)
        return content
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            error = ValueError(describe_problem(error))
        raise InputError(f"{path} is damaged ({error}): delete it and run `dvc checkout`") from None


def write_baselines(folder: Path, data: str, baselines: Baselines) -> None:
    """Write the scores of all baselines below the name of their data."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "scores.json", {"data": data, **baselines})


def read_baselines(folder: Path) -> Baselines:
    """Read the scores of all baselines."""
    scores: dict[str, Any] = read_json(folder / "scores.json", _BaselinesFile)
    del scores["data"]
    return scores
