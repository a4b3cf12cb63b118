"""Run the pipeline, independent stages side by side, then track it and print the results.

`python -m stages.commands.repro [--jobs N]`, what `make repro` calls. With SURNAMES_ZIP set, the
surnames are taken from that zip: DVC sees no environment variable, so the stage is forced here.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tqdm import tqdm

from stages.commands.results import print_results
from stages.shared.errors import InputError, exit_on_input_error
from stages.surnames.archive import read_archive, read_names_folder

LAST = "track"  # reads what all others write, so it is left to the final `dvc repro`
RAW = Path("data/raw")
Graph = dict[str, set[str]]  # stage -> stages that it reads from


@dataclass
class Job:
    """One dvc process that runs a chain of stages, one after another."""

    chain: list[str]
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    started: float = field(default_factory=time.monotonic)


def read_graph() -> tuple[Graph, set[str]]:
    """The stages with their upstream stages, in the order of dvc.yaml, and the changed ones."""
    from dvc.repo import Repo  # half a second that `--help` need not wait for

    with Repo() as repo:
        graph = {
            stage.addressing: {upstream.addressing for upstream in repo.index.graph[stage]}
            for stage in repo.index.stages
        }
        return graph, set(repo.status())


def find_stale(graph: Graph, changed: set[str]) -> Graph:
    """The part of the graph that may have to run: changed stages and all that reads from them."""
    stale = set(changed & graph.keys())
    while more := {stage for stage in graph.keys() - stale if graph[stage] & stale}:
        stale |= more
    return {stage: graph[stage] & stale for stage in graph if stage in stale and stage != LAST}


def extend_chain(stage: str, waiting: Graph, done: set[str]) -> list[str]:
    """Stages that one process can run in a row, as long as just one follows.

    A dvc process costs a second to start, more than most stages need.
    """
    chain = [stage]
    while True:
        reached = done | set(chain)
        ready = [s for s, upstream in waiting.items() if chain[-1] in upstream <= reached]
        if len(ready) != 1:
            return chain
        chain += ready


def start_job(chain: list[str]) -> Job:
    """Start dvc on a chain, in a process group of its own so that it can be stopped whole."""
    output = tempfile.TemporaryFile()  # noqa: SIM115  the job reads it later
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *chain]
    process = subprocess.Popen(
        command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    return Job(chain, process, output)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, such as dvc and its stage."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()


@contextlib.contextmanager
def running_jobs() -> Iterator[list[Job]]:
    """The running jobs; on an error or a signal they are stopped."""
    jobs: list[Job] = []
    try:
        yield jobs
    finally:
        for job in jobs:
            stop(job.process)


def exit_on_signals() -> None:
    """Turn Ctrl-C, SIGTERM and a closed terminal into SystemExit, which stops the children."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # under nohup it stays ignored
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def run_side_by_side(stale: Graph, num_jobs: int) -> None:
    """Run stale stages, each once its upstream is done, at most `num_jobs` at a time.

    Raises:
        InputError: a stage failed; its output is printed, and the running ones are stopped.
    """
    waiting, done = dict(stale), set[str]()
    lines = [tqdm(bar_format="  {desc}", disable=None, position=n) for n in range(num_jobs)]
    with running_jobs() as jobs:
        while waiting or jobs:
            for stage in [s for s, upstream in waiting.items() if upstream <= done]:
                if len(jobs) < num_jobs and stage in waiting:
                    jobs.append(start_job(extend_chain(stage, waiting, done)))
                    for started in jobs[-1].chain:
                        del waiting[started]
            time.sleep(0.1)
            for job in [job for job in jobs if job.process.poll() is not None]:
                jobs.remove(job)
                finish_job(job)
                done |= set(job.chain)
            for line, job in zip(lines, [*jobs, *[None] * num_jobs], strict=False):
                line.set_description_str(_say_running(job) if job else "")
    for line in lines:
        line.close()


def _say_running(job: Job) -> str:
    return f"{time.monotonic() - job.started:5.0f} s  {' → '.join(job.chain)}"


def finish_job(job: Job) -> None:
    """Print one line for a chain that ended well, and its warnings.

    Raises:
        InputError: it failed; its whole output has been printed.
    """
    job.output.seek(0)
    output = job.output.read().decode(errors="replace")
    if job.process.returncode == 0:
        warnings = [line for line in output.splitlines() if line.startswith("WARNING")]
        tqdm.write("\n".join([*warnings, _say_running(job)]))
        return
    tqdm.write(output)
    raise InputError(f"{' → '.join(job.chain)} failed: see its output above")


def needs_copy(copy: str | None) -> bool:
    """Whether SURNAMES_ZIP names other surnames than data/raw holds."""
    if not copy or not Path(copy).is_file():
        return bool(copy)  # a wrong path: let the stage say so
    held = read_names_folder(RAW)
    return held != read_archive(Path(copy).read_bytes(), copy)


def run_module(*command: str) -> int:
    """Run a module in the foreground; returns its exit status."""
    process = subprocess.Popen([sys.executable, "-m", *command], start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        stop(process)
        raise


def run_pipeline(num_jobs: int) -> None:
    """Bring the workspace up to date, all but tracking.

    Raises:
        InputError: a stage failed.
    """
    if needs_copy(os.environ.get("SURNAMES_ZIP")) and run_module(
        "dvc", "repro", "--force", "--single-item", "download_surnames"
    ):
        raise InputError("the surnames could not be taken from SURNAMES_ZIP: see above")
    graph, changed = read_graph()
    stale = find_stale(graph, changed)
    if num_jobs > 1 and stale:
        run_side_by_side(stale, num_jobs)
    elif stale and run_module("dvc", "repro", *(stage for stage in graph if stage != LAST)):
        raise InputError("a stage failed: see its output above")


def track() -> bool:
    """Let DVC record the tracking stage, and cover a store that was deleted since."""
    if run_module("dvc", "repro", "--quiet"):  # finds nothing to do but this stage
        return False
    return run_module("stages.tracking.track") == 0


def main() -> None:
    """Run, track, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="default: all cores")
    run_pipeline(parser.parse_args().jobs)
    tracked = track()
    print_results(Path("data/evaluated"))
    if not tracked:
        raise InputError(
            "only tracking is missing: all stages ran. Once MLflow answers, type `make sync`"
        )
    print("\nmake ui shows the runs in MLflow.")


if __name__ == "__main__":
    exit_on_signals()
    with exit_on_input_error():
        main()
