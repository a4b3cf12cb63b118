"""config.json and times.json beside the weights of a trained model.

Imports no torch, which processes that only read configs do not need.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.shared.params import Name, Params, describe_problem


class Member(Params):
    """One network of a blend in config.json."""

    architecture: Name
    network: dict[str, Any]


@dataclass(frozen=True)
class ModelConfig:
    """Content of config.json: task and architecture of a model."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    task: str  # forecasting or surnames
    architecture: str  # module in stages/models/
    network: dict[str, Any]  # arguments of its class


@dataclass(frozen=True)
class Times:
    """Time and processor of a training: times.json, the only out that differs between runs."""

    started: datetime
    ended: datetime
    processor: str  # model, and the vector units in use


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write config.json."""
    write_json(folder / "config.json", asdict(config))


def read_config(path: Path) -> ModelConfig:
    """Read config.json from its path or its folder.

    Raises:
        InputError: if the file is damaged, or another version of this project wrote it.
    """
    if path.is_dir():
        path /= "config.json"
    try:
        return TypeAdapter(ModelConfig).validate_python(read_json(path))
    except ValidationError as error:
        raise InputError(
            f"{path} is damaged or of another version of this project "
            f"({describe_problem(error)}): `dvc repro` writes it again"
        ) from None


def check_architecture(architecture: str, where: str) -> None:
    """Raise InputError if there is no module stages/models/<architecture>.py.

    The message starts with `where`, for example `params.yaml: forecasters.carried_rnn`.
    """
    known = sorted(path.stem for path in (Path(__file__).parents[1] / "models").glob("[a-z]*.py"))
    if architecture not in known:
        raise InputError(
            f"{where}.architecture: there is no stages/models/{architecture}.py: "
            f"choose one of {', '.join(known)}, or write it"
        )


def write_times(folder: Path, started: datetime, processor: str) -> None:
    """Write times.json, with the current time as the end of the training."""
    times = {
        "started": started.isoformat(),
        "ended": datetime.now(UTC).isoformat(),
        "processor": processor,
    }
    write_json(folder / "times.json", times)


def read_times(folder: Path) -> Times:
    """Read times.json."""
    times = read_json(folder / "times.json")
    return Times(
        datetime.fromisoformat(times["started"]),
        datetime.fromisoformat(times["ended"]),
        times["processor"],
    )
