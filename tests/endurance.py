"""Kill the pipeline at random moments, again and again: `python -m tests.endurance --rounds N`.

A round makes a change in a copy of a tiny clone, starts `make repro`, kills one of its processes by
SIGKILL, and lets one more `make repro` complete. Then dvc.lock and the contents of MLflow have to
equal those of a run that nobody disturbed, and no process may be left. It takes half a minute per
round, so that it is no test.
"""

import argparse
import atexit
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.compare_stores import Runs, list_differences, read_runs
from stages.shared.yaml_files import parse_yaml
from tests.pipeline import (
    KEPT,
    copy_template,
    list_processes,
    make_clone,
    set_param,
)
from tests.shell import call, start

MAKE = ["make", "repro", "--old-file", ".venv/installed", f"BIN={Path(sys.executable).parent}"]
SCRIPT = "stages/run.py"
MODULES = {"srn repro": "cli", "a job": "cli.jobs", "a sync": "tracking.track"}
VICTIMS = ["make", *MODULES, "a stage"]
JITTER = 2.0  # seconds that a victim lives on at most, once it was found
# what may differ from a run that nobody disturbed
TIMES = "/times.json"

CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing has run": lambda folder: None,  # the longest, so it is drawn seldom
    "a seed": lambda folder: set_param(folder, "forecasters.carried_rnn.seed", 7),
    "a test": lambda folder: set_param(folder, "evaluate_forecasters.phases", 5),
    "a split": lambda folder: set_param(folder, "preprocess_surnames.seed", 7),
}
WEIGHTS = [1, 8, 3, 3]


def copy_clone(name: str, change: str, folder: Path) -> Path:
    """A clone with a change that nothing was run for yet."""
    clone = folder / name
    if change == "nothing has run":
        make_clone(clone, KEPT)
    else:
        copy_template(clone)
        CHANGES[change](clone)
    return clone


def read_results(clone: Path) -> tuple[dict[str, Any], Runs]:
    """What dvc.lock says, but of times, and what MLflow holds."""
    lock = parse_yaml((clone / "dvc.lock").read_text(encoding="utf-8"))
    for stage in lock["stages"].values():
        for key in ("deps", "outs"):
            files = stage.get(key, [])
            # a folder is one with times.json, or was compared file by file
            stage[key] = [
                file
                for file in files
                if not file["path"].endswith(TIMES) and not file["md5"].endswith(".dir")
            ]
    return lock, read_runs(clone / "mlflow.db")


def find_victim(clone: Path, kind: str) -> psutil.Process | None:
    """A process of this kind that `make repro` has started, or make itself."""
    for process in list_processes(clone):
        try:
            command = [word.removeprefix(f"{clone}/") for word in process.cmdline()]
        except psutil.Error:
            continue  # ended meanwhile
        if kind == "make" and command[:1] == ["make"]:
            return process
        if command[1:2] == [SCRIPT]:
            module = command[2]
            if module == MODULES.get(kind) or (
                kind == "a stage" and module not in MODULES.values()
            ):
                return process
    return None


def end_processes(clone: Path) -> None:
    """End whatever runs in a clone, if this program is interrupted."""
    for process in list_processes(clone) if clone.exists() else []:
        process.kill()


def disturb(clone: Path, kind: str, after: float, chance: random.Random) -> str:
    """Start `make repro` and kill one of its processes; returns when that was.

    Args:
        clone: in which something is to be run.
        kind: of the process.
        after: seconds until such a process is looked for.
        chance: draws how long the process lives on.
    """
    began = time.monotonic()
    command = start(clone, MAKE, subprocess.DEVNULL)
    atexit.register(end_processes, clone)
    time.sleep(after)
    while command.poll() is None:
        victim = find_victim(clone, kind)
        if victim:
            time.sleep(chance.uniform(0, JITTER))
            try:
                victim.kill()
            except psutil.Error:
                continue  # it ended by itself: the next one
            command.wait()
            return f"{kind} killed after {time.monotonic() - began:.1f} s"
        time.sleep(0.01)
    return "ended before a kill"


def list_problems(clone: Path, expected: tuple[dict[str, Any], Runs]) -> list[str]:
    """Complete a clone by one `make repro`, and say what is not as in an undisturbed one."""
    left = psutil.wait_procs(list_processes(clone), timeout=10)[1]
    problems = [f"still runs: {' '.join(process.cmdline())}" for process in left]
    done = call(clone, *MAKE)
    if done.returncode:
        return [*problems, f"make repro failed: {done.stdout[-500:]}"]
    lock, runs = read_results(clone)
    for stage in sorted({*lock["stages"], *expected[0]["stages"]}):
        if lock["stages"].get(stage) != expected[0]["stages"].get(stage):
            problems.append(f"dvc.lock: {stage} differs")
    return problems + list_differences(expected[1], runs)


def main(rounds: int, seed: int) -> None:
    """Print one line per round; the exit status is 1 if a result differed, which is kept."""
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    expected, seconds = {}, {}
    scratch = Path(tempfile.mkdtemp(prefix="endurance-"))
    for change in CHANGES:
        clone = copy_clone("undisturbed", change, scratch)
        began = time.monotonic()
        done = call(clone, *MAKE)
        assert done.returncode == 0, done.stdout
        seconds[change] = time.monotonic() - began
        print(f"{change}: {seconds[change]:.0f} s undisturbed", flush=True)
        expected[change] = read_results(clone)
        shutil.rmtree(clone)
    for number in range(1, rounds + 1):
        [change] = chance.choices([*CHANGES], WEIGHTS)
        kind = chance.choice(VICTIMS)
        clone = copy_clone(f"round{number}", change, scratch)
        # a sync comes at the end, wherever it is looked for
        after = 0.0 if kind == "a sync" else chance.uniform(0, seconds[change])
        what = disturb(clone, kind, after, chance)
        problems = list_problems(clone, expected[change])
        outcome = "differs" if problems else "equal"
        print(f"{number:4}/{rounds}  {change:16}  {what:32}  {outcome}", flush=True)
        for problem in problems:
            print(f"      {problem}")
        outcomes[outcome] += 1
        outcomes[what.partition(" killed")[0]] += 1
        if not problems:
            shutil.rmtree(clone)
    print(", ".join(f"{what}: {count}" for what, count in outcomes.most_common()))
    if outcomes["differs"]:
        sys.exit(f"error: {outcomes['differs']} rounds differ; their clones are in {scratch}")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2)))
    arguments = parser.parse_args()
    main(arguments.rounds, arguments.seed)
