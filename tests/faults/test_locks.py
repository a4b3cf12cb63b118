"""Two at work in one place wait, or say so in one line; a damaged lock file stops nobody."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.shared.errors import InputError
from stages.tracking.run_specs import list_run_specs
from tests.faults.test_processes import ENDLESS, REPRO, start, wait_for_trainers
from tests.pipeline import (
    copy_template,
    list_processes,
    repro,
    set_param,
)
from tests.shell import assert_one_line, call, call_srn, commit, run
from tests.workspace import retrain

TRACK = [sys.executable, "stages/run.py", "cli", "sync"]
CHECK = [*TRACK[:-1], "check"]
RESULTS = [sys.executable, "stages/run.py", "cli", "results"]


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A workspace in which a training is left to run, for ever."""
    folder = copy_template(tmp_path / "clone")
    set_param(folder, "forecasters.carried_rnn.iterations", ENDLESS)
    yield folder
    for process in list_processes(folder):
        process.kill()


@pytest.mark.slow
def test_a_second_repro_reports_the_running_one_and_does_not_disturb_it(clone):
    first = start(clone, REPRO)
    [trainer] = wait_for_trainers(clone, 1)

    second = repro(clone)

    assert trainer.is_running()
    assert_one_line(second, f"pid {first.pid}", "since 20")
    first.terminate()
    assert first.wait(timeout=10) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("lock", "command"),
    [
        pytest.param(".dvc/tmp/repro.lock", REPRO, id="repro"),
        pytest.param("mlflow.db.lock", TRACK, id="sync"),
    ],
)
def test_a_lock_that_is_a_link_is_rejected_and_its_target_is_unchanged(
    workspace, tmp_path, lock, command
):
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs", encoding="utf-8")
    (workspace / ".dvc/tmp").mkdir(exist_ok=True)
    (workspace / lock).unlink(missing_ok=True)
    (workspace / lock).symlink_to(theirs)

    stopped = call(workspace, *command)

    assert_one_line(stopped, f"{lock} is not a plain file: delete it")
    assert theirs.read_text(encoding="utf-8") == "theirs"


@pytest.mark.slow
def test_beside_a_plain_dvc_repro_reports_the_running_process(clone):
    dvc = start(clone, ["dvc", "repro", "--single-item", "train_forecaster@carried_rnn"])
    [trainer] = wait_for_trainers(clone, 1)

    second = repro(clone)

    assert trainer.is_running()
    assert_one_line(second, f"PID {dvc.pid}")
    dvc.kill()
    dvc.wait()


@pytest.mark.slow
@pytest.mark.parametrize("left", ["", '{"write": {"/some/pa'], ids=["empty", "half"])
def test_a_damaged_rwlock_is_removed_and_reported(tmp_path, left):
    clone = copy_template(tmp_path / "clone")
    (clone / ".dvc/tmp/rwlock").write_text(left, encoding="utf-8")
    assert "rwlock" in run(clone, "dvc status --json >/dev/null", check=False)  # DVC gives up

    done = repro(clone)

    assert done.returncode == 0, done.stdout
    assert ".dvc/tmp/rwlock" in done.stdout.splitlines()[0]
    run(clone, "dvc status")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("repro", marks=pytest.mark.slow),
        "sync",
        pytest.param("check", marks=pytest.mark.slow),
        pytest.param("results", marks=pytest.mark.slow),
    ],
)
def test_an_unfinished_merge_of_dvc_lock_is_a_one_line_error(workspace, command):
    merge_two_trainings(workspace)

    stopped = call_srn(workspace, command)

    assert_one_line(stopped, "dvc.lock has conflict markers from line", "srn merge")


@pytest.mark.slow
@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_after_one_side_is_taken_repro_completes(workspace, side):
    merge_two_trainings(workspace)
    run(workspace, f"git checkout --{side} dvc.lock params.yaml")

    done = repro(workspace)

    assert done.returncode == 0, done.stdout
    assert run(workspace, "dvc status").strip() == "Data and pipelines are up to date."


def merge_two_trainings(folder: Path) -> None:
    """Let git merge two branches on which a model was trained with different seeds."""
    run(folder, "git branch theirs")
    retrain(folder, "carried_rnn", seed=1)
    commit(folder, "seed 1")
    run(folder, "git checkout -q theirs && dvc checkout -q")
    retrain(folder, "carried_rnn", seed=2)
    commit(folder, "seed 2")
    run(folder, "git checkout -q - && dvc checkout -q")
    assert "conflict in dvc.lock" in run(folder, "git merge theirs", check=False)
    run(folder, "git checkout --ours params.yaml")


@pytest.mark.parametrize("path", ["dvc.yaml", "params.yaml", "dvc.lock"])
def test_a_file_that_is_not_yaml_is_a_one_line_error(workspace, path):
    text = (workspace / path).read_text(encoding="utf-8")
    (workspace / path).write_text(text[: len(text) // 2] + "\n\t: [", encoding="utf-8")

    stopped = call_srn(workspace, "sync")

    assert_one_line(stopped, f"{path} is damaged", f"git checkout {path}")
    assert_one_line(repro(workspace), f"{path} is damaged")


@pytest.mark.slow
def test_a_dvc_lock_cut_anywhere_is_read_or_rejected(workspace):
    text = (workspace / "dvc.lock").read_text(encoding="utf-8")
    num_rejected = 0

    for end in range(0, len(text), 251):
        (workspace / "dvc.lock").write_text(text[:end], encoding="utf-8")
        try:
            for spec in list_run_specs():
                assert spec.key and spec.display_digest
        except InputError:
            num_rejected += 1

    assert num_rejected > 5


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_a_dvc_lock_that_was_cut_is_read_or_rejected_in_one_line(workspace, share):
    text = (workspace / "dvc.lock").read_text(encoding="utf-8")
    (workspace / "dvc.lock").write_text(text[: int(len(text) * share)], encoding="utf-8")

    done = call_srn(workspace, "results")

    assert done.returncode == 0 or len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", [REPRO, TRACK], ids=["repro", "sync"])
def test_in_a_read_only_checkout_a_command_ends_with_a_one_line_error(workspace, command):
    stopped = call_read_only(workspace, command)

    assert_one_line(stopped, ".lock", "the file system is read-only")


@pytest.mark.slow
@pytest.mark.parametrize("command", [CHECK, RESULTS], ids=["check", "results"])
def test_commands_that_only_read_work_in_a_read_only_checkout(workspace, command):
    run(workspace, " ".join(TRACK))

    done = call_read_only(workspace, command)

    assert done.returncode == 0, done.stdout


def call_read_only(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command where the folder is mounted read-only."""
    mount = "mount --bind . . && mount -o remount,ro,bind . && cd $PWD"
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if call(folder, *unshare, mount).returncode != 0:
        pytest.skip("this machine lets nobody mount")
    return call(folder, *unshare, f'{mount} && exec "$@"', "sh", *command)
