"""The MLflow store: what it holds, and how long to wait for it."""

import logging
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stages.shared.errors import InputError, hide_passwords
from stages.tracking.database import check_database, find_artifacts, find_move, make_database, move
from stages.tracking.location import find_database
from stages.tracking.pending import PENDING
from stages.tracking.refusals import FORBIDS, explain_refusal, find_status

if TYPE_CHECKING:  # mlflow takes seconds to import, and wants its environment set before
    from mlflow.entities import Experiment, Run
    from mlflow.entities.model_registry import ModelVersion

EXPERIMENTS = (
    "forecasting",
    "surnames",
    "layers",
    "searches",
)
EXPERIMENT_TAG = "srn.experiment"  # which of them it is, whatever people call it
VIEW_TAG = "mlflow.sharedViewState.best"  # the prepared view of an experiment: see views.py
PARENT_TAG = "mlflow.parentRunId"  # by which the UI shows a run below another
MOST_RUNS = 50_000  # that MLflow gives at once
NOT_NEEDED = "training and evaluation do not need it"
CHAMPION = "champion"  # alias of the version that predicts
ENVIRONMENT = {  # what the user has set stays
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing leaves the machine unasked
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes of `make ui`, not used here
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default a dead server takes 247 s
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",  # seconds
    "TRACK_SECONDS": "11",  # longest that a server may take to say what it has
}


