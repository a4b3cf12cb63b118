"""Section `scaling`: what ten and a hundred times the data cost, stage by stage.

Stages run as processes of their own, so that their peak memory is seen. Times are CPU seconds,
which other work on the machine disturbs least. Start-up is part of them: it flattens the growth of
the small ones, so the last step, the largest, is judged.
"""

import shutil
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from string import ascii_uppercase

import yaml

from benchmarks.clock import ROOT, Usage, run_stage
from benchmarks.data import Bench, read_names, write_raw
from benchmarks.table import Row, at_most, say_seconds

TIMES = [1, 10, 100]  # the surnames
POINTS = [1_000, 10_000, 100_000, 1_000_000]  # of a series
MOST_GROWTH = 1.1  # of the time, beside the growth of the data: linear and some noise
MOST_MEBIBYTES = 2048
MODEL = "surname_fast"
SERIES = {
    "kind": "sine",
    "step": 1.0,
    "starts": {"count": 1, "apart": 0.0},
    "period": 40.0,
    "phase": 0.0,
    "amplitude": 1.0,
    "noise": 0.1,
}
FORECASTER = {
    "series": "long",
    "architecture": "window_forecaster",
    "network": {"cell": "lstm", "hidden": 50, "window": 40},
    "order": "random",
    "batch": 40,
    "iterations": 100,
    "optimizer": "adam",
    "rate": 0.02,
    "clip_norm": None,
    "seed": 0,
    "document_test": "recursive",
}

Usages = dict[str, list[Usage]]  # stage -> one a size


def measure(bench: Bench) -> list[Row]:
    """One row a stage, for surnames and for series."""
    times, points = (TIMES[:2], POINTS[:2]) if bench.quick else (TIMES, POINTS)
    names, data = read_names(bench.archive)
    num_names = sum(len(content.split(b"\n")) for content in names.values())
    by_names = join(run_surnames(names, data, factor, bench) for factor in times)
    by_points = join(run_series(count, bench) for count in points)
    rows = [tabulate(*item, [t * num_names for t in times], "names") for item in by_names.items()]
    return [*rows, *(tabulate(*item, points, "points") for item in by_points.items())]


def multiply_names(names: list[str], times: int) -> list[str]:
    """Each name and `times - 1` variants of it, all distinct if the names are.

    A variant ends in two capitals, which no surname does.
    """
    endings = ["", *("".join(pair) for pair in product(ascii_uppercase, repeat=2))]
    return [name + ending for ending in endings[:times] for name in names]


def multiply_file(content: bytes, times: int) -> bytes:
    """The same for a names file."""
    names = content.decode("utf-8").strip().split("\n")
    return "\n".join(multiply_names(names, times)).encode("utf-8")


def run_surnames(names: dict[str, bytes], data: str, times: int, bench: Bench) -> dict[str, Usage]:
    """Preprocess, train (a fixed number of updates) and evaluate on multiplied surnames."""
    folder = bench.make_folder(f"names-{times}")
    shutil.copy(ROOT / "params.yaml", folder)
    multiplied = {file: multiply_file(content, times) for file, content in names.items()}
    write_raw(folder / "raw", multiplied, data if times == 1 else "custom")
    return {
        "preprocess_surnames": run_stage("surnames.preprocess", "raw", "names", folder=folder),
        "train_surnames": run_stage("surnames.train", MODEL, "names", "trained", folder=folder),
        "evaluate_surnames": run_stage(
            "surnames.evaluate", "trained", "names", "evaluated", folder=folder
        ),
    }


def run_series(points: int, bench: Bench) -> dict[str, Usage]:
    """Generate, preprocess, train (a fixed number of updates) and evaluate on a long series."""
    folder = bench.make_folder(f"points-{points}")
    write_series_params(folder / "params.yaml", points)
    windows = "windows/long.npz"
    return {
        "generate_sine": run_stage("sine.generate", "series", folder=folder),
        "preprocess_sine": run_stage("sine.preprocess", "series", "windows", folder=folder),
        "train_sine": run_stage("sine.train", "scaled", windows, "trained", folder=folder),
        "evaluate_sine": run_stage(
            "sine.evaluate", "scaled", "trained", windows, "evaluated", folder=folder
        ),
    }


def write_series_params(path: Path, points: int) -> None:
    """One series of that length and one model."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    # free runs cost the same whatever the series, so short ones will do
    evaluate = params["evaluate_sine"] | {"horizons": [49], "validation_horizons": [49]}
    content = {
        "generate_sine": {"long": {**SERIES, "points": points}},
        "preprocess_sine": {"long": {"window": 40, "test_points": 40}},
        "sine": {"scaled": FORECASTER},
        "evaluate_sine": evaluate,
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def join(runs: Iterable[dict[str, Usage]]) -> Usages:
    """Usages of the same stage at all sizes."""
    joined: Usages = {}
    for run in runs:
        for stage, usage in run.items():
            joined.setdefault(stage, []).append(usage)
    return joined


def tabulate(stage: str, usages: list[Usage], sizes: list[int], what: str) -> Row:
    """Seconds and MiB by size, and the growth of both in the last step."""
    steps = [
        f"{size:,}: {say_seconds(usage.cpu_seconds)}, {usage.mebibytes:.0f} MiB"
        for size, usage in zip(sizes, usages, strict=True)
    ]
    *_, before, last = usages
    growth = last.cpu_seconds / before.cpu_seconds / (sizes[-1] / sizes[-2])
    per_million = (last.cpu_seconds - usages[0].cpu_seconds) / (sizes[-1] - sizes[0]) * 1e6
    return Row(
        f"{stage}, {what}",
        "; ".join(steps),
        quality=f"{max(per_million, 0):.3g} CPU s per million {what}",
        goals=[
            at_most("growth of time by growth of data", growth, MOST_GROWTH),
            at_most("peak MiB", last.mebibytes, MOST_MEBIBYTES),
        ],
    )
