"""NumPy files, which may come from a remote and so are never unpickled."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.shared.errors import InputError


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an .npz file by name, or the array of an .npy file as "".

    Raises:
        InputError: if the file is damaged, or holds pickled objects.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file)  # does not unpickle objects
            return {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} is damaged ({reason}): delete it and run `dvc checkout`"
        ) from None
