"""Errors that people are meant to read, each in one line: wrong input, no memory, no disk space."""

import errno
import re

_MEMORY = re.compile(
    r"not enough memory|can't allocate memory|cannot allocate memory|out of memory"
)
LESS_MEMORY = (
    "lower batch, the sizes of the network or iterations in params.yaml, or let fewer stages run "
    "at once: make repro JOBS=1"
)
_DISK = re.compile("PytorchStreamWriter|unexpected pos|iostream error")  # messages of torch.save
_PASSWORD = re.compile(r"(://[^/@:\s]*:)[^/\s]*@")  # http://user:password@host
_PASSWORD_FIELD = re.compile(r"([?&]\w*password=)[^&\s]*")  # postgresql://host/db?password=…
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and repeat",
    errno.EDQUOT: "your share of the disk is full: free some space and repeat",
    errno.EROFS: "the file system can only be read: work in a copy, or mount it for writing",
    errno.EACCES: "you may not do this: give yourself the right, or work in a copy of your own",
    errno.EPERM: "you may not do this: give yourself the right, or work in a copy of your own",
}


class InputError(Exception):
    """Wrong input; the message contains what is wrong, where, and what to do."""


def explain_error(error: Exception) -> str | None:
    """One line without passwords: what is wrong and what to do; None if the error is a bug."""
    message = None
    if isinstance(error, InputError):
        message = str(error)
    elif isinstance(error, (OSError, MemoryError, RuntimeError)):
        if is_out_of_memory(error):
            message = f"memory ran out ({summarize(error)}): {LESS_MEMORY}"
        elif isinstance(error, RuntimeError) and _DISK.search(str(error)):
            reason = summarize(error)
            message = f"weights could not be written ({reason}): is the disk full? free some"
        elif isinstance(error, OSError) and error.errno in _ADVICE:
            where = f"{error.filename}: " if error.filename else ""
            message = f"{where}{_ADVICE[error.errno]}"
    return None if message is None else hide_passwords(message)


def hide_passwords(text: str) -> str:
    """The same without the passwords of the addresses in it."""
    return _PASSWORD_FIELD.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def is_out_of_memory(error: Exception) -> bool:
    """Whether NumPy, PyTorch or the system had no memory to give."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or bool(_MEMORY.search(str(error).lower()))


def summarize(error: Exception) -> str:
    """First line of an error that can fill a page."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
