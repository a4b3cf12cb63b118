"""Run independent stages in parallel, in a few dvc processes that end with this one.

`python stages/run.py cli.jobs STARTER MODULE [ARGUMENT...]` is such a process. It runs a module. On
SIGTERM, or when its starter has ended, it ends too, but never while DVC writes one of its files.
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

_TRAININGS = ("train_forecaster@", "train_classifier@")  # all other stages are short
# printed by DVC if a stage got SIGKILL, as when the system runs out of memory
_KILLED = re.compile(r"failed to reproduce '(\S+)': .*exited with (?:-9|137)$", re.MULTILINE)
STARTED = re.compile(rb"^Running stage '(\S+)':$", re.MULTILINE)  # as DVC prints it
_SKIPPED = re.compile(r"^(?:Stage )?'(\S+)' didn't change, skipping$", re.MULTILINE)
WARNING = re.compile(r"(\(\S+ pid=.+\) )?WARNING")  # of a stage, or of its task on a cluster
_TAIL_BYTES = 500  # at the end of a job's output, enough for its last line
_RETRY_SECONDS = 0.02  # between checks whether DVC has finished writing
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
        """Seconds since the job started."""
        return time.monotonic() - self.started

    def read_last_line(self) -> str:
        """Return the last printed line with a letter or digit, and note which stage runs now."""
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
    """Run changed stages, and then each stage downstream that has changed by that.

    Args:
        pipeline: all stages.
        stale: stages that may have to run, each with the stale stages that it reads from.
        changed: the stale stages that are known to have changed.
        num_jobs: the most stages that run at the same time.

    Raises:
        InputError: if a stage failed. Its output is printed, and all stages that do not read from
            it have run.
    """
    waiting = dict(stale)
    # known to have changed: no stage that could restore a missing file runs before them
    to_run = {stage for stage, upstream in stale.items() if not upstream}
    expected = set(changed)  # stages that are expected to run
    done: set[str] = set()
    unchanged: set[str] = set()  # of those done
    failures: list[str] = []
    seconds = read_seconds(stale)  # read now: a stage removes its outs when it starts
    jobs: list[Job] = []
    # status lines at the bottom of a terminal; disabled if stdout is not one
    open_line = partial(tqdm, bar_format="{desc}", disable=None, leave=False, file=sys.stdout)
    lines = [open_line(position=number) for number in range(1 + num_jobs)]
    try:
        while waiting or jobs:
            while to_check := {stage for stage in waiting if waiting[stage] <= done} - to_run:
                if jobs and is_dvc_busy():
                    break  # a job starts or ends a stage: try again in the next round
                found = find_changed_now(pipeline, to_check)
                to_run |= found
                for stage in to_check - found:
                    del waiting[stage]
                unchanged |= to_check - found
                done |= to_check - found
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


def find_changed_now(pipeline: Pipeline, stages: Iterable[str]) -> set[str]:
    """Return which of these stages have changed, now that their upstream has run.

    If DVC cannot find out, all are returned: the dvc process that runs them reports the reason.
    """
    with signals_held():
        try:
            return pipeline.find_changed(stages)
        except (InputError, OSError):  # for example while an editor replaces a file
            return set(stages)


def list_running(jobs: list[Job]) -> dict[str, float]:
    """Return the stages that jobs have not finished, with the seconds since each job started."""
    running = {}
    for job in jobs:
        for stage in job.chain[job.chain.index(job.stage) :]:
            running[stage] = job.seconds
    return running


def format_running(job: Job) -> str:
    """Format a status line: seconds, stage, and the last line it printed."""
    width = shutil.get_terminal_size().columns - 1
    last_line = job.read_last_line()
    return f"  {job.seconds:5.0f} s  {job.stage}  {last_line}"[:width]


def _start_ready(
    waiting: Graph, to_run: set[str], done: set[str], jobs: list[Job], num_jobs: int
) -> None:
    """Start chains of stages while fewer than `num_jobs` jobs run."""
    for stage in list(waiting):
        is_taken = stage not in waiting  # by a chain that was just started
        if len(jobs) < num_jobs and stage in to_run and not is_taken:
            chain = find_chain(stage, waiting, done)
            output = tempfile.TemporaryFile()  # noqa: SIM115  the job reads it later
            process = _start_module(
                *("dvc", "--wait-for-lock", "repro", "--single-item", *chain),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},  # show lines at once
            )
            jobs.append(Job(chain, process, output))
            for started in chain:
                del waiting[started]


def _start_module(*command: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a module in a process that ends with this one."""
    job = [sys.executable, run.__file__, "cli.jobs", str(os.getpid()), *command]
    # in a session of its own, so that Ctrl-C reaches it only through this process
    return subprocess.Popen(job, start_new_session=True, **options)


