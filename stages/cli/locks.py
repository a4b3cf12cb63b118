"""Who works in this folder: the lock of `make repro`."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.shared.errors import InputError

FOLDER = Path(".dvc/tmp")


@contextmanager
def lock_workspace() -> Iterator[None]:
    """One `make repro` at a time.

    Raises:
        InputError: one is running.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "repro.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"make repro is running here already ({file.read()}): wait until it has ended"
            ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield
