"""Run stages side by side, in a few dvc processes that never outlive this one.

`python stages/run.py cli.jobs STARTER MODULE [ARGUMENT...]` is such a process: it runs a
module until SIGTERM comes or its starter has ended, and it ends between DVC's own writes.
"""

import contextlib
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from stages import run
from stages.cli.dvc_internals import is_dvc_busy, is_writing, write_entries_alone
from stages.cli.graph import Graph, Pipeline, find_chain, find_downstream
from stages.shared.die_with_parent import die_with_parent
from stages.shared.errors import LESS_MEMORY, InputError
from stages.shared.model_config import read_times

_TRAININGS = ("train_forecaster@", "train_classifier@")  # next to them all other stages are short
# what DVC prints of a stage that was sent SIGKILL, as the system does that has no memory left
_KILLED = re.compile(r"failed to reproduce '(\S+)': .*exited with (?:-9|137)$", re.MULTILINE)
STARTED = re.compile(rb"^Running stage '(\S+)':$", re.MULTILINE)  # as DVC prints it
_SKIPPED = re.compile(r"^(?:Stage )?'(\S+)' didn't change, skipping$", re.MULTILINE)
WARNING = re.compile(r"(\(\S+ pid=.+\) )?WARNING")  # of a stage, or of its task on a cluster
_TAIL_BYTES = 500  # of a job's output, which hold its last line
_RETRY_SECONDS = 0.02  # until this process asks again whether DVC has finished writing
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Job:
    """One dvc process that runs a chain of stages, one after another."""

    chain: list[str]
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    started: float = field(default_factory=time.monotonic)
    num_read: int = 0  # bytes of the output
    tail: bytes = b""

    def __post_init__(self) -> None:
        self.stage = self.chain[0]  # the one that runs now

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.started

    def read_last_line(self) -> str:
        """The last line with a letter or digit: how far it is. Notes which stage printed it."""
        descriptor = self.output.fileno()
        size = os.fstat(descriptor).st_size
        # pread: the processes that write share the position of this file
        new = os.pread(descriptor, size - self.num_read, self.num_read)
        self.num_read += len(new)
        text = self.tail + new
        for started in STARTED.findall(text):
            if started.decode() in self.chain:
                self.stage = started.decode()
        self.tail = text[-_TAIL_BYTES:]
        lines = self.tail.decode(errors="replace").split("\n")
        printed = [line.strip() for line in lines if any(map(str.isalnum, line))]
        return printed[-1] if printed else ""


def run_side_by_side(pipeline: Pipeline, stale: Graph, changed: set[str], num_jobs: int) -> None:
    """Run changed stages and, once its upstream is done, each stage that has changed by that.

    Args:
        pipeline: knows all stages.
        stale: those that may have to run, with what they read from among them.
        changed: those of them that have changed by now.
        num_jobs: how many stages run at a time, at most.

    Raises:
        InputError: a stage failed; its output is printed, and all that does not read from it has
            run.
    """
    waiting = dict(stale)
    # nothing upstream of these runs, which could give back what they miss
    to_run = {stage for stage, upstream in stale.items() if not upstream}
    expected = set(changed)  # to run, as far as is known
    done: set[str] = set()
    unchanged: set[str] = set()  # of those done
    failures: list[str] = []
    seconds = read_seconds(stale)  # now: a stage that starts removes what it wrote last time
    jobs: list[Job] = []
    # lines of the terminal below all that is printed; nothing where stdout is none
    open_line = partial(tqdm, bar_format="{desc}", disable=None, leave=False, file=sys.stdout)
    lines = [open_line(position=number) for number in range(1 + num_jobs)]
    try:
        while waiting or jobs:
            while to_ask := {stage for stage in waiting if waiting[stage] <= done} - to_run:
                if jobs and is_dvc_busy():
                    break  # a job starts or ends a stage: the next round asks
                found = ask_again(pipeline, to_ask)
                to_run |= found
                for stage in to_ask - found:
                    del waiting[stage]
                unchanged |= to_ask - found
                done |= to_ask - found
            _start_ready(waiting, to_run, done, jobs, num_jobs)
            time.sleep(0.1)
            for job in list(jobs):
                if job.process.poll() is not None:
                    jobs.remove(job)
                    count = count_stages(len(done) + len(job.chain), len(stale))
                    try:
                        unchanged |= finish_job(job, count)
                    except InputError as error:
                        failures.append(str(error))
                        for stage in find_downstream(set(job.chain), waiting) & waiting.keys():
                            del waiting[stage]
                    else:
                        done.update(job.chain)
            running = list_running(jobs)
            expected |= to_run | {job.stage for job in jobs}
            left = estimate_seconds(
                expected & waiting.keys(),
                {stage: since for stage, since in running.items() if stage in expected},
                seconds,
                num_jobs,
            )
            count = count_stages(len(stale) - len(waiting) - len(running), len(stale))
            texts = [format_remaining(count, len(unchanged), left), *map(format_running, jobs)]
            for number, line in enumerate(lines):
                line.set_description_str(texts[number] if number < len(texts) else "")
    finally:
        stop([job.process for job in jobs])
        for line in lines:
            line.close()
    if unchanged:
        print(format_remaining(count_stages(len(done), len(stale)), len(unchanged), None))
    if failures:
        raise InputError("; ".join(failures))


