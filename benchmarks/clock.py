"""Time calls in turn, and commands with their peak memory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stages.shared.errors import InputError

ROOT = Path(__file__).parents[1]
# Another folder's settings would decide what DVC and MLflow do, and where they write.
FOREIGN = ("DVC_", "MLFLOW_", "GIT_", "RAY_ADDRESS", "SURNAMES_ZIP", "PYTHONPATH")

Call = Callable[[], object]


@dataclass(frozen=True)
class Turns:
    """Seconds of two calls that ran in turn, one value a repeat in each list."""

    ours: list[float]
    reference: list[float]

    @property
    def speed_ups(self) -> list[float]:
        """How many times faster ours is."""
        return [reference / ours for ours, reference in zip(self.ours, self.reference, strict=True)]

    @property
    def shares(self) -> list[float]:
        """Ours as parts of the reference."""
        return [1 / speed_up for speed_up in self.speed_ups]

    def scale(self, ours: float, reference: float) -> "Turns":
        """The seconds of more or less of the same work."""
        return Turns(
            [seconds * ours for seconds in self.ours],
            [seconds * reference for seconds in self.reference],
        )


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    seconds: float  # on the wall
    cpu_seconds: float
    mebibytes: float  # peak of the largest of its processes


def time_call(call: Call) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def alternate(ours: Call, reference: Call, repeats: int, budget: float = 60.0) -> Turns:
    """Time two calls in turn, A B A B, so that a slow moment of the machine meets both.

    Args:
        ours: A.
        reference: B.
        repeats: most pairs.
        budget: seconds after which no further pair is begun; the first always is.
    """
    deadline = time.perf_counter() + budget
    turns = Turns([], [])
    for repeat in range(repeats):
        if repeat > 0 and time.perf_counter() > deadline:
            break
        turns.ours.append(time_call(ours))
        turns.reference.append(time_call(reference))
    return turns


def make_environment(**changes: str) -> dict[str, str]:
    """The environment of a command: this Python, this checkout, nobody's settings."""
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    for name, value in os.environ.items():
        if not name.startswith(FOREIGN):
            environment[name] = value
    folder = Path(sys.executable).parent
    environment["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return environment | changes


def run_measured(command: list[str], folder: Path, **environment: str) -> Usage:
    """Run a command in a folder.

    Raises:
        InputError: if it failed; its output is in the message.
    """
    launched = [sys.executable, str(Path(__file__).with_name("launch.py"))]
    launched.extend(command)
    done = subprocess.run(
        launched,
        cwd=folder,
        env=make_environment(**environment),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise InputError(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    measured = json.loads(done.stdout.splitlines()[-1])
    return Usage(measured["seconds"], measured["cpu_seconds"], measured["mebibytes"])


def run_stage(stage: str, *arguments: str, folder: Path) -> Usage:
    """Run a stage of this checkout on the files and the params.yaml of another folder."""
    command = [sys.executable, "-m", f"stages.{stage}"]
    command.extend(arguments)
    return run_measured(command, folder, PYTHONPATH=str(ROOT))
