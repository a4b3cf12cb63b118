"""Read, lock and replace files that others may have written, damaged or linked elsewhere."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from stages.shared.errors import InputError

_MOST_BYTES = 2**26  # of a file of DVC, of params, scores or a table


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: it is a pipe or a device, which may never end, a folder, or too large.
        OSError: it is missing or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no regular file: delete it, git or `dvc checkout` has another")
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise InputError(
            f"{path} has more than {_MOST_BYTES:,} bytes: nothing here writes so many, delete it"
        )
    return content


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside a file, of what takes its place when the block ends well.

    A kill or a full disk leaves the old file as it was. A link in its place is replaced, and what
    it leads to is left alone.
    """
    unfinished = path.with_name(f".unfinished-{secrets.token_hex(8)}-{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        error.filename = str(path)  # what people know
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def open_lock(path: Path) -> TextIO:
    """Open a file to lock it or to add lines; it is made where there is none.

    Raises:
        InputError: it is a link or a pipe, which somebody else has put there.
    """
    not_plain = InputError(f"{path} is no plain file: delete it and repeat")
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise not_plain from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise not_plain
    return os.fdopen(descriptor, "a+", encoding="utf-8")
