"""Whatever is killed, no trainer lives on, and no file of DVC is left half written."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path

import psutil
import pytest

from stages.shared.yaml_files import format_yaml, parse_yaml
from tests import shell
from tests.pipeline import KEPT, copy_template, list_processes, set_param
from tests.shell import make_environment, run

MAKE = ["make", "repro", "--old-file", ".venv/installed", f"BIN={Path(sys.executable).parent}"]
REPRO = [sys.executable, "stages/run.py", "cli", "repro", "--jobs", "2"]
JOB = [sys.executable, "stages/run.py", "cli.jobs"]
ENDLESS = 10**6  # iterations: minutes
TRAINER = ["stages/run.py", "launch", "forecasting.train"]


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A workspace in which two trainings are left to run, for ever."""
    folder = copy_template(tmp_path / "clone")
    for model in KEPT["forecasters"]:
        set_param(folder, f"forecasters.{model}.iterations", ENDLESS)
    yield folder
    for process in list_processes(folder):  # of a test that failed
        process.kill()


start = partial(shell.start, output=subprocess.DEVNULL)  # a training prints for ever


def wait_for_trainers(folder: Path, count: int) -> list[psutil.Process]:
    for _ in range(600):
        trainers = [p for p in list_processes(folder) if read_command(p)[1:4] == TRAINER]
        if len(trainers) == count:
            return trainers
        time.sleep(0.1)
    raise TimeoutError(f"{count} trainings did not start in {folder}")


def read_command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def find_process(folder: Path, *words: str) -> psutil.Process:
    """The process whose command begins with these words, after the program."""
    for process in list_processes(folder):
        command = [word.removeprefix(f"{folder}/") for word in read_command(process)]
        if command[1 : 1 + len(words)] == [*words]:
            return process
    raise LookupError(words)


def assert_nothing_runs(folder: Path) -> None:
    _, left = psutil.wait_procs(list_processes(folder), timeout=10)
    assert left == []


@pytest.mark.slow
@pytest.mark.parametrize("victim", [["repro"], ["stages/run.py", "cli", "repro"]])
def test_a_killed_make_leaves_no_training_running(clone, victim):
    command = start(clone, MAKE)
    wait_for_trainers(clone, 2)

    find_process(clone, *victim).kill()

    command.wait(timeout=10)
    assert_nothing_runs(clone)


@pytest.mark.slow
def test_a_killed_dvc_ends_its_own_training_and_no_other(clone):
    command = start(clone, REPRO)
    wait_for_trainers(clone, 2)
    killed = find_process(clone, "stages/run.py", "cli.jobs")
    started = killed.children(recursive=True)

    killed.kill()

    _, left = psutil.wait_procs(started, timeout=10)
    assert (len(started) > 0, left) == (True, [])
    wait_for_trainers(clone, 1)
    command.terminate()
    command.wait(timeout=10)
    assert_nothing_runs(clone)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "fish"])
def test_a_killed_plain_dvc_leaves_no_training_running_with_any_shell(clone, shell):
    path = shutil.which(shell)
    if not path:
        pytest.skip(f"no {shell} here")
    dvc = start(
        clone, ["dvc", "repro", "--single-item", "train_forecaster@carried_rnn"], SHELL=path
    )
    wait_for_trainers(clone, 1)

    dvc.kill()

    dvc.wait()
    assert_nothing_runs(clone)


@pytest.mark.slow
def test_a_stage_ends_if_its_dvc_had_ended_before_the_first_check(clone):
    dvc = start(clone, ["dvc", "repro", "--single-item", "train_forecaster@carried_rnn"])
    while not (shells := [p for p in list_processes(clone) if p.ppid() == dvc.pid]):
        time.sleep(0.001)

    dvc.kill()

    dvc.wait()
    assert shells
    assert_nothing_runs(clone)


@pytest.mark.slow
def test_a_closed_terminal_stops_everything(clone):
    terminal, shell = start_in_terminal(clone, f"{' '.join(MAKE)}; true")
    wait_for_trainers(clone, 2)

    os.close(terminal)

    shell.wait(timeout=10)
    assert_nothing_runs(clone)


