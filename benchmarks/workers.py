"""Independent jobs side by side: results are the same however many run at once."""

import io
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Generic, TypeVar

from stages.shared.reproducible import make_reproducible

T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """A call that another process can make: of a function of a module, or a partial of one."""

    label: str
    call: Callable[[], T]


def run_jobs(jobs: list[Job[T]], num_workers: int) -> list[T]:
    """Results in the order of the jobs; a line to stderr tells of each that is done."""
    started = time.monotonic()
    pool = ProcessPoolExecutor(num_workers, get_context("spawn"), make_reproducible)
    futures: dict[Future[T], Job[T]] = {}
    try:
        for job in jobs:
            futures[pool.submit(call_silently, job)] = job
        for number, future in enumerate(as_completed(futures), start=1):
            future.result()  # raises what the job raised
            seconds = time.monotonic() - started
            line = f"{seconds:6.0f} s  {number} of {len(jobs)}: {futures[future].label}"
            print(line, file=sys.stderr)
    finally:
        pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


def call_silently(job: Job[T]) -> T:
    """Call a job without its own progress, which would mix with that of others."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return job.call()
