"""Calls side by side: on the cores of this machine by joblib's loky, or on a Ray cluster."""

import contextlib
import functools
import io
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from stages.ray_cluster.tasks import connect, run_tasks
from stages.shared.die_with_parent import die_with_parent
from stages.shared.errors import InputError

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


def run_side_by_side(calls: Sequence[Callable[[], T]], device: str) -> Iterator[tuple[int, T]]:
    """Number and result of each call, as they end: on the cluster of RAY_ADDRESS, or else here.

    Args:
        calls: that another process can make.
        device: of params.yaml, which a node of the cluster has to have.

    Raises:
        InputError: no number of workers, or the cluster is not there, or not fit for it.
    """
    if os.environ.get("RAY_ADDRESS") and calls:
        return run_on_cluster(calls, device)
    return run_here(calls, min(find_num_workers(), len(calls) or 1))


def run_on_cluster(calls: Sequence[Callable[[], T]], device: str) -> Iterator[tuple[int, T]]:
    """As many at once as the cluster has cores, or GPUs; tasks end with this process."""
    ray = connect(os.environ["RAY_ADDRESS"])
    # as bytes: in what Ray unpickles itself no array can be written, of which PyTorch warns
    pickled = [(pickle.dumps(call),) for call in calls]
    return run_tasks(ray, "trial", device, unpickle_and_call, pickled)


def unpickle_and_call(pickled: bytes) -> Any:
    """Make a call that was sent by this project."""
    return call_quietly(pickle.loads(pickled))


def run_here(calls: Sequence[Callable[[], T]], num_workers: int) -> Iterator[tuple[int, T]]:
    """In so many processes; with one the calls are made in this one."""
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
