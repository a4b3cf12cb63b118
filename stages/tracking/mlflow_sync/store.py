"""The MLflow store: its address, the lock for writing, opening it, and its content."""

import fcntl
import logging
import os
import re
import signal
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlparse

from stages.shared.errors import InputError, clean_message, show_address
from stages.shared.files import open_lock
from stages.tracking.mlflow_sync.mlflow_internals import (
    VIEW_TAG,
    knows_schema,
    make_database,
    open_artifacts,
)

if TYPE_CHECKING:  # mlflow takes seconds to import, and reads its environment then
    from mlflow.entities import Experiment, Run
    from mlflow.entities.model_registry import ModelVersion

PARENT_TAG = "mlflow.parentRunId"  # makes a run the child of another in the UI
CHAMPION = "champion"  # alias of a registered version
KEY_TAG = "sync.key"  # tag of a run with `RunSpec.key`
IN_PROGRESS = "in_progress"  # first word of the key of a run that is being written

_SQLITE = "sqlite:///"
_DEFAULT = "mlflow.db"  # in the repository; created if it does not exist
_BUSY_SECONDS = 10  # to wait while another process writes
_DATABASES = re.compile(r"(postgres|mysql|mssql|oracle)\w*(\+\w+)?://")
PROJECT = "srn"  # this repository
# suffix of the tag `<project>.experiment`: our name of an experiment, which people may rename
_EXPERIMENT_TAG = ".experiment"
# schemes of artifact addresses to which MLflow sends the password
_SEND_LOGIN = ("http", "https", "mlflow-artifacts")
# artifact folder of a run or model, below the address of its experiment
_FOLDER = re.compile(r"/(models/)?[\w-]+/artifacts")
_MOST_RUNS = 50_000  # in one request, the most that MLflow allows
_PAGE = 1_000  # experiments or registered models per page
_NOT_NEEDED = "training and evaluation do not need it"
_USER = "MLFLOW_TRACKING_USERNAME"
_UNKNOWN_USER, _FORBIDDEN = 401, 403  # status of HTTP
# in MLflow's message about the tables of another version
_SCHEMA = re.compile(r"database schema \(found version (\w+), but expected")
_CREATES = re.compile("(experiments|registered-models)/create")
_READS = re.compile("/(search|get|get-by-name|list)[ ?]|GET ")
_ENVIRONMENT = {  # defaults; values that the user has set are kept
    "MLFLOW_DISABLE_TELEMETRY": "true",  # no telemetry
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves seven unused processes in `make ui`
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default a dead server takes 247 s
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",  # seconds
    "TRACK_SECONDS": "11",  # time limit for listing the runs of a server
}


# Where the store is


def find_root() -> Path:
    """Return the repository, also in `dvc exp run --temp`, which works in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def find_uri() -> str:
    """Return the address of the store; relative SQLite paths start at the repository.

    Raises:
        InputError: if MLFLOW_TRACKING_URI is not supported.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or _SQLITE + _DEFAULT
    if re.match(r"https?://\w", uri):
        return uri
    if _DATABASES.match(uri):
        raise InputError(
            f"MLFLOW_TRACKING_URI is the database {show_address(uri)}: start `mlflow server` on "
            "it, with this as its MLFLOW_BACKEND_STORE_URI, and give the server's http address "
            "(docs/team.md)"
        )
    path = find_root() / uri.removeprefix(_SQLITE)
    if not uri.startswith(_SQLITE) or uri == _SQLITE or "?" in str(path):
        raise InputError(
            f"MLFLOW_TRACKING_URI is {show_address(uri)} in {find_root()}: give {_SQLITE}FILE "
            "without a question mark, or the http address of an `mlflow server`"
        )
    return f"{_SQLITE}{path}"


