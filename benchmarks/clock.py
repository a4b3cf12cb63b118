"""Time calls in turn, and commands with their peak memory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.shared.errors import InputError

ROOT = Path(__file__).parents[1]
# Another folder's settings would decide what DVC and MLflow do, and where they write.
FOREIGN = ("DVC_", "MLFLOW_", "GIT_", "SURNAMES_ZIP", "PYTHONPATH")


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    seconds: float  # on the wall
    cpu_seconds: float
    mebibytes: float  # peak of the largest of its processes


def time_call(call: Callable[[], Any]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def alternate(
    ours: Callable[[], Any], reference: Callable[[], Any], repeats: int, budget: float = 60.0
) -> list[tuple[float, float]]:
    """Time two calls in turn, A B A B, so that a slow moment of the machine meets both.

    Args:
        ours: A.
        reference: B.
        repeats: most pairs.
        budget: seconds after which no further pair is begun.

    Returns:
        seconds of A and of B, one pair a repeat, at least one.
    """
    deadline = time.perf_counter() + budget
    pairs = [(time_call(ours), time_call(reference))]
    while len(pairs) < repeats and time.perf_counter() < deadline:
        pairs.append((time_call(ours), time_call(reference)))
    return pairs


def make_environment(**changes: str) -> dict[str, str]:
    """The environment of a command: this Python, this checkout, nobody's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"} | changes


def run_measured(command: list[str], folder: Path, **environment: str) -> Usage:
    """Run a command in a folder.

    Raises:
        InputError: it failed; its output is in the message.
    """
    launched = [sys.executable, str(Path(__file__).with_name("launch.py")), *command]
    done = subprocess.run(
        launched, cwd=folder, env=make_environment(**environment), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise InputError(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    return Usage(**json.loads(done.stdout.splitlines()[-1]))


def run_stage(stage: str, *arguments: str, folder: Path) -> Usage:
    """Run a stage of this checkout on the files and the params.yaml of another folder."""
    command = [sys.executable, "-m", f"stages.{stage}", *arguments]
    return run_measured(command, folder, PYTHONPATH=str(ROOT))
