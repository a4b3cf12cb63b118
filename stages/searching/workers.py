"""Run calls in parallel: in processes on this machine (joblib), or on a Ray cluster."""

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
    """Yield the number and the result of each call, in the order in which they finish.

    They run on the cluster of RAY_ADDRESS if it is set, as many at once as it has cores or GPUs.
    Otherwise SEARCH_JOBS processes run on this machine, by default one per core; this is an
    environment variable and not a param, since it changes no result.

    Args:
        calls: functions that can be pickled.
        device: `device` in params.yaml, which a node of the cluster needs to have.

    Raises:
        InputError: if SEARCH_JOBS is not a number above 0, or the cluster cannot be used.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address or not calls:
        jobs = os.environ.get("SEARCH_JOBS") or str(cpu_count())
        if not jobs.isdecimal() or int(jobs) == 0:
            raise InputError(f"SEARCH_JOBS is {jobs!r}: give a number above 0, or leave it out")
        return run_in_processes(calls, min(int(jobs), len(calls) or 1))
    ray = connect(address)
    # pickled here: arrays that Ray unpickles are read-only, and PyTorch warns about these
    pickled = [(pickle.dumps(call),) for call in calls]
    return run_tasks(ray, "trial", device, _unpickle_and_call, pickled)


def _unpickle_and_call(pickled: bytes) -> Any:
    return _call_quietly(pickle.loads(pickled))


def run_in_processes(
    calls: Sequence[Callable[[], _T]], num_workers: int
) -> Iterator[tuple[int, _T]]:
    """Yield the number and the result of each call, in the order in which they finish.

    Args:
        calls: functions that can be pickled.
        num_workers: number of processes; with one, the calls run in this process.
    """
    jobs = []
    for number, call in enumerate(calls):
        jobs.append(delayed(_call_in_worker)(os.getpid(), number, call))
    # max_nbytes: arrays in shared memory would be read-only, and PyTorch warns about these
    parallel = Parallel(num_workers, return_as="generator_unordered", batch_size=1, max_nbytes=None)
    try:
        yield from parallel(jobs)
    finally:
        if num_workers > 1:
            get_reusable_executor(reuse=True).terminate(kill_workers=True)


def _call_in_worker(starter: int, number: int, call: Callable[[], _T]) -> tuple[int, _T]:
    """Run a call in a process that ends when the process that started it ends."""
    if os.getpid() != starter:
        _tie_to(starter)
    return number, _call_quietly(call)


@functools.cache
def _tie_to(starter: int) -> None:
    """Make this process end when `starter` ends; once per process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starter handles Ctrl-C
    tqdm.set_lock(threading.RLock())  # tqdm's lock between processes stays after a kill
    die_with_parent(starter)


def _call_quietly(call: Callable[[], _T]) -> _T:
    """Run a call without its output, which would mix with the output of other calls."""
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        return call()
