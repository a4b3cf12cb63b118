"""Where the MLflow store is, and the lock that lets one process at a time write to it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_root() -> Path:
    """The repository, also in the folder of `dvc exp run --temp`, which is thrown away."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def find_uri() -> str:
    """Address of the store; a relative SQLite path starts at the repository."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{find_root() / uri.removeprefix('sqlite:///')}"
    return uri


def is_absent(uri: str) -> bool:
    """Whether there is no store yet; opening SQLite would make one."""
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()


@contextmanager
def lock_store() -> Iterator[None]:
    """One writer at a time on this machine, also when DVC runs experiments side by side."""
    path = find_root() / ".dvc" / "tmp" / "track.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the process ends, however it ends
        yield
