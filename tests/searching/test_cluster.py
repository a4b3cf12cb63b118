"""Searches on a real Ray: a head and two nodes on this machine."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pipeline import set_param
from tests.searching.search_folder import OUT, SURNAMES, WINDOWS, make_search_folder
from tests.shell import PROJECT, call, find_free_port, start

pytestmark = pytest.mark.slow

SEARCH_SURNAMES = ["searching.search_classifiers", "search_classifiers", str(SURNAMES), str(OUT)]
SEARCH_SINE = ["searching.search_forecasters", "search_forecasters", str(WINDOWS), str(OUT)]
KEPT = ".dvc/tmp/trials"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with six trials for the surnames and three for a series."""
    return make_search_folder(tmp_path / "folder")


def list_command(search: list[str]) -> list[str]:
    return [sys.executable, f"{PROJECT}/stages/run.py", *search]


def search_in(folder: Path, search: list[str], **environment: str) -> dict[str, bytes]:
    """Search with no trial kept from before; what was written, by name."""
    call(folder, "rm", "-rf", KEPT)
    done = call(folder, *list_command(search), **environment)
    assert done.returncode == 0, done.stdout
    return {path.name: path.read_bytes() for path in (folder / OUT).iterdir()}


def start_search(folder: Path, cluster: Any) -> subprocess.Popen[str]:
    """A search of the surnames on the cluster."""
    where = {"RAY_ADDRESS": cluster.address}
    return start(folder, list_command(SEARCH_SURNAMES), **where)


def list_workers() -> list[psutil.Process]:
    """Those that compute a trial."""
    return [process for process in psutil.process_iter(["name"]) if process.name() == "ray::trial"]


def wait_for(find: Callable[[], list[Any]]) -> list[Any]:
    for _ in range(600):
        if found := find():
            return found
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.parametrize("search", [SEARCH_SURNAMES, SEARCH_SINE], ids=["surnames", "forecasting"])
def test_a_cluster_writes_the_bytes_of_one_worker_and_of_two(cluster, folder, search):
    alone = search_in(folder, search, SEARCH_JOBS="1")
    together = search_in(folder, search, SEARCH_JOBS="2")

    on_cluster = search_in(folder, search, RAY_ADDRESS=cluster.address)

    assert on_cluster == together == alone
    assert sorted(alone) == ["best.yaml", "curves.csv", "trials.csv"]


def test_a_worker_that_is_killed_is_replaced_and_the_bytes_are_the_same(cluster, folder):
    set_param(folder, "classifiers.surname_gru.iterations", 100)
    alone = search_in(folder, SEARCH_SURNAMES, SEARCH_JOBS="2")
    call(folder, "rm", "-r", KEPT)
    search = start_search(folder, cluster)

    wait_for(list_workers)[0].kill()

    output = search.communicate(timeout=120)
    assert search.returncode == 0, output
    assert {path.name: path.read_bytes() for path in (folder / OUT).iterdir()} == alone


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_trials_end_with_their_search_and_what_is_done_is_kept(cluster, folder, number):
    set_param(folder, "classifiers.surname_gru.iterations", 300)
    search = start_search(folder, cluster)
    wait_for(lambda: list((folder / KEPT).glob("*.json")))

    search.send_signal(number)

    stdout, stderr = search.communicate(timeout=15)
    assert search.returncode != 0
    assert "Traceback" not in stdout + stderr
    _, left = psutil.wait_procs(list_workers(), timeout=15)
    assert left == []
    assert 0 < len(list((folder / KEPT).glob("*.json"))) < 6


def test_no_cluster_is_a_one_line_error(ray, folder):
    address = f"127.0.0.1:{find_free_port()}"

    done = call(folder, *list_command(SEARCH_SURNAMES), RAY_ADDRESS=address)

    assert done.returncode == 1
    assert f"error: no Ray cluster at RAY_ADDRESS={address} can be used" in done.stdout