def ask_again(pipeline: Pipeline, stages: Iterable[str]) -> set[str]:
    """Those of some stages that have changed, now that their upstream has run.

    All of them where DVC cannot tell: the dvc that runs them waits for another one, or says why.
    """
    with signals_held():
        try:
            return pipeline.find_changed(stages)
        except (InputError, OSError):  # such as a file that an editor just replaces
            return set(stages)


def list_running(jobs: list[Job]) -> dict[str, float]:
    """The stages that jobs have yet to end, and how many seconds ago each job started."""
    running = {}
    for job in jobs:
        for stage in job.chain[job.chain.index(job.stage) :]:
            running[stage] = job.seconds
    return running


def format_running(job: Job) -> str:
    """One line of the terminal: how long, which stage, and what it printed last."""
    width = shutil.get_terminal_size().columns - 1
    last_line = job.read_last_line()
    return f"  {job.seconds:5.0f} s  {job.stage}  {last_line}"[:width]


def _start_ready(
    waiting: Graph, to_run: set[str], done: set[str], jobs: list[Job], num_jobs: int
) -> None:
    """Start chains that begin with a stage that has to run, as long as a job is free."""
    for stage in list(waiting):
        is_taken = stage not in waiting  # by a chain that has just started
        if len(jobs) < num_jobs and stage in to_run and not is_taken:
            chain = find_chain(stage, waiting, done)
            output = tempfile.TemporaryFile()  # noqa: SIM115  the job reads it later
            process = _start_module(
                *("dvc", "--wait-for-lock", "repro", "--single-item", *chain),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},  # lines are shown as they are printed
            )
            jobs.append(Job(chain, process, output))
            for started in chain:
                del waiting[started]


