"""How a command ends: its errors, its parent, and the delay of PyTorch."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.shell import assert_one_line, call, call_unread

STAGE = {"DVC_STAGE": "train_forecaster@m"}
SLOW_EXIT = "import atexit; atexit.register(print, 'left slowly')"
NAPS = "import time; time.sleep(2); open('outlived', 'w').close()"


def run_main(folder: Path, body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command whose `main` has this body."""
    return call(folder, *make_command(body), **environment)


def make_command(body: str) -> list[str]:
    modules = "import errno, sys\nfrom stages.shared.command import run_as_command\n"
    errors = "from stages.shared.errors import InputError\n"
    code = f"{modules}{errors}def main(*names):\n    {body}\nrun_as_command(main, 'a', 'b')"
    return [sys.executable, "-c", code]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return tmp_path


def test_main_has_the_arguments(folder):
    done = run_main(folder, "print(names)")

    assert (done.returncode, done.stdout) == (0, "('a', 'b')\n")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("InputError('m.csv is empty: add a row')", "m.csv is empty: add a row"),
        ("InputError('no server at http://me:secret@host')", "http://***@host"),
        ("OSError(errno.ENOSPC, '', 'a.pt')", "a.pt: the disk is full: free some space"),
        ("OSError(errno.ENOMEM, '')", "out of memory"),
        ("MemoryError('800 GB')", "out of memory (800 GB): lower batch"),
        ("RuntimeError('DefaultCPUAllocator: not enough memory')", "out of memory"),
        ("RuntimeError('PytorchStreamWriter failed')", "is the disk full?"),
    ],
)
def test_an_input_error_is_one_line(folder, error, words):
    assert_one_line(run_main(folder, f"raise {error}"), words)


@pytest.mark.parametrize("error", ["RuntimeError('a bug')", "KeyError('out of memory')"])
def test_a_bug_keeps_its_traceback(folder, error):
    stopped = run_main(folder, f"raise {error}")

    assert stopped.returncode == 1
    assert stopped.stdout.startswith("Traceback") and error.partition("(")[0] in stopped.stdout


@pytest.mark.parametrize(
    "body", ["print('a row')", "print('a row'); raise InputError('tracking is missing')"]
)
def test_a_closed_pipe_is_status_1_without_a_message(folder, body):
    # nothing is written before the end, as where nobody sets this variable
    stopped = call_unread(folder, *make_command(body), PYTHONUNBUFFERED="")

    assert (stopped.returncode, stopped.stderr) == (1, "")


def test_messages_of_others_are_escaped_and_shortened(folder):
    texts = ["'a\\x1b[2J\\x07b'", "'c' * 10**6", "'\\n'.join('d' * 2_000)"]

    done = run_main(
        folder, f"from stages.shared.command import show; [*map(show, [{', '.join(texts)}])]"
    )

    first, second, *rest = done.stdout.splitlines()
    assert first == r"a\x1b[2J\x07b" and len(second) <= 300 and rest == ["d"] * 2_000


@pytest.mark.parametrize(
    ("environment", "modules", "ending"),
    [
        (STAGE, "sys.modules['torch'] = sys", ""),
        (STAGE, "pass", "left slowly\n"),
        ({}, "sys.modules['torch'] = sys", "left slowly\n"),
    ],
    ids=["stage", "stage_without_torch", "no_stage"],
)
def test_only_a_stage_with_torch_skips_the_slow_exit_and_its_output_is_complete(
    folder, environment, modules, ending
):
    done = run_main(folder, f"{SLOW_EXIT}; {modules}; print('printed')", **environment)

    assert (done.returncode, done.stdout) == (0, f"printed\n{ending}")


@pytest.mark.parametrize(("environment", "outlives"), [(STAGE, False), ({}, True)])
def test_only_a_stage_ends_with_the_process_that_started_it(folder, environment, outlives):
    starter = f"import subprocess, time\nsubprocess.Popen({make_command(NAPS)})\ntime.sleep(1)"

    call(folder, sys.executable, "-c", starter, **environment)

    time.sleep(2)
    assert (folder / "outlived").exists() == outlives
