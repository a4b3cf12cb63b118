"""Where the MLflow store is, the lock of its writer, and the checks of a store that is a file."""

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from stages.shared.errors import InputError, hide_passwords

_SQLITE = "sqlite:///"
_DEFAULT = "mlflow.db"
_BUSY_SECONDS = 10  # to wait for a file that another process writes

_DATABASES = re.compile(r"(postgres|mysql|mssql|oracle)\w*(\+\w+)?://")


def find_root() -> Path:
    """The repository, also in the folder of `dvc exp run --temp`, which is deleted afterwards."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def find_uri() -> str:
    """Address of the store; a relative SQLite path starts at the repository.

    Raises:
        InputError: MLFLOW_TRACKING_URI is not supported.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or _SQLITE + _DEFAULT
    if re.match(r"https?://\w", uri):
        return uri
    if _DATABASES.match(uri):
        raise InputError(
            f"MLFLOW_TRACKING_URI is the database {uri}: start `mlflow server` on it, with this as "
            "its MLFLOW_BACKEND_STORE_URI, and give the server's http address (docs/team.md)"
        )
    path = find_root() / uri.removeprefix(_SQLITE)
    if not uri.startswith(_SQLITE) or uri == _SQLITE or "?" in str(path):
        raise InputError(
            f"MLFLOW_TRACKING_URI is {uri} in {find_root()}: give {_SQLITE}FILE without a question "
            "mark, or the http address of an `mlflow server`"
        )
    return f"{_SQLITE}{path}"


def find_database(uri: str) -> Path | None:
    """The file of a local store; None for a server."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def is_default(uri: str) -> bool:
    """Whether the store is the one of this repository, which is made where there is none."""
    return find_database(uri) == find_root() / _DEFAULT


def is_absent(uri: str) -> bool:
    """Whether the store is a file that does not exist."""
    database = find_database(uri)
    return database is not None and not database.exists()


def find_artifacts(database: Path) -> str:
    """Where a local store keeps its artifacts: in a folder beside its file."""
    return (database.parent / "mlartifacts").as_uri()


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
            line = f"waiting for the process that writes to MLflow at {uri}"
            print(hide_passwords(line), flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the process ends, however it ends
        yield


def check_database(database: Path, to_write: bool) -> None:
    """Reject a file that MLflow could not work with; MLflow would wait long, or print a page.

    Raises:
        InputError: it is missing, incomplete, locked, damaged or no database.
    """
    if not database.exists():
        raise InputError(
            f"there is no store {database}: `make sync` makes that of this repository; if "
            "MLFLOW_TRACKING_URI names another, correct it, or let `srn sync --new` "
            "make it"
        )
    incomplete = InputError(
        f"{database} is no complete store of MLflow: move it away, `srn sync` fills a new one"
    )
    address = f"file:{quote(str(database))}?mode={'rw' if to_write else 'ro'}"
    try:
        # neither mode makes a file that is not there
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as connection:
            [answer] = connection.execute("pragma quick_check(1)").fetchone()
            experiments = connection.execute("select 1 from experiments").fetchall()
            if to_write:
                connection.execute("begin immediate")  # waits for the process that writes
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise incomplete from None
        raise InputError(
            f"{database} cannot be opened ({error}): end what holds it, or correct the path"
        ) from None
    except sqlite3.DatabaseError as error:
        raise damaged_store(database, f"damaged: {error}") from None
    if answer != "ok":
        raise damaged_store(database, f"damaged: {answer}")
    if not experiments:
        raise incomplete


def damaged_store(database: Path, damage: str) -> InputError:
    """The error of a local store that cannot be used: it is filled again, never repaired."""
    return InputError(
        f"{database} cannot be used ({damage}): delete it and mlartifacts beside it, "
        "`srn sync` fills it again"
    )
