"""Train the models of dvc.lock again in a temporary folder, and compare the bytes.

`srn verify [MODEL...]` changes nothing in the workspace. It runs the commands of dvc.yaml, never
those in dvc.lock.
"""

import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from stages.cli.graph import Pipeline
from stages.shared.errors import InputError
from stages.tracking.mlflow_sync.dvc_files import compute_md5, workspace_problem
from stages.tracking.mlflow_sync.runs import RunSpec
from stages.tracking.run_specs import read_models

_CLOCK = "times.json"  # the only out that differs each time


def verify(model: RunSpec, command: str, scratch: Path) -> list[str]:
    """Train a model again, and return the names of files that differ from dvc.lock.

    Args:
        model: a model of dvc.lock.
        command: the command of its first stage in dvc.yaml.
        scratch: folder to write to.

    Raises:
        InputError: if the training failed.
    """
    out = scratch / model.name
    _, *arguments, _ = shlex.split(command)  # python … OUT
    done = subprocess.run([sys.executable, *arguments, str(out)], capture_output=True, text=True)
    if done.returncode != 0:
        raise InputError(f"{model.name} could not be trained:\n{done.stderr}")
    differing = []
    for path, md5 in model.first_stage.outs.items():
        file = Path(path).name
        if file != _CLOCK and compute_md5(out / file) != md5:
            differing.append(file)
    return differing


def main(names: list[str], num_jobs: int) -> None:
    """Print one line per model, by default for all, and how many are equal.

    Raises:
        InputError: if a model is not in dvc.lock, has another command there than in dvc.yaml, would
            read other data or code, or differs.
    """
    # a best baseline is fitted by the stage that scores all baselines, not by a training
    known = {model.name: model for model in read_models() if model.kind != "best baseline"}
    for name in names:
        if name not in known:
            raise InputError(f"dvc.lock has no model {name}: choose one of {', '.join(known)}")
    models = [known[name] for name in names or known]
    pipeline = Pipeline()
    commands = [pipeline.find_command(model.first_stage.name) for model in models]
    for model, command in zip(models, commands, strict=True):
        if model.first_stage.cmd != command:
            raise InputError(
                f"{model.name}: the command of {model.first_stage.name} in dvc.lock "
                f"({model.first_stage.cmd}) is not that of dvc.yaml: run `dvc repro`, or take "
                "git's by `git checkout dvc.lock`"
            )
        deps = model.first_stage.deps
        if problem := workspace_problem(deps, deps):
            raise InputError(f"{model.name}: {problem}")
    num_equal = 0
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(num_jobs) as pool:
        results = pool.map(partial(verify, scratch=Path(scratch)), models, commands)
        for model, differing in zip(models, results, strict=True):
            verdict = f"differs in {', '.join(differing)}" if differing else "equal"
            print(f"{model.name}: {verdict}", flush=True)
            num_equal += not differing
    print(f"{num_equal} of {len(models)} equal")
    if num_equal < len(models):
        raise InputError("trainings differ: docs/results.md says where they should be equal")
