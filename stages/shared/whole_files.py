"""Files that people have in the repository: replaced whole, and never reached through a link."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from stages.shared.errors import InputError


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
