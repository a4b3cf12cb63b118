"""Trials: one training of a recipe, its result, and the file in which the result is kept.

Results are kept outside the outs of the search, which DVC removes before it runs. A search that was
stopped continues from them, and a search with more recipes or seeds trains only the new ones.
"""

import hashlib
import importlib
import json
import math
import os
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stages.shared.files import replacing
from stages.shared.model_config import check_architecture
from stages.shared.tables import Curves
from stages.shared.training_loop import TrainingParams

Identity = list[Any]  # what a trial depends on, in types that JSON has


@dataclass(frozen=True)
class Trial:
    """A recipe and a seed of its training."""

    recipe: int  # number of the recipe
    params: TrainingParams  # the whole entry, including the seed


@dataclass(frozen=True)
class Result:
    """The result of a trial: validation scores and a loss curve, or why it failed."""

    scores: dict[str, float] = field(default_factory=dict)
    iterations: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    failure: str = ""


def make_result(scores: dict[str, float], curves: Curves) -> Result:
    """Return the result of a successful training, with at most 100 points of its loss curve."""
    every = math.ceil(len(curves.iteration) / 100)
    chosen = slice(every - 1, None, every)
    return Result(scores, curves.iteration[chosen], curves.loss[chosen])


def describe_inputs(files: Iterable[Path], architecture: str, section: str) -> Identity:
    """Return what all trials of a search depend on: md5s of data and code, and requirements.

    The code is every module of the project that this process has imported.

    Args:
        files: data files.
        architecture: module in stages/models/.
        section: section of searches/params.yaml that names the architecture, for messages.

    Raises:
        InputError: if there is no such architecture.
    """
    check_architecture(architecture, section)
    importlib.import_module(f"stages.models.{architecture}")
    code = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] == "stages" and module.__file__:
            code[name] = _compute_md5(Path(module.__file__))
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [[_compute_md5(path) for path in files], code, project["dependencies"]]


def _compute_md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def find_result_path(trial: Trial, inputs: Identity) -> Path:
    """Return the path of the result of a trial; it does not depend on the number of the recipe.

    Under DVC it is in the repository, also for `dvc exp run --temp`.
    """
    identity = json.dumps([trial.params.model_dump(), inputs], sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()
    return Path(os.environ.get("DVC_ROOT", "."), ".dvc/tmp/trials", f"{key}.json")


def write_result(path: Path, result: Result) -> None:
    """Write a result and its checksum."""
    text = json.dumps(asdict(result))
    path.parent.mkdir(parents=True, exist_ok=True)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    with replacing(path) as new:
        new.write_text(f"{checksum}\n{text}", encoding="utf-8")


def read_result(path: Path) -> Result | None:
    """Read a result; return None if the file is missing or damaged."""
    try:
        checksum, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    if checksum != hashlib.sha256(text.encode()).hexdigest():
        return None
    return Result(**json.loads(text))
