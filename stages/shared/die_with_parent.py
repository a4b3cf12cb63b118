"""End a process when the process that started it has ended, even by SIGKILL.

A killed process cannot stop its children, and a training left running would overwrite the results
of the next run. Linux's PR_SET_PDEATHSIG does not help: it watches the parent, which is a shell
that DVC starts and that outlives DVC.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path


def die_with_starter() -> None:
    """Send SIGTERM to this process when the process that started it (DVC, make) has ended."""
    starter = _find_starter()
    try:  # DVC and make leave their children in their own process group
        is_adoptive = starter == 0 or os.getpgid(starter) != os.getpgrp()
    except ProcessLookupError:
        is_adoptive = True
    if is_adoptive:  # the starter has ended already
        os.kill(os.getpid(), signal.SIGTERM)
    _start_watch(_find_starter, starter)


def die_with_parent(parent: int) -> None:
    """Send SIGTERM to this process when `parent` is not its parent any more."""
    _start_watch(os.getppid, parent)


def _start_watch(find: Callable[[], int], process: int) -> None:
    """Start a thread that sends SIGTERM to this process when `find` returns another process."""

    def watch() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # for the main thread
        while find() == process:
            time.sleep(0.3)
        # to the main thread, so that a blocking call there is interrupted
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _find_starter() -> int:
    """Return the id of the process that started this one, skipping a shell `sh -c COMMAND`."""
    parent = os.getppid()
    process = Path("/proc", str(parent))
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")
        after_name = (process / "stat").read_text(encoding="utf-8").rpartition(") ")[2]
    except OSError:  # not Linux: the shells of macOS replace themselves by a single command
        return parent
    is_shell = command[0].endswith(b"sh") and command[-3:-2] == [b"-c"]  # sh -c COMMAND
    return int(after_name.split()[1]) if is_shell else parent
