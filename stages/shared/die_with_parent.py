"""A process that ends with the one that started it, however that one ended.

SIGKILL gives nobody the time to stop his children, and a trainer left alone would write over what
the next run makes. The kernel's own notice (PR_SET_PDEATHSIG) is of no help here: it tells of the
parent, and DVC starts a stage by a shell, of which dash and fish stay between the two and live on.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

WATCH_SECONDS = 0.3


def die_with_starter() -> None:
    """Let SIGTERM reach this process once DVC, make or whatever else started it has ended."""
    starter = _find_starter()
    if _is_adoptive(starter):
        os.kill(os.getpid(), signal.SIGTERM)
    _watch_beside(_find_starter, starter)


def die_with_parent(parent: int) -> None:
    """Let SIGTERM reach this process once that one is not its parent any more."""
    _watch_beside(os.getppid, parent)


def _watch_beside(find: Callable[[], int], process: int) -> None:
    threading.Thread(target=_watch, args=[find, process], daemon=True).start()


def _watch(find: Callable[[], int], process: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # the main thread takes them
    while find() == process:
        time.sleep(WATCH_SECONDS)
    # to the main thread, so that whatever it waits for is interrupted
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _find_starter() -> int:
    """Id of the process that started this one, past a shell that runs only this command.

    Who loses his parent is adopted: then it is another.
    """
    parent = os.getppid()
    process = Path("/proc", str(parent))
    try:
        command = (process / "cmdline").read_bytes().split(b"\0")
        after_name = (process / "stat").read_text(encoding="utf-8").rpartition(") ")[2]
    except OSError:  # no Linux: the shells of macOS make way for a single command
        return parent
    is_shell = command[0].endswith(b"sh") and command[-3:-2] == [b"-c"]  # sh -c COMMAND
    return int(after_name.split()[1]) if is_shell else parent


def _is_adoptive(starter: int) -> bool:
    """Whether a process adopted this one, because its starter ended before it could look.

    DVC and make leave their children in their own process group.
    """
    try:
        return starter == 0 or os.getpgid(starter) != os.getpgrp()
    except ProcessLookupError:
        return True