class Store:
    """An open store."""

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient

        self.uri = uri
        self.client: MlflowClient = MlflowClient(uri, uri)
        self.experiments: dict[str, str] = {}  # name -> id of those that are active
        self.tags: dict[str, dict[str, str]] = defaultdict(dict)  # of each of them
        self.place = "any experiment"  # or registered model, that is worked on: for a refusal
        self.refused: list[str] = []  # deletions that were not allowed
        self._searched: list[Run] | None = None  # all runs of the searches, once asked for
        self._locations: dict[str, str] = {}  # id of an experiment -> where its artifacts are
        self._folders: dict[str, set[str]] = {}  # address -> folders there, once asked for
        for experiment in self._list_experiments():
            name = experiment.tags.get(EXPERIMENT_TAG)
            if name in EXPERIMENTS and name not in self.experiments:
                self.experiments[name] = experiment.experiment_id
                self.tags[name] = experiment.tags
                self._locations[experiment.experiment_id] = experiment.artifact_location
            elif name not in EXPERIMENTS and VIEW_TAG in experiment.tags:
                self._check_age()

    def _list_experiments(self) -> "Iterator[Experiment]":
        """All that are active, anybody's: one request, where asking by name takes one each."""
        page = self.client.search_experiments()
        yield from page
        while page.token:
            page = self.client.search_experiments(page_token=page.token)
            yield from page

    def _check_age(self) -> None:
        """Stop at a file of an earlier version; on a server its experiments are left alone.

        Raises:
            InputError: the store is such a file.
        """
        database = find_database(self.uri)
        if database:
            raise InputError(
                f"{database} was made by an earlier version: delete it and mlartifacts beside it, "
                "`srn sync` fills it again"
            )

    def find_runs(self, key: str) -> "list[Run]":
        """Runs with a key, the smallest id first: it stays where two clones made one each."""
        return self._search_runs(f"tags.key = '{key}'")

    def find_all(self, results: dict[str, list[str]]) -> "dict[str, list[Run]]":
        """Runs with each of the keys: one request, and one for each that was not found by it.

        Args:
            results: key -> md5s of what came out. A run names them among its data, of which
                MLflow is asked for many at once; those of FORMAT 2 are found by their key alone.
        """
        found = defaultdict(list)
        md5s = {f"'{md5}'" for key in results for md5 in results[key]}
        if md5s:
            for run in self._search_runs(f"dataset.digest IN ({', '.join(md5s)})"):
                found[run.data.tags.get("key")].append(run)
        return {key: found[key] or self.find_runs(key) for key in results}

    def find_pending(self) -> "list[Run]":
        """Runs that somebody fills, or that nobody fills any more: see pending.py."""
        return self._search_runs(f"tags.key like '{PENDING} %'")

    def find_trials(self, run: "Run") -> "list[Run]":
        """Runs below that of a search."""
        run_id = run.info.run_id
        return [trial for trial in self._list_searched() if find_parent(trial) == run_id]

    def find_orphans(self) -> "list[Run]":
        """Trials whose search was dropped, here or by somebody."""
        runs = self._list_searched()
        known = {run.info.run_id for run in runs}
        return [run for run in runs if find_parent(run) and find_parent(run) not in known]

    def _list_searched(self) -> "list[Run]":
        """All searches and trials, asked for once until some are made or dropped."""
        if self._searched is None:
            ids = [self.experiments["searches"]] if "searches" in self.experiments else []
            self._searched = self.client.search_runs(ids, max_results=MOST_RUNS) if ids else []
        return self._searched

    def forget_searched(self) -> None:
        """Ask for searches and trials anew: some were made or dropped."""
        self._searched = None

    def _search_runs(self, condition: str) -> "list[Run]":
        ids = list(self.experiments.values())
        if not ids:
            return []
        runs = self.client.search_runs(ids, condition, max_results=MOST_RUNS)
        return sorted(runs, key=lambda run: run.info.run_id)

    def open_experiment(self, name: str) -> str:
        """Id of an experiment in which runs are made; it is made too, if it is not there."""
        from mlflow.exceptions import MlflowException

        if name not in self.experiments:
            try:
                self.experiments[name] = self._create_experiment(name, name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                self.experiments[name] = self._take_experiment(name)
        return self.experiments[name]

    def _create_experiment(self, name: str, shown: str) -> str:
        folder = None  # a server knows where artifacts go
        database = find_database(self.uri)
        if database:  # it would put them in the working folder
            folder = f"{find_artifacts(database)}/{name}"
        # the UI then opens on runs and curves rather than on chats
        tags = {"mlflow.experimentKind": "custom_model_development", EXPERIMENT_TAG: name}
        return self.client.create_experiment(shown, folder, tags)

    def _take_experiment(self, name: str) -> str:
        """Id of the experiment that has the name: deleted, or just made by another clone.

        If it is not one of ours, one of another name is made.
        """
        experiment = self.client.get_experiment_by_name(name)
        assert experiment is not None  # MLflow has just said that it exists
        if not {EXPERIMENT_TAG, VIEW_TAG} & experiment.tags.keys():
            return self._create_experiment(name, f"{name} (srn)")
        experiment_id: str = experiment.experiment_id
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment_id)
        self.client.set_experiment_tag(experiment_id, EXPERIMENT_TAG, name)
        return experiment_id

    def find_champion(self, name: str) -> "ModelVersion | None":
        """The version of a registered model that carries the alias `champion`."""
        self.place = f"registered model {name}"
        models = self.client.search_registered_models(f"name = '{name}'")
        if not models or CHAMPION not in models[0].aliases:
            return None
        return self.client.get_model_version(name, models[0].aliases[CHAMPION])

    def find_origin(self, version: "ModelVersion") -> "Run":
        """The run whose model a registered version is."""
        assert version.run_id is not None  # `promote` registers the models of runs alone
        return self.client.get_run(version.run_id)

    def name_place(self, run: "Run") -> str:
        """The experiment of a run, as an error names it."""
        for name, experiment_id in self.experiments.items():
            if experiment_id == run.info.experiment_id:
                return f"experiment {name}"
        return self.place

    def list_models(self, run: "Run") -> list[str]:
        """Ids of the models that a run made."""
        return [made.model_id for made in run.outputs.model_outputs] if run.outputs else []

    def list_folders(self, experiment_id: str, place: str = "") -> set[str]:
        """Names of the folders among the artifacts of an experiment: of runs, or of `models`."""
        location = self._locations.get(experiment_id)
        if location is None:  # the experiment was made meanwhile
            location = self.client.get_experiment(experiment_id).artifact_location
            self._locations[experiment_id] = location
        address = f"{location}/{place}"
        if address not in self._folders:
            found = self.open_artifacts(location).list_artifacts(place or None)
            self._folders[address] = {file.path.rpartition("/")[2] for file in found}
        return self._folders[address]

    def open_artifacts(self, address: str) -> Any:
        """What reads and writes the artifacts of a run, a model or an experiment."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(address, self.uri)

    def find_versions(self, name: str) -> "list[ModelVersion]":
        """Versions of a registered model, the newest first."""
        return list(self.client.search_model_versions(f"name = '{name}'"))

    def drop_run(self, run: "Run", reason: str) -> list[str]:
        """Delete a run, and first its model, which MLflow would leave behind; tells if it did.

        Args:
            run: that goes.
            reason: what it is, after its name.
        """
        from mlflow.exceptions import MlflowException

        origin = f"source_run_id = '{run.info.run_id}'"
        what = f"{run.info.run_name}: {reason}"
        self.forget_searched()
        with self.allow_refusal(f"{what} (run {run.info.run_id})"):
            try:
                for model in self.client.search_logged_models([run.info.experiment_id], origin):
                    self.client.delete_logged_model(model.model_id)
                self.client.delete_run(run.info.run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # another clone was faster
                    raise
            return [f"{what} dropped"]
        return []

    @contextmanager
    def allow_refusal(self, what: str) -> Iterator[None]:
        """Go on where the server does not let one delete, and remember that something stays."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, OSError) as error:
            if find_status(error) != FORBIDS:
                raise
            self.refused.append(f"{what} stays (403): ask for MANAGE on {self.place}")

    def restart_time_limit(self) -> None:
        """Give a server that has answered so far more time for more work: a run, a model."""
        if not find_database(self.uri):
            signal.alarm(6 * int(os.environ["TRACK_SECONDS"]))