def _start_module(*command: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a module that this process can stop, and that does not outlive it."""
    job = [sys.executable, run.__file__, "cli.jobs", str(os.getpid()), *command]
    # a session of its own: Ctrl-C reaches it through us alone, and it ends with all it started
    return subprocess.Popen(job, start_new_session=True, **options)


def finish_job(job: Job, count: str) -> set[str]:
    """Print the warnings of a job that ended well, and one line: the count and what has run.

    Returns:
        Stages of its chain that had not changed.

    Raises:
        InputError: it failed; its whole output has been printed.
    """
    chain = " → ".join(job.chain)
    with job.output:
        job.output.seek(0)
        output = job.output.read().decode(errors="replace")
    if job.process.returncode != 0:
        _print_above(output)
        killed = _KILLED.search(output)
        if killed or job.process.returncode == -signal.SIGKILL:
            name = killed[1] if killed else chain
            raise InputError(f"{name} was killed, probably for want of memory: {LESS_MEMORY}")
        raise InputError(f"{chain} failed: see its output above")
    for line in output.splitlines():
        if WARNING.match(line):
            _print_above(line)
    unchanged = set(_SKIPPED.findall(output)) & set(job.chain)
    has_run = [stage for stage in job.chain if stage not in unchanged]
    if has_run:
        _print_above(f"{count} {job.seconds:5.0f} s  {' → '.join(has_run)}")
    return unchanged


def _print_above(text: str) -> None:
    """Print above the lines of the running jobs, and at once where stdout is no terminal."""
    tqdm.write(text)
    sys.stdout.flush()


def run_module(*command: str) -> bool:
    """Run a module in the foreground; returns whether it ended well."""
    process = _start_module(*command)
    try:
        return process.wait() == 0
    except BaseException:
        stop([process])
        raise


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End processes and what they started, such as dvc and its stage."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def exit_on_signals() -> None:
    """Turn Ctrl-C, SIGTERM and a closed terminal into SystemExit, which stops the children."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # under nohup it stays ignored
            signal.signal(number, lambda number, _: sys.exit(128 + number))


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Let signals wait, as long as DVC may write in this very process."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _run_as_job(starter: str, module: str, *arguments: str) -> None:
    """Run a module in this process."""
    # this holds DVC's lock for as long as the remote takes, and writes none of DVC's own files
    is_fetch = module == "dvc" and arguments[:1] == ("fetch",)

    def end_between_writes(*_: object) -> None:
        """End this process and all it started, now or as soon as DVC has written."""
        if is_writing() and not is_fetch:
            signal.setitimer(signal.ITIMER_REAL, _RETRY_SECONDS)
        else:
            os.killpg(0, signal.SIGKILL)

    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, end_between_writes)
    die_with_parent(int(starter))
    if module == "dvc":
        write_entries_alone()
        name, value = run.SAFE_PATH
        if os.environ.get(name) == value:
            del os.environ[name]  # stages start as they do under a plain `dvc repro`
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def read_seconds(stages: Iterable[str]) -> dict[str, float]:
    """Seconds that each training took last time, where its times.json is still here."""
    seconds = {}
    for stage in stages:
        if not stage.startswith(_TRAININGS):
            continue
        try:
            times = read_times(Path("data/trained", stage.partition("@")[2]))
        except (OSError, InputError, KeyError, TypeError, ValueError):
            continue  # gone or damaged: it is about to be written again
        seconds[stage] = (times.ended - times.started).total_seconds()
    return seconds


def estimate_seconds(
    waiting: Iterable[str], running: dict[str, float], seconds: dict[str, float], num_jobs: int
) -> float | None:
    """Seconds until the last training ends, or None if one of them never ended here.

    Args:
        waiting: stages that have not started.
        running: those that have -> how many seconds ago.
        seconds: trainings -> what they took last time.
        num_jobs: how many stages run at a time.
    """
    trainings = [stage for stage in [*waiting, *running] if stage.startswith(_TRAININGS)]
    if any(stage not in seconds for stage in trainings):
        return None
    left = [max(0.0, seconds[stage] - running.get(stage, 0.0)) for stage in trainings]
    return max([sum(left) / num_jobs, *left])


def count_stages(num_done: int, num_stages: int) -> str:
    """The same width all the way: `[ 3/48]`."""
    return f"[{num_done:{len(str(num_stages))}}/{num_stages}]"


def format_remaining(count: str, num_unchanged: int, seconds: float | None) -> str:
    """One line: the count, how many of them did not have to run, and minutes if known."""
    text = f"{count} stages done"
    if num_unchanged:
        text += f", {num_unchanged} of them unchanged"
    if seconds:
        left = "less than a minute" if seconds < 60 else f"about {seconds / 60:.0f} min"
        text += f", {left} of training left"
    return text


if __name__ == "__main__":
    _run_as_job(*sys.argv[1:])
