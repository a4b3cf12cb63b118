"""Calls in parallel: on the cores of this machine by joblib's loky, or on a Ray cluster."""

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

_T = TypeVar("_T")


def run_in_workers(calls: Sequence[Callable[[], _T]], device: str) -> Iterator[tuple[int, _T]]:
    """Number and result of each call, as they end: on the cluster of RAY_ADDRESS, or else here.

    The cluster runs as many at once as it has cores, or GPUs; its tasks end with this process.
    Here SEARCH_JOBS run at once, by default as many as there are cores. It is an environment
    variable and no param, since it changes no result.

    Args:
        calls: that another process can make.
        device: of params.yaml, which a node of the cluster has to have.

    Raises:
        InputError: SEARCH_JOBS is not a number above 0, or the cluster cannot be used.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address or not calls:
        jobs = os.environ.get("SEARCH_JOBS") or str(cpu_count())
        if not jobs.isdecimal() or int(jobs) == 0:
            raise InputError(f"SEARCH_JOBS is {jobs!r}: give a number above 0, or leave it out")
        return run_in_processes(calls, min(int(jobs), len(calls) or 1))
    ray = connect(address)
    # as bytes: arrays that Ray unpickles itself are read-only, of which PyTorch warns
    pickled = [(pickle.dumps(call),) for call in calls]
    return run_tasks(ray, "trial", device, _unpickle_and_call, pickled)


def _unpickle_and_call(pickled: bytes) -> Any:
    return _call_quietly(pickle.loads(pickled))


def run_in_processes(
    calls: Sequence[Callable[[], _T]], num_workers: int
) -> Iterator[tuple[int, _T]]:
    """Number and result of each call, as they end.

    Args:
        calls: that another process can make.
        num_workers: processes; with one the calls are made in this process.
    """
    jobs = []
    for number, call in enumerate(calls):
        jobs.append(delayed(_call_in_worker)(os.getpid(), number, call))
    # arrays are sent, not shared: shared ones are read-only, of which PyTorch warns
    parallel = Parallel(num_workers, return_as="generator_unordered", batch_size=1, max_nbytes=None)
    try:
        yield from parallel(jobs)
    finally:
        if num_workers > 1:
            get_reusable_executor(reuse=True).terminate(kill_workers=True)


def _call_in_worker(starter: int, number: int, call: Callable[[], _T]) -> tuple[int, _T]:
    """Make a call in a process that ends when the process that started it ends."""
    if os.getpid() != starter:
        _tie_to(starter)
    return number, _call_quietly(call)


@functools.cache
def _tie_to(starter: int) -> None:
    """End this process with the one that started it, which handles Ctrl-C; once per process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.set_lock(threading.RLock())  # tqdm's own lock outlives a process that is killed
    die_with_parent(starter)


def _call_quietly(call: Callable[[], _T]) -> _T:
    """Make a call without its own output, which would mix with that of other calls."""
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        return call()
