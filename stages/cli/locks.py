"""Who works in this folder: a lock of `make repro`, and those of DVC that it meets."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.shared.errors import InputError

FOLDER = Path(".dvc/tmp")
# DVC writes dvc.lock in place while it holds the first, and rwlock while it holds the second
DVC_LOCKS = ("lock", "rwlock.lock")


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


def repair_rwlock() -> None:
    """Remove the list of busy files if a dvc was killed while it wrote that: DVC would stop at it.

    It is written in place, in some microseconds.
    """
    path = FOLDER / "rwlock"
    with (FOLDER / DVC_LOCKS[1]).open("a", encoding="utf-8") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # nobody is writing
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError:
            pass
        except ValueError:
            path.unlink()
            print(f"{path}, damaged by a dvc that was killed, is removed")


def is_writing() -> bool:
    """Whether this process holds a lock of DVC, under which it writes."""
    for name in DVC_LOCKS:
        path = FOLDER / name
        try:
            with path.open(encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue
        except BlockingIOError:  # held, by whom the file says
            if path.read_text(encoding="utf-8").strip() == str(os.getpid()):
                return True
    return False
