"""Section `serve`: what a served surname model answers under the load of eight clients.

The models are those of the workspace, packed as in MLflow and served by `mlflow models serve` with
one worker on this machine. Each client sends requests one after another on its own connection.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles

import psutil  # type: ignore[import-untyped]

from benchmarks.clock import ROOT
from benchmarks.data import Bench, read_names
from benchmarks.table import Row, at_most, format_seconds
from stages.shared.errors import InputError
from stages.tracking.model_package import pack_model

MODELS = ["surname_blend", "surname_gru", "surname_markov", "surname_ngrams"]
NUM_CLIENTS = 8
SIZES = [1, 500]  # names of a request
SECONDS = 20.0
MOST_MILLISECONDS = 1.0  # per name, of a request of many
HOST = "127.0.0.1"


def measure(bench: Bench) -> list[Row]:
    """One row per model and size of a request."""
    names, _ = read_names(bench.archive)
    all_names = [name for group in names.values() for name in group]
    folder = bench.make_folder("served")
    rows = []
    with chdir(ROOT):
        trained = [name for name in MODELS if Path("data/trained", name, "weights.pt").exists()]
        if not trained:
            raise InputError("no surname model is in data/trained: run `make repro` or `make pull`")
        for name in trained:
            packed = folder / name
            pack_model(name, packed, {"artifact_path": name})
            with _serve(packed) as (port, server):
                for size in SIZES:
                    rows.append(_load(name, port, server, all_names, size, bench.quick))
    return rows


@contextmanager
def _serve(packed: Path) -> Iterator[tuple[int, psutil.Process]]:
    """Serve a model until the block ends; gives the port and the server's process."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    options = ["--model-uri", str(packed), "--host", HOST, "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(
        [*mlflow, *options], start_new_session=True, stdout=sys.stderr, cwd=packed.parent
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    break
            time.sleep(0.1)
        yield port, psutil.Process(server.pid)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _load(
    model: str, port: int, server: psutil.Process, names: list[str], size: int, quick: bool
) -> Row:
    """Requests for a while, after a first one that loads everything."""
    supply = cycle(names)
    bodies = [json.dumps({"inputs": list(islice(supply, size))}) for _ in range(50)]

    def ask_again(seconds: float) -> list[float]:
        connection = http.client.HTTPConnection(HOST, port, timeout=120)
        times: list[float] = []
        end = time.monotonic() + seconds
        for body in cycle(bodies):
            began = time.monotonic()
            if began > end and times:
                return times
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise InputError(f"{model}: the server answered with status {answer.status}")
            times.append(time.monotonic() - began)
        return times

    ask_again(0.0)
    before = _measure_memory(server)
    seconds = SECONDS / 4 if quick else SECONDS
    began = time.monotonic()
    with ThreadPoolExecutor(NUM_CLIENTS) as clients:
        by_client = clients.map(ask_again, [seconds] * NUM_CLIENTS)
        times = [one for of_client in by_client for one in of_client]
    rate = len(times) / (time.monotonic() - began)
    per_name = 1 / (rate * size)
    slowest = quantiles(times, n=100)[-1] if len(times) > 1 else times[0]
    return Row(
        f"{model}, {NUM_CLIENTS} clients, names per request: {size}",
        f"{rate:.3g} requests per second",
        quality=(
            f"median {format_seconds(median(times))}, 99 % within {format_seconds(slowest)}, "
            f"{format_seconds(per_name)} per name; "
            f"{before:.0f} MiB before, {_measure_memory(server):.0f} after"
        ),
        goals=[at_most("ms per name", per_name * 1e3, MOST_MILLISECONDS)] if size > 1 else [],
    )


def _measure_memory(server: psutil.Process) -> float:
    """MiB of a server and its workers."""
    processes = [server, *server.children(recursive=True)]
    return float(sum(process.memory_info().rss for process in processes)) / 2**20