@pytest.mark.slow
def test_under_nohup_a_closed_terminal_stops_nothing(clone):
    terminal, shell = start_in_terminal(clone, f"nohup {' '.join(MAKE)}; true")
    trainers = wait_for_trainers(clone, 2)

    os.close(terminal)

    shell.wait(timeout=10)
    time.sleep(2)
    assert all(trainer.is_running() for trainer in trainers)


def start_in_terminal(folder: Path, line: str) -> tuple[int, subprocess.Popen[bytes]]:
    """A shell with a terminal of its own, and the end of the terminal that a window holds."""
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["setsid", "--ctty", "sh", "-c", line],
        cwd=folder,
        env=make_environment(folder),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    return ours, shell


@pytest.mark.slow
def test_a_stopped_job_finishes_writing_dvc_lock_first(clone):
    grow_lock(clone, 60)  # a second of writing
    set_param(clone, "figures.dpi", 31)
    size = (clone / "dvc.lock").stat().st_size
    job = start(
        clone, [*JOB, str(os.getpid()), "dvc", "repro", "-s", "plot_forecaster@carried_rnn"]
    )
    while (clone / "dvc.lock").stat().st_size >= size:
        assert job.poll() is None

    job.terminate()

    job.wait()
    assert len(read_lock(clone)["stages"]) > 60


def grow_lock(folder: Path, count: int) -> None:
    """Add stages that dvc.yaml has not: DVC keeps them."""
    lock = read_lock(folder)
    entry = lock["stages"]["train_forecaster@carried_rnn"]
    lock["stages"] |= {f"left_{number}": deepcopy(entry) for number in range(count)}
    (folder / "dvc.lock").write_text(format_yaml(lock), "utf-8")


def read_lock(folder: Path) -> dict:
    return parse_yaml((folder / "dvc.lock").read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "number"),
    [
        pytest.param(REPRO, signal.SIGINT, id="ctrl_c"),
        pytest.param(
            [*JOB, str(os.getpid()), "dvc", "repro", "train_forecaster@carried_rnn"],
            signal.SIGTERM,
            id="a_job",
        ),
    ],
)
def test_signals_wait_while_dvc_writes_rwlock(clone, command, number):
    held = hold_rwlock(clone)
    command = start(clone, command)
    let_read(held)
    if command.args == REPRO:  # it has looked whether rwlock is whole
        let_read(held)
    # from now on DVC waits in the middle of its write

    time.sleep(1)
    command.send_signal(number)
    time.sleep(1)

    assert command.poll() is None
    assert json.loads(let_write(held)).keys() == {"read", "write"}
    assert command.wait(timeout=10) != 0
    assert_nothing_runs(clone)
    run(clone, "dvc status")


def hold_rwlock(folder: Path) -> Path:
    """Put a pipe in the place of rwlock, at which DVC waits for us; returns its second name."""
    held = folder / ".dvc/tmp/held"
    os.mkfifo(held)
    (folder / ".dvc/tmp/rwlock").unlink()
    os.link(held, folder / ".dvc/tmp/rwlock")
    return held


def let_read(held: Path) -> None:
    """Give DVC an empty rwlock."""
    pipe = open_pipe(held, os.O_WRONLY)
    os.write(pipe, b"{}")
    os.close(pipe)
    time.sleep(0.3)  # until its reader has closed it


def let_write(held: Path) -> bytes:
    """Take what DVC writes; then rwlock is a file as always."""
    after = held.with_name("after")
    after.write_text("{}", encoding="utf-8")
    after.replace(held.with_name("rwlock"))
    pipe = open_pipe(held, os.O_RDONLY)
    os.set_blocking(pipe, True)
    written = os.read(pipe, 10**6)
    os.close(pipe)
    return written


def open_pipe(path: Path, mode: int) -> int:
    """Open a pipe, to write as soon as somebody reads."""
    for _ in range(300):
        try:
            return os.open(path, mode | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.1)
    raise TimeoutError(f"nobody reads {path}")
