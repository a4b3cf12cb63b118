"""The SQLite file of a store: made whole or not at all, looked at before MLflow opens it, moved.

MLflow makes its tables in the file itself, one after another, and a file with half of them opens
never more. It waits long for one that is locked, and prints a page about one that is damaged.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from stages.shared.errors import InputError

BUSY_SECONDS = 10
# where MLflow keeps absolute paths of artifacts: table, column
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def find_artifacts(database: Path) -> str:
    """Where the store keeps artifacts: in a folder beside its file."""
    return (database.parent / "mlartifacts").as_uri()


def make_database(database: Path) -> None:
    """Make the file beside its place, and move it there once it is complete."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    unfinished = database.with_name(f"{database.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    store = SqlAlchemyStore(f"sqlite:///{unfinished}", find_artifacts(database))
    store.delete_experiment(store.DEFAULT_EXPERIMENT_ID)  # an empty one, which the UI would show
    store.engine.dispose()
    unfinished.rename(database)


def check_database(database: Path, to_write: bool) -> None:
    """Stop at a file that MLflow could not work with.

    Raises:
        InputError: it is not there, half made, locked, damaged or no database.
    """
    if not database.exists():
        raise InputError(
            f"there is no store {database}: `make sync` makes that of this repository; if "
            "MLFLOW_TRACKING_URI names another, correct it, or let `srn sync --new` "
            "make it"
        )
    remedy = "move it away, and `make sync` fills a new one"
    try:
        # neither mode makes a file that is not there
        with closing(_connect(database, "rw" if to_write else "ro")) as connection:
            [answer] = connection.execute("pragma quick_check(1)").fetchone()
            experiments = connection.execute("select 1 from experiments").fetchall()
            if to_write:
                connection.execute("begin immediate")  # waits for whoever writes
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise InputError(f"{database} is no whole store of MLflow: {remedy}") from None
        raise InputError(
            f"{database} cannot be opened ({error}): end what holds it, or correct the path"
        ) from None
    except sqlite3.DatabaseError as error:
        raise InputError(f"{database} is damaged ({error}): {remedy}") from None
    if answer != "ok":
        raise InputError(f"{database} is damaged ({answer}): {remedy}")
    if not experiments:
        raise InputError(f"{database} is no whole store of MLflow: {remedy}")


def find_move(database: Path) -> str | None:
    """Where its artifacts lay, as a URI, before file and artifacts were moved or copied here."""
    query = "select artifact_location from experiments where artifact_location like 'file://%'"
    with closing(_connect(database, "ro")) as connection:
        for (location,) in connection.execute(query):
            folder, _, _ = location.rpartition("/")
            if folder.endswith("/mlartifacts") and folder != find_artifacts(database):
                return str(folder)
    return None


def move(database: Path, old: str) -> None:
    """Let the store look for its artifacts beside its file."""
    with closing(_connect(database, "rw")) as connection, connection:
        for table, column in PLACES:
            change = f"update {table} set {column} = replace({column}, ?, ?)"
            new = find_artifacts(database)
            connection.execute(f"{change} where instr({column}, ?) = 1", [old, new, f"{old}/"])


def _connect(database: Path, mode: str) -> sqlite3.Connection:
    address = f"file:{quote(str(database))}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)
