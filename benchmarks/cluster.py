"""Section `cluster`: a search on one worker, on two and on Ray, and what the head of Ray costs.

Ray runs on this machine: its nodes share the cores with each other and with the head. So a cluster
of two nodes is held against two local workers, and many workers are only pretended: their tasks
sleep.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.clock import ROOT, run_measured, time_call
from benchmarks.data import Bench
from benchmarks.table import Row, at_least, format_seconds
from stages.ray_cluster.tasks import LOOPBACK, SETTINGS, connect, run_tasks
from stages.shared.yaml_files import format_yaml

SEARCH = "search_classifiers"
SPACE = {
    "base": "surname_fast",
    "architecture": "pooled_classifier",
    "recipes": 23,  # beside the base, with two seeds each: 48 trials
    "seed": 0,
    "seeds": [0, 1],
    "score": "macro_f1",
    "space": {"rate": {"log": [0.003, 0.03]}},
}
NUM_TASKS, NUM_WORKERS, SLEEP_SECONDS = 200, 50, 30.0
WARM_UP = 10  # tasks a worker first, until all have started


def measure(bench: Bench) -> list[Row]:
    """A row for each way to search, and one for sleeping tasks; without Ray the first two."""
    folder = write_folder(bench)
    alone = search(folder, SEARCH_JOBS="1")
    rows = [
        Row(f"{count_trials(folder)} trials of {SPACE['base']}, one worker", format_seconds(alone)),
        tabulate_search("two workers", search(folder, SEARCH_JOBS="2"), alone),
    ]
    if find_spec("ray") is None:
        print("Ray is not installed: pip install -e '.[ray]'", file=sys.stderr)
        return rows
    with start_cluster(num_nodes=2, num_cpus=1) as address:
        rows.append(tabulate_search("Ray, two nodes", search(folder, RAY_ADDRESS=address), alone))
    with start_cluster(num_nodes=1, num_cpus=NUM_WORKERS) as address:
        rows.append(measure_sleep(address, SLEEP_SECONDS / 10 if bench.quick else SLEEP_SECONDS))
    return rows


def write_folder(bench: Bench) -> Path:
    """A folder with the surnames and a search of its own."""
    folder = bench.make_folder("search")
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (folder / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (folder / "searches").mkdir()
    text = format_yaml({SEARCH: SPACE | ({"recipes": 1} if bench.quick else {})})
    (folder / "searches/params.yaml").write_text(text, encoding="utf-8")
    (folder / "names").symlink_to(bench.surnames)
    return folder


def count_trials(folder: Path) -> int:
    """How many trials a search in a folder has kept."""
    return len(list(folder.glob(".dvc/tmp/trials/*")))


def search(folder: Path, **environment: str) -> float:
    """Wall seconds of a search in a folder, with no trial kept from before."""
    for trial in folder.glob(".dvc/tmp/trials/*"):
        trial.unlink()
    command = [sys.executable, "-m", f"stages.searching.{SEARCH}", SEARCH, "names", "out"]
    return run_measured(command, folder, PYTHONPATH=str(ROOT), **environment).seconds


def tabulate_search(where: str, seconds: float, alone: float) -> Row:
    """One row, beside the search on one worker."""
    return Row(
        f"the same, {where}",
        format_seconds(seconds),
        f"{format_seconds(alone)} (one worker)",
        [alone / seconds],
        quality=f"{alone / seconds / 2:.0%} of ideal",
    )


def measure_sleep(address: str, seconds: float) -> Row:
    """Tasks that only sleep, on as many workers as a cluster of fifty cores has."""
    ray = connect(address)
    list(run_tasks(ray, "sleep", "cpu", time.sleep, [(1.0,)] * WARM_UP * NUM_WORKERS))
    tasks = list(repeat((seconds,), NUM_TASKS))
    took = time_call(lambda: list(run_tasks(ray, "sleep", "cpu", time.sleep, tasks)))
    ray.shutdown()
    ideal = seconds * NUM_TASKS / NUM_WORKERS
    return Row(
        f"{NUM_TASKS} tasks that sleep {seconds:g} s, Ray, {NUM_WORKERS} workers",
        format_seconds(took),
        f"{format_seconds(ideal)} (ideal)",
        [ideal / took],
        goals=[at_least("of ideal", ideal / took, 0.9)],
    )


@contextmanager
def start_cluster(num_nodes: int, num_cpus: int) -> Iterator[str]:
    """Address of a head that computes nothing, with nodes of so many cores, on loopback alone."""
    node = {"node_ip_address": "127.0.0.1", "include_dashboard": False}
    with TemporaryDirectory() as scratch:
        os.environ.update(SETTINGS | LOOPBACK, RAY_TMPDIR=scratch)  # read when Ray is imported
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **node})
        for number in range(num_nodes):
            folder = f"runtime_resources_{number}"  # or nodes overwrite the code of each other
            cluster.add_node(num_cpus=num_cpus, runtime_env_dir_name=folder, **node)
        yield cluster.address
        cluster.shutdown()
