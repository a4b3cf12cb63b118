"""Calls side by side: on the cores of this machine by joblib's loky, later perhaps elsewhere."""

import contextlib
import functools
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from stages.shared.errors import InputError
from stages.shared.lifeline import die_with_parent

T = TypeVar("T")
JOBS = "SEARCH_JOBS"  # no param: it changes no result


def find_num_workers() -> int:
    """As many as SEARCH_JOBS says, or as there are cores.

    Raises:
        InputError: it is no number above 0.
    """
    jobs = os.environ.get(JOBS) or str(cpu_count())
    if not jobs.isdecimal() or int(jobs) == 0:
        raise InputError(f"{JOBS} is {jobs!r}: give a number above 0, or leave it out")
    return int(jobs)


def run_side_by_side(calls: Sequence[Callable[[], T]], num_workers: int) -> Iterator[tuple[int, T]]:
    """Number and result of each call, as they end.

    Only calls and results travel, so a cluster can take the place of these workers: it is to call
    each of them as `call_quietly` does, and to end them with this process.

    Args:
        calls: that another process can make.
        num_workers: processes; with one the calls are made here.
    """
    jobs = []
    for number, call in enumerate(calls):
        jobs.append(delayed(call_in_worker)(os.getpid(), number, call))
    # arrays are sent, not shared: shared ones cannot be written, of which PyTorch warns
    parallel = Parallel(num_workers, return_as="generator_unordered", batch_size=1, max_nbytes=None)
    try:
        yield from parallel(jobs)
    finally:
        if num_workers > 1:
            get_reusable_executor(reuse=True).terminate(kill_workers=True)


def call_in_worker(starter: int, number: int, call: Callable[[], T]) -> tuple[int, T]:
    """Make a call in a process that ends with its starter, however that ends."""
    if os.getpid() != starter:
        tie_to(starter)
    return number, call_quietly(call)


@functools.cache
def tie_to(starter: int) -> None:
    """End this process with its starter, which alone hears Ctrl-C; once a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.set_lock(threading.RLock())  # its own outlives a process that is killed
    die_with_parent(starter)


def call_quietly(call: Callable[[], T]) -> T:
    """Make a call without its own progress, which would mix with that of others."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        return call()
