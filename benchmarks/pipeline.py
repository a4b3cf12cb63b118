"""Section `pipeline`: whole runs in a copy of the workspace, runs with nothing to do, start-up."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import yaml

from benchmarks.clock import ROOT, Usage, run_measured
from benchmarks.data import Bench
from benchmarks.table import Row, at_most, say_seconds
from benchmarks.updates import time_programs

NUM_JOBS = 2
REPEATS = 3
DVC = [sys.executable, "-m", "dvc"]


def measure(bench: Bench) -> list[Row]:
    """Cold runs and no-op runs, which take minutes, and the start-up of each stage."""
    return [*([] if bench.quick else measure_runs(bench)), measure_start_up(bench)]


def measure_runs(bench: Bench) -> list[Row]:
    """Sequential and parallel cold runs beside the literal programs, then runs without work."""
    published = sum(timing.recipe_seconds for timing in time_programs(bench))
    sequential, parallel = (copy_workspace(bench.make_folder(n)) for n in ("one", "two"))
    cold = run_pipeline([*DVC, "repro"], sequential, bench)
    command = [sys.executable, "-m", "stages.commands.repro", "--jobs", str(NUM_JOBS)]
    side_by_side = run_pipeline(command, parallel, bench)
    seconds = [run_pipeline([*DVC, "repro"], sequential, bench).seconds for _ in range(REPEATS)]
    programs = f"{say_seconds(published)} (the five published programs back to back)"
    ratio = side_by_side.seconds / published
    return [
        Row("cold `dvc repro`", say_seconds(cold.seconds), programs, [cold.seconds / published]),
        Row(
            f"cold `make repro JOBS={NUM_JOBS}`",
            say_seconds(side_by_side.seconds),
            programs,
            [ratio],
            goals=[at_most("ratio", ratio, 1.0)],
        ),
        Row("`dvc repro` with nothing to do", say_seconds(median(seconds))),
    ]


def run_pipeline(command: list[str], folder: Path, bench: Bench) -> Usage:
    """Run dvc with caches and a store of the folder's own."""
    settings = bench.scratch / "settings"
    places = {
        f"DVC_{n}_DIR": str(settings / n) for n in ("GLOBAL_CONFIG", "SYSTEM_CONFIG", "SITE_CACHE")
    }
    source = {"SURNAMES_ZIP": str(bench.archive.resolve())} if bench.archive else {}
    return run_measured(command, folder, **places, **source)


def copy_workspace(folder: Path) -> Path:
    """Copy what is in git or could be, and the raw surnames; nothing has run in the copy."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for file in filter(None, listed.split("\0")):
        if (ROOT / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
    if (ROOT / "data/raw").exists():
        shutil.copytree(ROOT / "data/raw", folder / "data/raw")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def measure_start_up(bench: Bench) -> Row:
    """Seconds that each stage takes before it does anything."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    commands = {stage.get("do", stage)["cmd"] for stage in stages}
    modules = sorted({re.search(r"-m (\S+)", command)[1] for command in commands})
    seconds = {module: time_import(module, bench) for module in modules}
    listed = ", ".join(f"{module} {value:.2g}" for module, value in seconds.items())
    bare = time_import("sys", bench)
    return Row("start-up (s)", listed, f"{bare:.2g} (bare Python)")


def time_import(module: str, bench: Bench) -> float:
    """Median seconds of a process that imports a module and ends."""
    command = [sys.executable, "-c", f"import {module}"]
    repeats = 1 if bench.quick else REPEATS
    return median(run_measured(command, ROOT).seconds for _ in range(repeats))
