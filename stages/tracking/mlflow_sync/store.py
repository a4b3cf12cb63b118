"""The MLflow store: opening it, errors in one line, and what it holds."""

import logging
import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from stages.shared.errors import InputError, hide_passwords
from stages.tracking.mlflow_sync.location import (
    check_database,
    damaged_store,
    find_artifacts,
    find_database,
)
from stages.tracking.mlflow_sync.mlflow_internals import VIEW_TAG, make_database, open_artifacts

if TYPE_CHECKING:  # mlflow takes seconds to import, and wants its environment set before
    from mlflow.entities import Experiment, Run
    from mlflow.entities.model_registry import ModelVersion

_EXPERIMENT_TAG = "srn.experiment"  # which experiment it is, whatever people call it
PARENT_TAG = "mlflow.parentRunId"  # by which the UI shows a run below another
CHAMPION = "champion"  # alias of the registered version that predicts
IN_PROGRESS = "pending"  # first word of the key of a run that is being written

_MOST_RUNS = 50_000  # that MLflow gives at once
_MOST_MODELS = 1_000  # likewise
_NOT_NEEDED = "training and evaluation do not need it"
_USER = "MLFLOW_TRACKING_USERNAME"
_UNKNOWN_USER, _FORBIDDEN = 401, 403  # status of HTTP
_CREATES = re.compile("(experiments|registered-models)/create")
_READS = re.compile("/(search|get|get-by-name|list)[ ?]|GET ")
_ENVIRONMENT = {  # what the user has set stays
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing leaves the machine unasked
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes of `make ui`, not used here
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default a dead server takes 247 s
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",  # seconds
    "TRACK_SECONDS": "11",  # longest that a server may take to list what it has
}


