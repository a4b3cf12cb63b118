"""The one error that people are meant to read, and what a machine may lack, in one line too."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stages.shared.die_with_parent import die_with_starter

MEMORY = re.compile(r"not enough memory|can't allocate memory|cannot allocate memory|out of memory")
LESS_MEMORY = (
    "lower batch, the sizes of the network or iterations in params.yaml, or let fewer stages run "
    "at once: make repro JOBS=1"
)
DISK = re.compile("PytorchStreamWriter|unexpected pos|iostream error")  # what torch.save says
PASSWORD = re.compile(r"(://[^/@:\s]*:)[^/\s]*@")  # http://user:password@host
PASSWORD_FIELD = re.compile(r"([?&]\w*password=)[^&\s]*")  # postgresql://host/db?password=…
WAYS_OUT = {
    errno.ENOSPC: "the disk is full: free some space and repeat",
    errno.EDQUOT: "your share of the disk is full: free some space and repeat",
    errno.EROFS: "the file system can only be read: work in a copy, or mount it for writing",
    errno.EACCES: "you may not do this: give yourself the right, or work in a copy of your own",
    errno.EPERM: "you may not do this: give yourself the right, or work in a copy of your own",
}


class InputError(Exception):
    """What a person gave is wrong: the message says what, where and what to do."""


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """End the process with one line and status 1 instead of a traceback.

    A stage also ends with the dvc that runs it.
    """
    sys.excepthook = print_exception
    if "DVC_STAGE" in os.environ:
        die_with_starter()
    try:
        yield
        sys.stdout.flush()  # what `head` no longer reads shows here, or else at the very end
        if "DVC_STAGE" in os.environ and "torch" in sys.modules:
            os._exit(0)  # all is written, and PyTorch would take half a second to leave
    except InputError as error:
        sys.exit(hide_passwords(f"error: {error}"))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        sys.exit(1)
    except (OSError, MemoryError, RuntimeError) as error:
        message = explain_lack(error)
        if message is None:
            raise
        sys.exit(hide_passwords(f"error: {message}"))


def explain_lack(error: Exception) -> str | None:
    """What the machine lacks and what to do, if that is what an error is about."""
    if is_out_of_memory(error):
        return f"memory ran out ({summarize(error)}): {LESS_MEMORY}"
    if isinstance(error, RuntimeError) and DISK.search(str(error)):
        return f"weights could not be written ({summarize(error)}): is the disk full? free some"
    if isinstance(error, OSError) and error.errno in WAYS_OUT:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{WAYS_OUT[error.errno]}"
    return None


def hide_passwords(text: str) -> str:
    """The same without the passwords of the addresses in it."""
    return PASSWORD_FIELD.sub(r"\1***", PASSWORD.sub(r"\1***@", text))


def print_exception(*error: Any) -> None:
    """Print a traceback without the passwords in it, wherever they come from."""
    sys.stderr.write(hide_passwords("".join(traceback.format_exception(*error))))


def is_out_of_memory(error: Exception) -> bool:
    """Whether NumPy, PyTorch or the system had no memory to give."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or bool(MEMORY.search(str(error).lower()))


def summarize(error: Exception) -> str:
    """First line of an error that can fill a page."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
