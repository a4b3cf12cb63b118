"""Read, lock and replace files safely: they may be damaged, very large, links or pipes."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from stages.shared.errors import InputError

_MOST_BYTES = 2**26  # in a file of DVC, params, scores or a table


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        InputError: if it is a folder, too large, or a pipe or device, which may never end.
        OSError: if it is missing or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise InputError(
            f"{path} is not a regular file: delete it, then `git checkout` or `dvc checkout` it"
        )
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise InputError(
            f"{path} has more than {_MOST_BYTES:,} bytes, the limit for such files: delete it"
        )
    return content


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces the file when the block succeeds.

    The old file stays as it was if the process is killed or the disk is full. A link is replaced
    itself, not the file that it points to.
    """
    unfinished = path.with_name(f".unfinished-{secrets.token_hex(8)}-{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        error.filename = str(path)  # users do not know the temporary name
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def open_lock(path: Path) -> TextIO:
    """Open a file to lock it or to append lines; create it if it does not exist.

    Raises:
        InputError: if it is a link or a pipe.
    """
    not_plain = InputError(f"{path} is not a plain file: delete it and repeat")
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