class Store:
    """An open store.

    Attributes:
        uri: its address.
        client: MLflow's.
        experiments: id by name of this project's active experiments.
        tags: of each of these experiments.
        is_local: whether it is a file.
    """

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient

        self.uri = uri
        self.client: MlflowClient = MlflowClient(uri, uri)
        self.experiments: dict[str, str] = {}
        self.tags: dict[str, dict[str, str]] = defaultdict(dict)
        self.is_local = find_database(uri) is not None
        self._locations: dict[str, str] = {}  # id of an experiment -> where its artifacts are
        self._folders: dict[str, set[str]] = {}  # address -> folders there, once asked for
        for experiment in self._list_experiments():
            name = experiment.tags.get(_EXPERIMENT_TAG)
            if name and name not in self.experiments:
                self._check_location(experiment, name)
                self.experiments[name] = experiment.experiment_id
                self.tags[name] = experiment.tags
                self._locations[experiment.experiment_id] = experiment.artifact_location
            elif not name and VIEW_TAG in experiment.tags and self.is_local:
                database = find_database(uri)
                assert database
                raise damaged_store(database, "it was made by an earlier version")

    def _list_experiments(self) -> "Iterator[Experiment]":
        """All that are active, anybody's: one request, where asking by name takes one each."""
        page = self.client.search_experiments()
        yield from page
        while page.token:
            page = self.client.search_experiments(page_token=page.token)
            yield from page

    def _check_location(self, experiment: "Experiment", name: str) -> None:
        """Reject a file whose artifacts are elsewhere: it was moved or copied without them.

        Raises:
            InputError: they are.
        """
        database = find_database(self.uri)
        if database and experiment.artifact_location != f"{find_artifacts(database)}/{name}":
            raise damaged_store(database, f"its artifacts are in {experiment.artifact_location}")

    def find_runs(self, key: str) -> "list[Run]":
        """Runs with a key, by id."""
        return self._search_runs(f"tags.key = '{key}'")

    def find_all(self, results: dict[str, list[str]]) -> "dict[str, list[Run]]":
        """Runs with each of the keys: one request, and one for each that it does not find.

        Args:
            results: key -> md5s of its result. A run has these as digests of data sets, for many
                of which MLflow can be asked at once.
        """
        found = defaultdict(list)
        md5s = {f"'{md5}'" for key in results for md5 in results[key]}
        if md5s:
            for run in self._search_runs(f"dataset.digest IN ({', '.join(md5s)})"):
                found[run.data.tags.get("key")].append(run)
        return {key: found[key] or self.find_runs(key) for key in results}

    def find_in_progress(self) -> "list[Run]":
        """Runs that a process writes, or began to write and left."""
        return self._search_runs(f"tags.key like '{IN_PROGRESS} %'")

    def find_children(self, known: set[str]) -> "tuple[dict[str, list[Run]], list[Run]]":
        """Runs below others by the id of the parent, and those whose parent was deleted.

        Args:
            known: ids of runs that exist, for which MLflow is not asked.
        """
        children = defaultdict(list)
        for run in self._search_runs(f"tags.`{PARENT_TAG}` like '%'"):
            children[run.data.tags[PARENT_TAG]].append(run)
        asked = ", ".join(f"'{run_id}'" for run_id in children if run_id not in known)
        found = self._search_runs(f"attributes.run_id IN ({asked})") if asked else []
        parents = known | {run.info.run_id for run in found}
        orphans = [run for parent in children if parent not in parents for run in children[parent]]
        return dict(children), orphans

    def _search_runs(self, condition: str) -> "list[Run]":
        ids = list(self.experiments.values())
        if not ids:
            return []
        runs = self.client.search_runs(ids, condition, max_results=_MOST_RUNS)
        return sorted(runs, key=lambda run: run.info.run_id)

    def open_experiment(self, name: str) -> str:
        """Id of an experiment to write runs to; it is made if it does not exist."""
        from mlflow.exceptions import MlflowException

        if name not in self.experiments:
            try:
                self.experiments[name] = self._create_experiment(name, name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                self.experiments[name] = self._take_experiment(name)
        return self.experiments[name]

    def _create_experiment(self, name: str, title: str) -> str:
        database = find_database(self.uri)
        # MLflow would put artifacts into the working folder; a server knows where they go
        folder = f"{find_artifacts(database)}/{name}" if database else None
        # the UI then opens on runs and curves rather than on chats
        tags = {"mlflow.experimentKind": "custom_model_development", _EXPERIMENT_TAG: name}
        return self.client.create_experiment(title, folder, tags)

    def _take_experiment(self, name: str) -> str:
        """Id of the experiment that has the name: deleted, or just made by another clone.

        If it belongs to another project, one of another title is made.
        """
        experiment = self.client.get_experiment_by_name(name)
        assert experiment is not None  # MLflow has just said that it exists
        if not {_EXPERIMENT_TAG, VIEW_TAG} & experiment.tags.keys():
            return self._create_experiment(name, f"{name} (srn)")
        experiment_id: str = experiment.experiment_id
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment_id)
        self.client.set_experiment_tag(experiment_id, _EXPERIMENT_TAG, name)
        return experiment_id

    def name_experiment(self, run: "Run") -> str:
        """The name of the experiment of a run."""
        for name, experiment_id in self.experiments.items():
            if experiment_id == run.info.experiment_id:
                return name
        return run.info.experiment_id

    def list_folders(self, experiment_id: str, folder: str = "") -> set[str]:
        """Names of the folders among the artifacts of an experiment: of runs, or in `models`."""
        location = self._locations.get(experiment_id)
        if location is None:  # the experiment was made meanwhile
            location = self.client.get_experiment(experiment_id).artifact_location
            self._locations[experiment_id] = location
        address = f"{location}/{folder}"
        if address not in self._folders:
            found = open_artifacts(location, self.uri).list_artifacts(folder or None)
            self._folders[address] = {file.path.rpartition("/")[2] for file in found}
        return self._folders[address]

    def find_versions(self, names: list[str]) -> "list[ModelVersion]":
        """Versions of registered models; MLflow leaves out their aliases here."""
        quoted = ", ".join(f"'{name}'" for name in names)
        return list(self.client.search_model_versions(f"name IN ({quoted})"))

    def find_champions(self, names: list[str]) -> dict[str, str]:
        """The version that carries the alias `champion`, by the name of a registered model.

        All models are listed, since MLflow has no request for some of them.
        """
        champions = {}
        page = self.client.search_registered_models(max_results=_MOST_MODELS)
        while True:
            for model in page:
                if model.name in names and CHAMPION in model.aliases:
                    champions[model.name] = str(model.aliases[CHAMPION])
            if not page.token:
                return champions
            page = self.client.search_registered_models(
                max_results=_MOST_MODELS, page_token=page.token
            )

    def is_registered(self, run: "Run") -> bool:
        """Whether a registered version points to a run."""
        return bool(self.client.search_model_versions(f"run_id = '{run.info.run_id}'"))

    def drop_run(self, run: "Run") -> None:
        """Delete a run, and first its model, which MLflow would leave behind."""
        from mlflow.exceptions import MlflowException

        origin = f"source_run_id = '{run.info.run_id}'"
        try:
            for model in self.client.search_logged_models([run.info.experiment_id], origin):
                self.client.delete_logged_model(model.model_id)
            self.client.delete_run(run.info.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # another clone was faster
                raise

    def restart_time_limit(self) -> None:
        """Give a server that has answered so far more time for the next run or model."""
        if not self.is_local:
            signal.alarm(6 * int(os.environ["TRACK_SECONDS"]))


def list_model_ids(run: "Run") -> list[str]:
    """Ids of the models that a run made."""
    return [made.model_id for made in run.outputs.model_outputs] if run.outputs else []


@contextmanager
def open_store(uri: str, to_write: bool = False, to_make: bool = False) -> Iterator[Store]:
    """Open the store, and end with one line if it is dead, slow, damaged or rejects a request.

    Retries and timeouts give up on a dead server, the alarm on one that answers each request,
    but slowly. What is then incomplete, the next sync drops. A file has no time limit: many
    commands at once on a busy machine are slow, and all come to an end.

    Args:
        uri: of `find_uri`.
        to_write: whether more than reading is meant; then the caller holds the lock.
        to_make: whether a file that does not exist is made.

    Raises:
        InputError: the store cannot be used.
    """
    _set_environment()

    def give_up(*_: object) -> None:
        # an exit, since mlflow and urllib3 would catch an error and retry
        sys.exit(hide_passwords(f"error: {_format_unusable(uri, 'too slow, see TRACK_SECONDS')}"))

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        with explain_errors(uri, "its experiments"):
            database = find_database(uri)
            if database:
                if to_make and not database.exists():
                    make_database(database, find_artifacts(database))
                check_database(database, to_write)
            else:
                signal.alarm(int(os.environ["TRACK_SECONDS"]))
            yield Store(uri)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _set_environment() -> None:
    """Prepare for `import mlflow`, which reads some of it."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # what these two would print a page about is raised too
    for name in ("mlflow.store.db.utils", "mlflow.models.signature"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def explain_errors(uri: str, target: str) -> Iterator[None]:
    """Turn an error of the store into one line.

    Args:
        uri: of the store.
        target: experiment or registered model that is read or written.

    Raises:
        InputError: instead of the errors of MLflow, of its database and of requests.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:  # requests raises OSErrors
        denial = _explain_denial(error, target)
        if denial:
            raise InputError(f"MLflow at {uri}: {denial} and try again; {_NOT_NEEDED}") from None
        raise InputError(_format_unusable(uri, _shorten(str(error)))) from None


def delete_if_allowed(delete: Callable[[], None], what: str, experiment: str) -> str | None:
    """Delete, or go on where the server does not allow it.

    Returns:
        what stays, and which right is missing; None: it is deleted.
    """
    from mlflow.exceptions import MlflowException

    try:
        delete()
    except (MlflowException, OSError) as error:
        if _find_status(error) != _FORBIDDEN:
            raise
        return f"{what} stays (403): ask for MANAGE on experiment {experiment}"
    return None


def _find_status(error: Exception) -> int | None:
    """Status of HTTP of an error: MLflow and requests raise their own."""
    response = getattr(error, "response", None)  # of requests
    if response is not None:
        return int(response.status_code)
    ask = getattr(error, "get_http_status_code", None)  # of MLflow
    return int(ask()) if ask else None


def _explain_denial(error: Exception, target: str) -> str | None:
    """Which right or password a server misses, if that is what an error is about."""
    status, user = _find_status(error), os.environ.get(_USER)
    variables = f"{_USER} and MLFLOW_TRACKING_PASSWORD"
    if status == _UNKNOWN_USER and user:
        return f"it does not know {user} with this password (401): correct {variables}"
    if status == _UNKNOWN_USER:
        return f"it wants to know who asks (401): set {variables}"
    if status == _FORBIDDEN:
        right = _name_right(error, target)
        return f"{user or 'you'} may not do this (403): ask its administrator for {right}"
    return None


def _name_right(error: Exception, target: str) -> str:
    """The right that is missing, by the request that was denied."""
    request = getattr(error, "request", None)
    asked = f"{request.method} {PurePosixPath(request.path_url)}" if request else str(error)
    if _CREATES.search(asked):
        return f"USE on the workspace, to make {target}, or to make it for you"
    return f"{'READ' if _READS.search(asked) else 'EDIT'} on {target}"


def _format_unusable(uri: str, reason: str) -> str:
    return (
        f"MLflow at {uri} cannot be used ({reason}): check the server or correct "
        f"MLFLOW_TRACKING_URI and try again; {_NOT_NEEDED}"
    )


def _shorten(text: str) -> str:
    """One line; MLflow's messages begin with the request and end with the reason."""
    line = " ".join(text.split())
    return line if len(line) < 300 else f"{line[:140]} … {line[-140:]}"