def find_database(uri: str) -> Path | None:
    """Return the file of a local store, None for a server."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def find_artifacts(database: Path) -> str:
    """Return the address of the artifact folder of a local store, beside its file."""
    return (database.parent / "mlartifacts").as_uri()


@contextmanager
def lock_store(uri: str) -> Iterator[None]:
    """Lock a store for writing by one process of this machine; for a server, of this repository."""
    database = find_database(uri)
    path = Path(f"{database}.lock") if database else find_root() / ".dvc" / "tmp" / "track.lock"
    if database and not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder: make it, or correct MLFLOW_TRACKING_URI")
    if not database:
        path.parent.mkdir(parents=True, exist_ok=True)
    with open_lock(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            line = f"waiting for the process that writes to MLflow at {show_address(uri)}"
            print(line, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the process ends
        yield


def check_database(database: Path, to_write: bool) -> None:
    """Check the file of a store first, since MLflow would wait long or print a page of errors.

    Raises:
        InputError: if it is missing, incomplete, locked, damaged or not a database.
    """
    if not database.exists():
        raise InputError(
            f"there is no store {database}: a sync makes that of this repository; if "
            "MLFLOW_TRACKING_URI names another, correct it, or let `sync --new` make it"
        )
    incomplete = InputError(
        f"{database} is not a complete MLflow store: move it away, the next sync fills a new one"
    )
    address = f"file:{quote(str(database))}?mode={'rw' if to_write else 'ro'}"
    try:
        # neither mode creates the file
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as connection:
            [answer] = connection.execute("pragma quick_check(1)").fetchone()
            experiments = connection.execute("select 1 from experiments").fetchall()
            if to_write:
                connection.execute("begin immediate")  # waits for a process that writes
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
    """Return the error about an unusable local store, which is filled again, not repaired."""
    return InputError(
        f"{database} cannot be used ({damage}): delete it and mlartifacts beside it, "
        "the next sync fills it again"
    )


# Its content


class Store:
    """An open store.

    Attributes:
        uri: its address.
        project: its experiments are read and written, those of other projects are left alone.
        client: MLflow's client.
        experiments: ids of the project's active experiments, by name.
        tags: the tags of these experiments, by name.
        is_local: whether the store is a file.
    """

    def __init__(self, uri: str, project: str = PROJECT) -> None:
        from mlflow import MlflowClient

        self.uri = uri
        self.project = project
        self._tag = f"{project}{_EXPERIMENT_TAG}"
        self.client: MlflowClient = MlflowClient(uri, uri)
        self.experiments: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = defaultdict(dict)
        database = find_database(uri)
        self.is_local = database is not None
        self._locations: dict[str, str] = {}  # id of an experiment -> address of its artifacts
        self._folders: dict[str, set[str]] = {}  # address -> folders, after they were listed
        # all active experiments with one request, instead of one per name
        for experiment in _read_pages(self.client.search_experiments):
            name = experiment.tags.get(self._tag)
            has_owner = any(tag.endswith(_EXPERIMENT_TAG) for tag in experiment.tags)
            if name and name not in self.experiments:
                self._add_experiment(name, experiment)
                self.tags[name] = experiment.tags
            elif not has_owner and VIEW_TAG in experiment.tags and database:
                raise damaged_store(database, "it was made by an earlier version")

    def _add_experiment(self, name: str, experiment: "Experiment") -> None:
        """Add an experiment of this project, after checking the address of its artifacts.

        Raises:
            InputError: if they are in another place, where files would be written and deleted, or
                to which the password of the server would be sent.
        """
        database, location = find_database(self.uri), experiment.artifact_location
        address = urlparse(location)
        problem = None
        if database:
            # the file was moved or copied without its artifacts
            if location != f"{find_artifacts(database)}/{name}":
                raise damaged_store(database, f"its artifacts are in {location}")
        elif address.scheme in ("", "file"):
            problem = "a folder of this machine"
        elif address.scheme in _SEND_LOGIN:
            host = urlparse(self.uri).netloc.rpartition("@")[2]
            problem = None if address.netloc in ("", host) else "another server"
        if problem:
            raise InputError(
                f"MLflow at {show_address(self.uri)}: experiment {name} has its artifacts in "
                f"{show_address(location)}, {problem}: rename and delete it, the next sync "
                "makes another; docs/team.md starts a server that keeps artifacts itself"
            )
        self.experiments[name] = experiment.experiment_id
        self._locations[experiment.experiment_id] = location

    def check_address(self, address: str, owner: str) -> str:
        """Check the artifact address of a run or model, which has to be in one of our experiments.

        Args:
            address: the address in MLflow.
            owner: the run or model, for the message.

        Raises:
            InputError: if the address is outside of this project's experiments.
        """
        for location in self._locations.values():
            if address.startswith(location) and _FOLDER.fullmatch(address, len(location)):
                return address
        database = find_database(self.uri)
        if database:
            raise damaged_store(database, f"the artifacts of {owner} are in {address}")
        raise InputError(
            f"MLflow at {show_address(self.uri)}: the artifacts of {owner} are in "
            f"{show_address(address)}, outside of its experiment: delete it there, the next "
            "sync makes it again"
        )

    def search_runs(self, condition: str) -> "list[Run]":
        """Find the runs of this project's experiments by an MLflow filter, sorted by id."""
        ids = list(self.experiments.values())
        if not ids:
            return []
        runs = self.client.search_runs(ids, condition, max_results=_MOST_RUNS)
        return sorted(runs, key=lambda run: run.info.run_id)

    def find_runs(self, key: str) -> "list[Run]":
        """Find the runs with a key, sorted by id."""
        return self.search_runs(f"tags.`{KEY_TAG}` = '{key}'")

    def find_children(self, known: set[str]) -> "tuple[dict[str, list[Run]], list[Run]]":
        """Find child runs by the id of their parent, and those whose parent was deleted.

        Only parents that are not among the `known` ids are looked up in MLflow.
        """
        children = defaultdict(list)
        for run in self.search_runs(f"tags.`{PARENT_TAG}` like '%'"):
            children[run.data.tags[PARENT_TAG]].append(run)
        unknown = ", ".join(f"'{run_id}'" for run_id in children if run_id not in known)
        found = self.search_runs(f"attributes.run_id IN ({unknown})") if unknown else []
        parents = known | {run.info.run_id for run in found}
        orphans = [run for parent in children if parent not in parents for run in children[parent]]
        return dict(children), orphans

    def open_experiment(self, name: str) -> str:
        """Return the id of an experiment, which is created if it does not exist."""
        from mlflow.exceptions import MlflowException

        if name in self.experiments:
            return self.experiments[name]
        database = find_database(self.uri)
        # MLflow would put artifacts into the working folder; a server sets the address itself
        folder = f"{find_artifacts(database)}/{name}" if database else None
        # the UI then opens the page for runs, not for chats
        tags = {"mlflow.experimentKind": "custom_model_development", self._tag: name}
        try:
            experiment_id: str = self.client.create_experiment(name, folder, tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = self.client.get_experiment_by_name(name)
            assert experiment is not None  # MLflow has just reported that it exists
            if self._tag in experiment.tags:
                # ours: it was deleted, or another clone has just created it
                experiment_id = experiment.experiment_id
                if experiment.lifecycle_stage == "deleted":
                    self.client.restore_experiment(experiment_id)
                self.client.set_experiment_tag(experiment_id, self._tag, name)
            else:  # another project has an experiment of this name
                experiment_id = self.client.create_experiment(
                    f"{name} ({self.project})", folder, tags
                )
        self._add_experiment(name, self.client.get_experiment(experiment_id))
        return experiment_id

    def list_folders(self, experiment_id: str, folder: str = "") -> set[str]:
        """List the artifact folders of an experiment, of runs or in `models`.

        The experiment must have existed when the store was opened.
        """
        location = self._locations[experiment_id]
        address = f"{location}/{folder}"
        if address not in self._folders:
            found = open_artifacts(location, self.uri).list_artifacts(folder or None)
            self._folders[address] = {file.path.rpartition("/")[2] for file in found}
        return self._folders[address]

    def find_versions(self, names: list[str]) -> "list[ModelVersion]":
        """Find the versions of registered models; MLflow does not return their aliases here."""
        quoted = ", ".join(f"'{name}'" for name in names)
        return list(self.client.search_model_versions(f"name IN ({quoted})"))

    def find_champions(self, names: list[str]) -> dict[str, str]:
        """Return the version with the alias `champion` of each registered model."""
        champions = {}
        # lists all, since MLflow has no request for a selection
        for model in _read_pages(self.client.search_registered_models):
            if model.name in names and CHAMPION in model.aliases:
                champions[model.name] = str(model.aliases[CHAMPION])
        return champions

    def drop_run(self, run: "Run") -> None:
        """Delete a run and its model, which MLflow would keep."""
        from mlflow.exceptions import MlflowException

        origin = f"source_run_id = '{run.info.run_id}'"
        try:
            for model in self.client.search_logged_models([run.info.experiment_id], origin):
                self.client.delete_logged_model(model.model_id)
            self.client.delete_run(run.info.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # another clone has deleted it
                raise

    def restart_time_limit(self) -> None:
        """Restart the time limit of a server for the next run or model."""
        if not self.is_local:
            signal.alarm(6 * int(os.environ["TRACK_SECONDS"]))


def _read_pages(search: Callable[..., Any]) -> list[Any]:
    """Collect all pages of an MLflow request."""
    page = search(max_results=_PAGE)
    found = list(page)
    while page.token:
        page = search(max_results=_PAGE, page_token=page.token)
        found += page
    return found


def list_model_ids(run: "Run") -> list[str]:
    """List the ids of the models of a run."""
    return [made.model_id for made in run.outputs.model_outputs] if run.outputs else []


# Opening it, and its errors


@contextmanager
def open_store(
    uri: str, to_write: bool = False, to_make: bool = False, project: str = PROJECT
) -> Iterator[Store]:
    """Open the store; exit with one line if it is unreachable, slow, damaged or rejects a request.

    Retries and timeouts give up on a dead server, the alarm on one that answers each request,
    but slowly. What is then incomplete, the next sync drops. A file has no time limit: many
    commands at once on a busy machine are slow, and all come to an end.

    Args:
        uri: the result of `find_uri`.
        to_write: whether the caller writes, and holds the lock; then the store of this repository
            is made where there is none.
        to_make: whether any other missing file is created too.
        project: its experiments are read and written.

    Raises:
        InputError: if the store cannot be used.
    """
    for name, value in _ENVIRONMENT.items():  # `import mlflow` reads some of them
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # these two print pages about errors that are raised too
    for name in ("mlflow.store.db.utils", "mlflow.models.signature"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    def give_up(*_: object) -> None:
        # an exit, since mlflow and urllib3 would catch an error and retry
        sys.exit(clean_message(f"error: {_format_unusable(uri, 'too slow, see TRACK_SECONDS')}"))

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        with explain_errors(uri, "its experiments"):
            database = find_database(uri)
            if database:
                is_default = to_write and database == find_root() / _DEFAULT
                if (to_make or is_default) and not database.exists():
                    make_database(database, find_artifacts(database))
                check_database(database, to_write)
            else:
                signal.alarm(int(os.environ["TRACK_SECONDS"]))
            yield Store(uri, project)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def explain_errors(uri: str, target: str) -> Iterator[None]:
    """Turn an error of the store into one line.

    Args:
        uri: the address of the store.
        target: the experiment or registered model, for the message.

    Raises:
        InputError: instead of errors of MLflow, its database and requests.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except BrokenPipeError:
        raise  # stdout was closed, for example by `head`; requests has errors of its own
    except (MlflowException, SQLAlchemyError, OSError) as error:  # requests raises OSErrors
        denial = _explain_denial(error, target)
        if denial:
            raise InputError(
                f"MLflow at {show_address(uri)}: {denial} and try again; {_NOT_NEEDED}"
            ) from None
        reason = " ".join(str(error).split())
        schema = _SCHEMA.search(reason)
        if schema:
            raise InputError(_explain_schema(uri, schema[1])) from None
        if len(reason) >= 300:  # MLflow's messages end with the reason
            reason = f"{reason[:140]} … {reason[-140:]}"
        raise InputError(_format_unusable(uri, reason)) from None


def _explain_schema(uri: str, revision: str) -> str:
    """Return what to do with a database of another MLflow version."""
    from mlflow.version import VERSION

    again = "or delete it, and the next sync fills another"
    if knows_schema(revision):
        return (
            f"the store is of an MLflow older than {VERSION}: copy the file, then type `mlflow db "
            f"upgrade {uri}`, {again}"
        )
    return (
        f"{uri} is of an MLflow newer than {VERSION} (schema {revision}): install the one that "
        f"made it (`pip install --upgrade mlflow`), {again}"
    )


def _format_unusable(uri: str, reason: str) -> str:
    return (
        f"MLflow at {show_address(uri)} cannot be used ({reason}): check the server or correct "
        f"MLFLOW_TRACKING_URI and try again; {_NOT_NEEDED}"
    )


def _explain_denial(error: Exception, target: str) -> str | None:
    """Return which permission or password is missing, if that is the error."""
    status, user = _find_status(error), os.environ.get(_USER)
    variables = f"{_USER} and MLFLOW_TRACKING_PASSWORD"
    if status == _UNKNOWN_USER and user:
        return f"it does not know {user} with this password (401): correct {variables}"
    if status == _UNKNOWN_USER:
        return f"it requires a login (401): set {variables}"
    if status != _FORBIDDEN:
        return None
    request = getattr(error, "request", None)
    denied = f"{request.method} {PurePosixPath(request.path_url)}" if request else str(error)
    if _CREATES.search(denied):
        permission = f"USE on the workspace, to make {target}, or to make it for you"
    else:
        permission = f"{'READ' if _READS.search(denied) else 'EDIT'} on {target}"
    return f"{user or 'you'} may not do this (403): ask its administrator for {permission}"


def _find_status(error: Exception) -> int | None:
    """Return the HTTP status of an error of MLflow or requests."""
    response = getattr(error, "response", None)  # of requests
    if response is not None:
        return int(response.status_code)
    read_status = getattr(error, "get_http_status_code", None)  # of MLflow
    return int(read_status()) if read_status else None


def delete_if_allowed(delete: Callable[[], None], what: str, experiment: str) -> str | None:
    """Delete something, or continue if the server does not allow it.

    Returns:
        what stays, and which permission is missing; None: it is deleted.
    """
    from mlflow.exceptions import MlflowException

    try:
        delete()
    except (MlflowException, OSError) as error:
        if _find_status(error) != _FORBIDDEN:
            raise
        return f"{what} stays (403): ask for MANAGE on experiment {experiment}"
    return None
