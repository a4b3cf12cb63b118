"""Run stages side by side, in a few dvc processes that never outlive this one."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from tqdm import tqdm

from stages.commands.graph import Graph, find_chain
from stages.shared.errors import LESS_MEMORY, InputError

# what DVC prints of a stage that was sent SIGKILL, as the system does that has no memory left
KILLED = re.compile(r"failed to reproduce '(\S+)': .*exited with (?:-9|137)$", re.MULTILINE)
TAIL_BYTES = 500  # of a job's output, in which its last line lies


@dataclass
class Job:
    """One dvc process that runs a chain of stages, one after another."""

    chain: list[str]
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    started: float = field(default_factory=time.monotonic)

    def describe(self) -> str:
        """How long it has run, and what."""
        seconds = time.monotonic() - self.started
        return f"{seconds:5.0f} s  {' → '.join(self.chain)}"

    def read_last_line(self) -> str:
        """What it printed last: how far a training is."""
        descriptor = self.output.fileno()
        size = os.fstat(descriptor).st_size
        # pread: the processes that write share the position of this file
        tail = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
        lines = tail.decode(errors="replace").split("\n")
        printed = [line.strip() for line in lines if line.strip()]
        return printed[-1] if printed else ""


def run_side_by_side(stale: Graph, num_jobs: int) -> None:
    """Run stale stages, each once its upstream is done, at most `num_jobs` at a time.

    Raises:
        InputError: a stage failed; its output is printed, and the running ones are stopped.
    """
    waiting = dict(stale)
    done: set[str] = set()
    lines = [tqdm(bar_format="  {desc}", disable=None, position=n) for n in range(num_jobs)]
    with running_jobs() as jobs:
        while waiting or jobs:
            start_ready(waiting, done, jobs, num_jobs)
            time.sleep(0.1)
            for job in list(jobs):
                if job.process.poll() is not None:
                    jobs.remove(job)
                    finish_job(job)
                    done.update(job.chain)
            for number, line in enumerate(lines):
                line.set_description_str(say_running(jobs[number]) if number < len(jobs) else "")
    for line in lines:
        line.close()


def say_running(job: Job) -> str:
    """One line of the terminal: how long, what, and what it said last."""
    width = shutil.get_terminal_size().columns - 3
    return f"{job.describe()}  {job.read_last_line()}"[:width]


@contextlib.contextmanager
def running_jobs() -> Iterator[list[Job]]:
    """The running jobs; on an error or a signal they are stopped."""
    jobs: list[Job] = []
    try:
        yield jobs
    finally:
        for job in jobs:
            stop(job.process)


def start_ready(waiting: Graph, done: set[str], jobs: list[Job], num_jobs: int) -> None:
    """Start chains of stages whose upstream is done, as long as a job is free."""
    for stage, upstream in list(waiting.items()):
        is_taken = stage not in waiting  # by a chain that has just started
        if len(jobs) < num_jobs and upstream <= done and not is_taken:
            job = start_job(find_chain(stage, waiting, done))
            jobs.append(job)
            for started in job.chain:
                del waiting[started]


def start_job(chain: list[str]) -> Job:
    """Start dvc on a chain, in a process group of its own so that it can be stopped whole."""
    output = tempfile.TemporaryFile()  # noqa: SIM115  the job reads it later
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *chain]
    process = subprocess.Popen(
        command,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},  # lines are shown as they are printed
    )
    return Job(chain, process, output)


def finish_job(job: Job) -> None:
    """Print one line for a chain that ended well, and its warnings.

    Raises:
        InputError: it failed; its whole output has been printed.
    """
    job.output.seek(0)
    output = job.output.read().decode(errors="replace")
    if job.process.returncode != 0:
        tqdm.write(output)
        killed = KILLED.search(output)
        if killed or job.process.returncode == -signal.SIGKILL:
            name = killed[1] if killed else " → ".join(job.chain)
            raise InputError(f"{name} was killed, probably for want of memory: {LESS_MEMORY}")
        raise InputError(f"{' → '.join(job.chain)} failed: see its output above")
    for line in output.splitlines():
        if line.startswith("WARNING"):
            tqdm.write(line)
    tqdm.write(job.describe())


def run_module(*command: str) -> bool:
    """Run a module in the foreground; returns whether it ended well."""
    process = subprocess.Popen([sys.executable, "-m", *command], start_new_session=True)
    try:
        return process.wait() == 0
    except BaseException:
        stop(process)
        raise


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, such as dvc and its stage."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def exit_on_signals() -> None:
    """Turn Ctrl-C, SIGTERM and a closed terminal into SystemExit, which stops the children."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # under nohup it stays ignored
            signal.signal(number, lambda number, _: sys.exit(128 + number))
