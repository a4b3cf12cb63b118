"""Section `pipeline`: whole runs in a copy of the workspace, runs with nothing to do, start-up."""

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.clock import ROOT, Usage, alternate, run_measured
from benchmarks.data import Bench
from benchmarks.table import Row, at_most, format_seconds
from benchmarks.updates import time_programs
from stages.shared.yaml_files import format_yaml, parse_yaml

NUM_JOBS = 2
REPEATS = 3
REPRO = [sys.executable, "-m", "dvc", "repro"]
SIDE_BY_SIDE = [sys.executable, "stages/run.py", "cli", "repro", "--jobs", str(NUM_JOBS)]
WALKTHROUGHS = [  # the last stage of each published network
    "plot_forecaster@carried_rnn",
    "plot_forecaster@small_init_rnn",
    "plot_forecaster@windowed_lstm",
    "plot_forecaster@lagged_rnn",
    "plot_classifier@surname_rnn",
]


def measure(bench: Bench) -> list[Row]:
    """Cold runs and no-op runs, which take minutes, and the start-up of each stage."""
    rows = [] if bench.quick else measure_runs(bench)
    rows.append(measure_start_up(bench))
    return rows


def measure_runs(bench: Bench) -> list[Row]:
    """Sequential and parallel cold runs beside the literal programs, then runs without work."""
    published = sum(timing.recipe_seconds for timing in time_programs(bench))
    programs = f"{format_seconds(published)} (the five published programs back to back)"
    sequential = copy_workspace(bench.make_folder("one"))
    parallel = copy_workspace(bench.make_folder("two"))
    alone = copy_workspace(bench.make_folder("walk-throughs"))
    published_five = "cold `dvc repro` of the published five alone, data to figures"
    rows = []
    for what, command, folder, most in (
        ("cold `dvc repro`", REPRO, sequential, None),
        (f"cold `make repro JOBS={NUM_JOBS}`", SIDE_BY_SIDE, parallel, 0.75),
        (published_five, [*REPRO, *WALKTHROUGHS], alone, 0.35),
    ):
        seconds = run_pipeline(command, folder, bench).seconds
        ratio = seconds / published
        goals = [at_most("ratio", ratio, most)] if most else []
        rows.append(Row(what, format_seconds(seconds), programs, [ratio], goals=goals))
    empty = make_empty_project(bench.make_folder("empty"), count_stages(sequential))
    run_pipeline(REPRO, empty, bench)
    rows.append(measure_idle("`dvc repro`", REPRO, sequential, empty, 2.2, bench))
    rows.append(measure_idle("`make repro`", SIDE_BY_SIDE, parallel, empty, 1.5, bench))
    return rows


def measure_idle(
    name: str, command: list[str], folder: Path, empty: Path, most: float, bench: Bench
) -> Row:
    """A command with nothing to do, in turn with `dvc repro` of as many empty stages.

    Args:
        name: of the command.
        command: itself.
        folder: where all is up to date.
        empty: the empty project.
        most: how many times its seconds the command may take.
        bench: where caches are.
    """
    turns = alternate(
        partial(run_pipeline, command, folder, bench),
        partial(run_pipeline, REPRO, empty, bench),
        REPEATS,
    )
    return Row(
        f"{name} with nothing to do",
        format_seconds(median(turns.ours)),
        f"{format_seconds(median(turns.reference))} (`dvc repro` of as many empty stages)",
        turns.shares,
        goals=[at_most("ratio", median(turns.shares), most)],
    )


def count_stages(folder: Path) -> int:
    """How many stages have run in a folder."""
    text = (folder / "dvc.lock").read_text(encoding="utf-8")
    return len(parse_yaml(text)["stages"])


def make_empty_project(folder: Path, num_stages: int) -> Path:
    """A repository whose stages write an empty file each: without an out they would always run."""
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    run_measured([sys.executable, "-m", "dvc", "init", "--quiet"], folder)
    stages = {}
    for number in range(num_stages):
        stages[f"stage_{number}"] = {"cmd": f"touch {number}", "outs": [str(number)]}
    (folder / "dvc.yaml").write_text(format_yaml({"stages": stages}), encoding="utf-8")
    return folder


def run_pipeline(command: list[str], folder: Path, bench: Bench) -> Usage:
    """Run dvc with caches and a store of the folder's own."""
    settings = str(bench.scratch / "settings")
    environment = {
        "DVC_GLOBAL_CONFIG_DIR": settings,
        "DVC_SYSTEM_CONFIG_DIR": settings,
        "DVC_SITE_CACHE_DIR": settings,
    }
    if bench.archive:
        environment["SURNAMES_ZIP"] = str(bench.archive.resolve())
    return run_measured(command, folder, **environment)


def copy_workspace(folder: Path) -> Path:
    """Copy what is in git or could be, and the raw surnames; nothing has run in the copy."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for file in listed.split("\0"):
        if (ROOT / file).is_file():  # not deleted since
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
    if (ROOT / "data/raw").exists():
        shutil.copytree(ROOT / "data/raw", folder / "data/raw")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    return folder


def measure_start_up(bench: Bench) -> Row:
    """Seconds that each stage takes before it does anything."""
    commands = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    modules = sorted(set(re.findall(r"python stages/run\.py (?:launch )?(\S+)", commands)))
    seconds = []
    for module in modules:
        seconds.append(f"{module} {time_import(f'stages.{module}', bench):.2g}")
    bare = time_import("sys", bench)
    return Row("start-up (s)", ", ".join(seconds), f"{bare:.2g} (bare Python)")


def time_import(module: str, bench: Bench) -> float:
    """Median seconds of a process that imports a module and ends."""
    command = [sys.executable, "-c", f"import {module}"]
    repeats = 1 if bench.quick else REPEATS
    return median(run_measured(command, ROOT).seconds for _ in range(repeats))