def find_parent(run: "Run") -> str | None:
    """Id of the run below which another is."""
    return run.data.tags.get(PARENT_TAG)


@contextmanager
def open_store(uri: str, to_write: bool = False, to_make: bool = False) -> Iterator[Store]:
    """Open the store, and end with one line if it is dead, slow, damaged or refuses.

    Retries and timeouts give up on a dead server, the alarm on one that answers each request,
    but slowly. Whatever is then half-written, the next call drops. A file has no time limit: many
    commands at once on a busy machine are slow, and all come to an end.

    Args:
        uri: of `find_uri`.
        to_write: whether more than reading is meant; then the caller holds the lock.
        to_make: whether a file that is not there is made.

    Raises:
        InputError: the store cannot be used.
    """
    set_environment()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    def give_up(*_: object) -> None:
        # an exit, since mlflow and urllib3 would catch an error and retry
        sys.exit(hide_passwords(f"error: {_say_unusable(uri, 'too slow, see TRACK_SECONDS')}"))

    before = signal.signal(signal.SIGALRM, give_up)
    store = None
    try:
        prepare(uri, to_write, to_make)
        if not find_database(uri):
            signal.alarm(int(os.environ["TRACK_SECONDS"]))
        store = Store(uri)
        yield store
    except (MlflowException, SQLAlchemyError, OSError) as error:  # requests raises OSErrors
        refusal = explain_refusal(error, store.place if store else "its experiments")
        if refusal:
            raise InputError(f"MLflow at {uri}: {refusal} and try again; {NOT_NEEDED}") from None
        raise InputError(_say_unusable(uri, _shorten(str(error)))) from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def prepare(uri: str, to_write: bool, to_make: bool) -> None:
    """Have the file of a store whole and in its place, if it is one.

    Raises:
        InputError: it is not there, damaged, locked, or was moved and may not be written.
    """
    database = find_database(uri)
    if not database:
        return
    if to_make and not database.exists():
        make_database(database)
    check_database(database, to_write)
    old = find_move(database)
    if old and to_write:
        move(database, old)
    elif old:
        raise InputError(f"{database} was moved here, away from {old}: type `make sync`")


def set_environment() -> None:
    """Prepare for `import mlflow`, which reads some of it."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # what these two would print a page about is raised too
    for name in ("mlflow.store.db.utils", "mlflow.models.signature"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _say_unusable(uri: str, reason: str) -> str:
    return (
        f"MLflow at {uri} cannot be used ({reason}): look after the server or correct "
        f"MLFLOW_TRACKING_URI and try again; {NOT_NEEDED}"
    )


def _shorten(text: str) -> str:
    """One line; what was asked stands at the beginning of MLflow's messages, why not at the end."""
    line = " ".join(text.split())
    return line if len(line) < 300 else f"{line[:140]} … {line[-140:]}"