def finish_job(job: Job, count: str) -> set[str]:
    """Print the warnings of a finished job, and a line with the count and the stages that ran.

    Returns:
        The stages of its chain that had not changed.

    Raises:
        InputError: if the job failed; its whole output has been printed.
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
            raise InputError(f"{name} was killed, probably because memory ran out: {LESS_MEMORY}")
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
    """Print above the status lines, and flush at once."""
    tqdm.write(text)
    sys.stdout.flush()


def run_module(*command: str) -> bool:
    """Run a module in the foreground, and return whether it succeeded."""
    process = _start_module(*command)
    try:
        return process.wait() == 0
    except BaseException:
        stop([process])
        raise


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End processes and their children, such as dvc and its stage."""
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
    """Hold signals back while DVC may write in this process."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _run_as_job(starter: str, module: str, *arguments: str) -> None:
    """Run a module in this process."""
    # a fetch holds DVC's lock for long, but writes none of DVC's own files
    is_fetch = module == "dvc" and arguments[:1] == ("fetch",)

    def end_between_writes(*_: object) -> None:
        """End this process and its children, at once or when DVC has finished writing."""
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
            del os.environ[name]  # stages start as under a plain `dvc repro`
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def read_seconds(stages: Iterable[str]) -> dict[str, float]:
    """Return the seconds that each training took last time, from times.json."""
    seconds = {}
    for stage in stages:
        if not stage.startswith(_TRAININGS):
            continue
        try:
            times = read_times(Path("data/trained", stage.partition("@")[2]))
        except (OSError, InputError, KeyError, TypeError, ValueError):
            continue  # missing or damaged; it will be written again
        seconds[stage] = (times.ended - times.started).total_seconds()
    return seconds


def estimate_seconds(
    waiting: Iterable[str], running: dict[str, float], seconds: dict[str, float], num_jobs: int
) -> float | None:
    """Estimate the seconds until the last training ends; None if the time of one is not known.

    Args:
        waiting: stages that have not started.
        running: started stages -> seconds since their start.
        seconds: trainings -> seconds that they took last time.
        num_jobs: the most stages that run at the same time.
    """
    trainings = [stage for stage in [*waiting, *running] if stage.startswith(_TRAININGS)]
    if any(stage not in seconds for stage in trainings):
        return None
    left = [max(0.0, seconds[stage] - running.get(stage, 0.0)) for stage in trainings]
    return max([sum(left) / num_jobs, *left])


def count_stages(num_done: int, num_stages: int) -> str:
    """Format a count with constant width: `[ 3/48]`."""
    return f"[{num_done:{len(str(num_stages))}}/{num_stages}]"


def format_remaining(count: str, num_unchanged: int, seconds: float | None) -> str:
    """Format the count, the number of unchanged stages, and the remaining time if known."""
    text = f"{count} stages done"
    if num_unchanged:
        text += f", {num_unchanged} of them unchanged"
    if seconds:
        left = "less than a minute" if seconds < 60 else f"about {seconds / 60:.0f} min"
        text += f", {left} of training left"
    return text


if __name__ == "__main__":
    _run_as_job(*sys.argv[1:])
