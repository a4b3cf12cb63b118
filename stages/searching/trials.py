"""One training of a recipe: what it gives, what it depends on, and where it is kept.

Finished trials lie outside the outs of the search, which DVC removes before it runs: a search that
was killed goes on from them, and one with more recipes or seeds trains only those.
"""

import hashlib
import importlib
import json
import os
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stages.shared.model_config import check_architecture
from stages.shared.tables import Curves
from stages.shared.training_loop import FitParams

MOST_POINTS = 100  # of a curve
Identity = list[Any]  # what a trial depends on, as JSON has it


@dataclass(frozen=True)
class Trial:
    """A recipe and a seed of its training."""

    recipe: int  # its number
    params: FitParams  # the whole entry, with the seed


@dataclass(frozen=True)
class Result:
    """What a trial gives: scores and a curve, or the reason why there are none."""

    scores: dict[str, float] = field(default_factory=dict)  # on validation
    iterations: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    failure: str = ""


def take_result(scores: dict[str, float], curves: Curves) -> Result:
    """The result of a training that went well, with a part of its curve."""
    every = -(-len(curves.iteration) // MOST_POINTS)
    chosen = slice(every - 1, None, every)
    return Result(scores, curves.iteration[chosen], curves.loss[chosen])


def describe_code(architecture: str, where: str) -> dict[str, str]:
    """Md5 of every file of the project that this process has loaded, and of the architecture.

    It is what the list of the search in data/code/ names: a search loads all that its trials need.

    Raises:
        InputError: there is no such architecture.
    """
    check_architecture(architecture, where)
    importlib.import_module(f"stages.models.{architecture}")
    md5s = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] == "stages" and module.__file__:
            md5s[name] = compute_md5(Path(module.__file__))
    return md5s


def describe_surroundings(files: Iterable[Path], code: dict[str, str]) -> Identity:
    """What all trials of a search depend on: data, code and packages."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [[compute_md5(path) for path in files], code, project["dependencies"]]


def compute_md5(path: Path) -> str:
    """Md5 of a file."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def find_place(trial: Trial, surroundings: Identity) -> Path:
    """Where the result of a trial is kept; its number is no part of that.

    Under DVC that is in the repository, also in the folder of `dvc exp run --temp`.
    """
    identity = json.dumps([trial.params.model_dump(), surroundings], sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()
    return Path(os.environ.get("DVC_ROOT", "."), ".dvc/tmp/trials", f"{key}.json")


def keep_result(path: Path, result: Result) -> None:
    """Write a result, all of it or nothing."""
    text = json.dumps(asdict(result))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(f"{_seal(text)}\n{text}", encoding="utf-8")
    unfinished.replace(path)


def read_result(path: Path) -> Result | None:
    """Read a result; None, if there is none or it is damaged."""
    try:
        seal, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    if seal != _seal(text):
        return None
    return Result(**json.loads(text))


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
