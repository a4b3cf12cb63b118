"""Trainings on a real Ray: a head and two nodes on this machine, reached by loopback alone."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from stages import SHARED_KERNELS
from tests.conftest import add_node
from tests.pipeline import KEPT, make_clone, replace_text, set_param
from tests.shell import PROJECT, call, find_free_port, run, start

SINE = ["carried_rnn", "data/preprocessed/series/integer_starts.npz"]
PANEL = ["shop_sales_gru", "data/preprocessed/series/shop_sales.npz"]
SURNAMES = ["surname_gru", "data/preprocessed/surnames"]
OUTS = ["weights.pt", "config.json", "curves.csv", "progress.txt"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with all that trainings read."""
    models = {**KEPT, "forecasters": [*KEPT["forecasters"], PANEL[0]]}
    clone = make_clone(tmp_path_factory.mktemp("prepared") / "clone", models)
    raw = "download data/sample data/raw", "preprocess data/raw data/preprocessed/surnames"
    for line in raw:
        run(clone, f"python stages/run.py surnames.{line}")
    table = "data/generated/integer_starts.csv"
    run(clone, f"python stages/run.py forecasting.generate integer_starts {table}")
    shops = "data/generated/shop_sales.csv"
    run(clone, f"python stages/run.py forecasting.generate_panel shop_sales {shops}")
    for entry, source, out in (
        ("generated_series.integer_starts", table, SINE[1]),
        ("observed_series.shop_sales", shops, PANEL[1]),
    ):
        run(clone, f"python stages/run.py forecasting.preprocess {entry} {source} {out}")
    return clone


@pytest.fixture
def clone(prepared: Path, tmp_path: Path) -> Path:
    """A clone of a test's own, where nothing is trained."""
    return Path(run(tmp_path, f"cp -r {prepared} {tmp_path} && echo {tmp_path}/clone").strip())


def list_command(task: str, entry: list[str], folder: str = "data/trained") -> list[str]:
    train = ["launch", f"{task}.train"]
    return [sys.executable, "stages/run.py", *train, *entry, f"{folder}/{entry[0]}"]


def train_on(cluster: Any, folder: Path, command: list[str], **environment: str):
    """Train and wait: a client of the cluster."""
    client = start(folder, command, RAY_ADDRESS=cluster.address, **environment)
    stdout, stderr = client.communicate(timeout=120)
    return subprocess.CompletedProcess(command, client.returncode, stdout, stderr)


