"""Where the MLflow store is, and the lock that lets one process at a time write to it."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.shared.errors import InputError, hide_passwords

SQLITE = "sqlite:///"
DEFAULT = "mlflow.db"
DATABASES = re.compile(r"(postgres|mysql|mssql|oracle)\w*(\+\w+)?://")


def find_root() -> Path:
    """The repository, also in the folder of `dvc exp run --temp`, which is thrown away."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def find_uri() -> str:
    """Address of the store; a relative SQLite path starts at the repository.

    Raises:
        InputError: MLFLOW_TRACKING_URI is none that this project writes to.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or SQLITE + DEFAULT
    if re.match(r"https?://\w", uri):
        return uri
    if DATABASES.match(uri):
        raise InputError(
            f"MLFLOW_TRACKING_URI is the database {uri}: start `mlflow server` on it, with this as "
            "its MLFLOW_BACKEND_STORE_URI, and give the server's http address (docs/team.md)"
        )
    path = find_root() / uri.removeprefix(SQLITE)
    if not uri.startswith(SQLITE) or uri == SQLITE or "?" in str(path):
        raise InputError(
            f"MLFLOW_TRACKING_URI is {uri} in {find_root()}: give {SQLITE}FILE without a question "
            "mark, or the http address of an `mlflow server`"
        )
    return f"{SQLITE}{path}"


def find_database(uri: str) -> Path | None:
    """The file of a store that is one."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def is_default(uri: str) -> bool:
    """Whether the store is the one that is made where nobody has named another."""
    return find_database(uri) == find_root() / DEFAULT


def is_absent(uri: str) -> bool:
    """Whether there is no store yet."""
    database = find_database(uri)
    return database is not None and not database.exists()


@contextmanager
def lock_store(uri: str) -> Iterator[None]:
    """One writer at a time on this machine: beside the file of a store, else in this repository."""
    database = find_database(uri)
    path = Path(f"{database}.lock") if database else find_root() / ".dvc" / "tmp" / "track.lock"
    if not database:
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            line = f"waiting for the one that writes to MLflow at {uri}"
            print(hide_passwords(line), flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)  # let go when the process ends, however it ends
        yield
