"""Files that others may have written, read without the risk of an endless or huge one."""

from pathlib import Path

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
