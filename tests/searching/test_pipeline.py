"""Searches under DVC: their own pipeline and lock, and a killed search continues."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stages.shared.yaml_files import format_yaml, parse_yaml
from tests.pipeline import list_processes, make_clone, set_param
from tests.shell import commit, run, start

pytestmark = pytest.mark.slow

NAME = "searches/dvc.yaml:search_classifiers"
SEARCH = ["dvc", "repro", NAME]
MODULE = "searching.search_classifiers"
OUT = "data/searched/classifiers"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the surnames preprocessed."""
    clone = make_clone(tmp_path_factory.mktemp("searches") / "clone")
    run(clone, "dvc repro preprocess_surnames")
    commit(clone, "run")
    return clone


@pytest.fixture
def clone(template: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy in which each of four trials takes some seconds."""
    folder = tmp_path / "clone"
    run(tmp_path, f"cp -r {template} {folder}")
    set_param(folder, "classifiers.surname_gru.iterations", 100)
    set_seeds(folder, [0, 1])
    yield folder
    for process in list_processes(folder):  # of a test that failed
        process.kill()


def set_seeds(folder: Path, seeds: list[int]) -> None:
    path = folder / "searches/params.yaml"
    sections = parse_yaml(path.read_text(encoding="utf-8"))
    sections["search_classifiers"]["seeds"] = seeds
    path.write_text(format_yaml(sections), encoding="utf-8")


def read_outs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / OUT).iterdir()}


def list_kept(folder: Path) -> list[Path]:
    return list((folder / ".dvc/tmp/trials").glob("*.json"))


def wait_for_trial(folder: Path) -> None:
    """Wait until some trials are done and others are not."""
    for _ in range(1200):
        if list_kept(folder):
            return
        time.sleep(0.1)
    raise TimeoutError(f"no trial ended in {folder}")


def find_stage(folder: Path) -> psutil.Process:
    [stage] = [p for p in list_processes(folder) if p.cmdline()[1:3] == ["stages/run.py", MODULE]]
    return stage


def assert_nothing_runs(folder: Path) -> None:
    _, left = psutil.wait_procs(list_processes(folder), timeout=10)
    assert left == []


def kill_dvc(folder: Path, dvc: subprocess.Popen[str]) -> None:
    dvc.kill()


def kill_stage(folder: Path, dvc: subprocess.Popen[str]) -> None:
    find_stage(folder).kill()


def terminate_stage(folder: Path, dvc: subprocess.Popen[str]) -> None:
    find_stage(folder).terminate()


def press_ctrl_c(folder: Path, dvc: subprocess.Popen[str]) -> None:
    for process in [*psutil.Process(dvc.pid).children(recursive=True), dvc]:  # the whole group
        process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("end", [kill_dvc, kill_stage, terminate_stage, press_ctrl_c])
def test_a_search_that_ends_early_leaves_no_worker_and_goes_on_to_the_same_bytes(clone, end):
    dvc = start(clone, SEARCH, subprocess.DEVNULL, SEARCH_JOBS="2")
    wait_for_trial(clone)

    end(clone, dvc)

    assert dvc.wait(timeout=20) != 0
    assert_nothing_runs(clone)
    num_kept = len(list_kept(clone))
    assert 0 < num_kept < 4
    said = run(clone, " ".join(SEARCH))
    assert f"4 trials, {num_kept} of them done before" in said
    assert "Warning" not in said  # of what workers left behind
    resumed = read_outs(clone)
    run(clone, f"rm -r .dvc/tmp/trials && dvc repro -f -s {NAME}", SEARCH_JOBS="1")
    assert read_outs(clone) == resumed


def test_a_clone_has_what_a_search_found_without_a_remote(clone, tmp_path):
    set_seeds(clone, [0])
    run(clone, " ".join(SEARCH))
    commit(clone, "search")

    run(tmp_path, "git clone -q clone teammate")

    teammate = tmp_path / "teammate"
    assert read_outs(teammate) == read_outs(clone)
    assert "changed outs" not in run(teammate, f"dvc status {NAME}")
    assert run(teammate, "git status --porcelain") == ""