def train_endlessly(cluster: Any, folder: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A client that waits, and the worker that computes."""
    set_param(folder, "forecasters.carried_rnn.iterations", 10**6)
    command = list_command("forecasting", SINE)
    client = start(folder, command, subprocess.DEVNULL, RAY_ADDRESS=cluster.address)
    return client, wait_for(find_worker)


def find_worker() -> psutil.Process | None:
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "ray::carried_rnn":
            return process
    return None


def wait_for(find: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := find():
            return found
        time.sleep(0.05)
    raise TimeoutError(find.__name__)


def read_outs(folder: Path, model: str, names: list[str]) -> dict[str, bytes]:
    return {name: (folder / model / name).read_bytes() for name in names}


def assert_line(client: subprocess.CompletedProcess[str], *words: str) -> None:
    """A client has failed with one line."""
    assert client.returncode == 1
    [line] = client.stderr.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_a_missing_ray_is_a_one_line_error(tmp_path):
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('ray')", encoding="utf-8")
    place = {"PYTHONPATH": str(tmp_path), "RAY_ADDRESS": "127.0.0.1:6379"}

    client = call(PROJECT, *list_command("forecasting", SINE), **place)

    assert client.returncode == 1
    [line] = client.stdout.splitlines()
    assert line.startswith("error: RAY_ADDRESS is set, and Ray is not installed: pip install")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "entry", "outs"),
    [
        ("forecasting", SINE, [*OUTS, "state.npy", "snapshots.npz"]),
        ("forecasting", PANEL, [*OUTS, "state.npy", "snapshots.npz"]),
        ("surnames", SURNAMES, OUTS),
    ],
)
def test_a_cluster_gives_the_bytes_of_this_machine(cluster, clone, task, entry, outs):
    run(clone, " ".join(list_command(task, entry, "data/local")))

    client = train_on(cluster, clone, list_command(task, entry))

    assert client.returncode == 0, client.stderr
    ours = read_outs(clone / "data/local", entry[0], outs)
    theirs = read_outs(clone / "data/trained", entry[0], outs)
    assert theirs == ours
    assert f"({entry[0]} pid=" in client.stdout  # a line of its progress
    assert {path.name for path in (clone / "data/trained" / entry[0]).iterdir()} == {
        *outs,
        "times.json",
    }


@pytest.mark.slow
def test_a_worker_starts_with_the_kernels_that_all_processors_share(cluster, clone):
    client, worker = train_endlessly(cluster, clone)

    environment = worker.environ()  # as it was when the process started

    client.kill()
    client.wait()
    worker.wait(timeout=15)
    assert environment.items() >= SHARED_KERNELS.items()


@pytest.mark.slow
def test_new_code_is_what_the_next_task_runs(cluster, clone):
    train_on(cluster, clone, list_command("forecasting", SINE))
    before = (clone / "data/trained/carried_rnn/progress.txt").read_text("utf-8")
    replace_text(clone / "stages/forecasting/train.py", "Iteration: {", "Update: {")

    train_on(cluster, clone, list_command("forecasting", SINE))

    after = (clone / "data/trained/carried_rnn/progress.txt").read_text("utf-8")
    assert after == before.replace("Iteration: ", "Update: ") != before


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "raylet"])
def test_a_killed_worker_or_node_is_replaced_and_the_bytes_are_the_same(cluster, clone, victim):
    set_param(clone, "forecasters.carried_rnn.iterations", 500)
    run(clone, " ".join(list_command("forecasting", SINE, "data/local")))
    client = start(clone, list_command("forecasting", SINE), RAY_ADDRESS=cluster.address)
    worker = wait_for(find_worker)
    processes = [worker]
    if victim == "raylet":  # the process of a node
        processes.append(worker.parent())
        add_node(cluster)  # for the tests that follow

    for process in processes:
        process.kill()

    output = client.communicate(timeout=120)
    assert client.returncode == 0, output
    assert "retries remaining" in output[0]
    ours = read_outs(clone / "data/local", "carried_rnn", OUTS)
    assert read_outs(clone / "data/trained", "carried_rnn", OUTS) == ours


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_task_ends_with_its_client(cluster, clone, number):
    client, worker = train_endlessly(cluster, clone)

    client.send_signal(number)

    assert client.wait(timeout=5) == -number
    worker.wait(timeout=15)


@pytest.mark.slow
def test_the_task_ends_with_the_dvc_that_runs_its_stage(cluster, clone):
    set_param(clone, "forecasters.carried_rnn.iterations", 10**6)
    run(clone, "python stages/run.py imports.follow data/code")  # which the stage depends on
    stage = ["dvc", "repro", "--single-item", "train_forecaster@carried_rnn"]
    dvc = start(clone, stage, subprocess.DEVNULL, RAY_ADDRESS=cluster.address)
    worker = wait_for(find_worker, 60)

    dvc.kill()

    dvc.wait(timeout=5)
    worker.wait(timeout=15)


@pytest.mark.slow
def test_params_that_the_training_rejects_are_reported_in_one_line(cluster, clone):
    set_param(clone, "forecasters.carried_rnn.rate", 1e30)

    client = train_on(cluster, clone, list_command("forecasting", SINE))

    assert_line(client, "lower its rate")
    assert client.stderr.startswith("error: carried_rnn: the loss became inf")


@pytest.mark.slow
def test_a_worker_with_another_torch_is_a_one_line_error(cluster, clone, tmp_path):
    claimed = tmp_path / "packages/torch-9.9.9.dist-info/METADATA"
    claimed.parent.mkdir(parents=True)
    claimed.write_text("Name: torch\nVersion: 9.9.9\n", encoding="utf-8")

    packages = str(claimed.parents[1])
    client = train_on(cluster, clone, list_command("forecasting", SINE), PYTHONPATH=packages)

    assert_line(client, "the Ray worker has", "'torch': '9.9.9'", "install the same versions")


@pytest.mark.slow
def test_a_model_for_a_gpu_goes_to_the_node_that_has_one(cluster, clone):
    if any(Path("/dev").glob("nvidia?")):
        pytest.skip("this machine has a GPU, and the node only says so")
    set_param(clone, "forecasters.carried_rnn.device", "cuda")
    node = add_node(cluster, num_gpus=1)
    client = start(clone, list_command("forecasting", SINE), RAY_ADDRESS=cluster.address)

    raylet = wait_for(find_worker).ppid()

    stderr = client.communicate(timeout=60)[1]
    [started] = node.all_processes["raylet"]
    cluster.remove_node(node)
    assert raylet == started.process.pid
    assert "error: device cuda is not available here" in stderr


@pytest.mark.slow
@pytest.mark.parametrize("has_listener", [False, True])
def test_no_cluster_is_a_one_line_error_within_ten_seconds(ray, clone, has_listener):
    port = find_free_port()
    with socket.socket() as listener:
        if has_listener:  # and never says a word
            listener.bind(("127.0.0.1", port))
            listener.listen()
        began = time.monotonic()

        client = call(clone, *list_command("forecasting", SINE), RAY_ADDRESS=f"127.0.0.1:{port}")

    assert time.monotonic() - began < 10
    assert_line(
        subprocess.CompletedProcess([], client.returncode, "", client.stdout),
        f"no Ray cluster at RAY_ADDRESS=127.0.0.1:{port} can be used",
    )
