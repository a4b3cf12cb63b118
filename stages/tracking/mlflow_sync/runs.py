"""One run: its spec, writing it, updating it, and whether MLflow still has its files.

A `RunSpec` is data that a project fills in. Its `key` identifies the run and is the tag KEY_TAG,
written with the last request. Until then the tag says that the run is in progress: see sync.py.
"""

import filecmp
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlparse
from urllib.request import url2pathname

from stages.shared.json_files import write_json
from stages.tracking.mlflow_sync.checksums import CHECKSUMS, checksum_problem, compute_file_md5
from stages.tracking.mlflow_sync.dvc_files import Md5s, Stage, find_entry, workspace_problem
from stages.tracking.mlflow_sync.mlflow_internals import open_artifacts
from stages.tracking.mlflow_sync.store import (
    KEY_TAG,
    PARENT_TAG,
    Store,
    delete_if_allowed,
    list_model_ids,
)

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import LoggedModel, Metric, Run

FORMAT = 6  # of the displayed content: if it changes, all runs are updated and keep their keys
COMMIT_TAG = "mlflow.source.git.commit"  # as the UI reads it
BRANCH_TAG = "mlflow.source.git.branch"  # likewise
CURRENT_TAG, CURRENT = "dvc.lock", "current"  # of the runs of the lock file that was synced last
RANK_TAG = "leaderboard"  # data and rank of a run within the lock file
VARIANT_TAG = "variant"  # `RunSpec.variant`
EXPERIMENT_TAG = "dvc.experiment"  # name of the DVC experiment that made the run
DISPLAY_TAG = "sync.display_digest"  # `RunSpec.display_digest` of the displayed content
NOTE_TAG = "mlflow.note.content"
BATCH = 1_000  # metrics, params and tags of a request

_PACKAGE_TAG = "sync.package_md5"  # md5 of the checksums of the run's model
_LINEAGE = "lineage.json"
_MOST_CHILD_METRICS = 900  # as many as fit one request
_CLASHES = ("IntegrityError", "UniqueViolation")  # of SQLite and PostgreSQL, in MLflow's text
_NOTE_BEGINS = "<!-- srn sync replaces this block: write below it -->"  # visible only in the editor
_NOTE_ENDS = "<!-- srn sync: end of the block -->"


# The spec of a run


class CurvePoint(NamedTuple):
    """One value of a curve."""

    name: str
    value: float
    step: int
    time: datetime


@dataclass(frozen=True)
class Content:
    """The content of the files of a run, read only when the run is written."""

    started: datetime
    ended: datetime
    curves: list[CurvePoint]
    scores: dict[str, float]  # metrics without steps
    labels: dict[str, str]  # tags
    note: str  # Markdown, for the page of the run


@dataclass(frozen=True)
class Child:
    """A run below another, such as a trial of a search; created and deleted with its parent."""

    name: str
    params: dict[str, str]
    scores: dict[str, float]
    losses: list[tuple[int, float]]  # iteration and loss
    tags: dict[str, str]
    has_failed: bool


@dataclass(frozen=True)
class ModelPackage:
    """How to write the MLflow model of a run."""

    list_files: Callable[[], list[str]]  # paths of the files that the model needs
    # writes the MLflow model into a new folder, with fields that link it to its run
    write: Callable[[Path, dict[str, Any]], None]


@dataclass(frozen=True)
class RunSpec:
    """A run: `key` identifies it, `display_digest` covers everything else that it displays."""

    name: str
    experiment: str
    kind: str  # tag by which people filter runs
    description: str  # one sentence for its page
    stages: dict[str, Stage]  # by role; the one that made the results comes first
    params: dict[str, str]  # as MLflow keeps them
    results: list[str]  # paths of the files that identify it; it is found by the last one
    data: Md5s  # what the first stage read
    read: Callable[[], Content]  # reads its files
    test_data: Md5s = field(default_factory=dict)  # what only the evaluation read
    # path of a displayed file or folder -> folder among the artifacts, "" for none
    shown: dict[str, str] = field(default_factory=dict)
    compared: Md5s = field(default_factory=dict)  # files of other models that its note uses
    package: ModelPackage | None = None  # its model, if it has one
    children: Callable[[], list[Child]] | None = None  # reads the runs below it, if there are any
    lock_problem: str | None = None  # what is missing or half-way in the lock file
    variant: str = ""  # how its params differ from those of the last commit
    has_variants: bool = False  # whether `variant` is filled in
    # tags with its rank in the lock file; None: files for the comparison are missing
    rank_tags: dict[str, str] | None = None
    needed: list[str] | None = None  # paths of the files that it reads; None: all outs
    pull: str = "dvc pull"  # command that gets missing files, for messages
    tag_prefix: str = ""  # of the tags kind, model and stage
    is_inferred: bool = False  # whether infer.py made it; then people may rename its experiment

    @property
    def first_stage(self) -> Stage:
        """The stage that made the results."""
        return next(iter(self.stages.values()))

    @property
    def outs(self) -> Md5s:
        """All outs of its stages."""
        outs: Md5s = {}
        for stage in self.stages.values():
            outs |= stage.outs
        return outs

    @property
    def md5s(self) -> Md5s:
        """All deps and outs of its stages."""
        md5s: Md5s = {}
        for stage in self.stages.values():
            md5s |= stage.deps | stage.outs
        return md5s

    @property
    def files(self) -> list[str]:
        """Paths of the files that are needed to write it."""
        return [*self.outs] if self.needed is None else self.needed

    @property
    def result(self) -> Md5s:
        """The file by which its run is found; empty if it does not exist yet."""
        md5s = self.md5s
        return {path: md5s[path] for path in self.results[-1:] if path in md5s}

    @property
    def title(self) -> str:
        """Its name in MLflow, which distinguishes variants of a model."""
        return f"{self.name} ({self.variant})" if self.variant else self.name

    @property
    def key(self) -> str:
        """Digest of name, results, params and data, whatever code wrote them.

        For an inferred run it includes the experiment.
        """
        md5s = self.md5s
        results = [md5s.get(path) for path in self.results]
        name = f"{self.experiment}/{self.name}" if self.is_inferred else self.name
        return _digest([name, self.params, sorted(self.data.values()), results])

    @property
    def display_digest(self) -> str:
        """Digest of the displayed content that is not part of the key."""
        outs = self.outs
        shown = {path: outs.get(find_entry(path, outs) or path) for path in self.shown}
        return _digest([FORMAT, self.kind, self.description, shown, self.compared])


def flatten(values: dict[str, Any], separator: str) -> dict[str, Any]:
    """Join the keys that lead to each value: `{"a": {"b": 1}}` -> `{"a/b": 1}`."""
    flat = {}
    for key, value in values.items():
        if isinstance(value, dict):
            for rest, inner in flatten(value, separator).items():
                flat[f"{key}{separator}{rest}"] = inner
        else:
            flat[str(key)] = value
    return flat


def format_param(value: Any) -> str:
    """Return the text of a param for MLflow."""
    return value if isinstance(value, str) else json.dumps(value)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def run_problem(spec: RunSpec) -> str | None:
    """Return why a run cannot be written, or None: results are missing or differ from dvc.lock."""
    if spec.lock_problem:
        return spec.lock_problem
    problem = workspace_problem([*spec.files, *spec.compared], spec.md5s, spec.pull)
    return problem or package_problem(spec)


def package_problem(spec: RunSpec) -> str | None:
    """Return why the model of a run cannot be loaded from the workspace, or None."""
    if not spec.package:
        return None
    paths = spec.package.list_files()
    md5s = spec.md5s
    for path in paths:
        if path not in md5s:  # code; its list is missing or differs
            return f"{path} may differ from dvc.lock: run `{spec.pull}` or `dvc repro`"
    return workspace_problem(paths, md5s, spec.pull)


# Writing and updating it


def write_run(
    store: Store, spec: RunSpec, commit: str | None, unfinished_key: str, branch: str | None = None
) -> None:
    """Create a run; the last request writes its key, and so says that it is complete.

    Args:
        store: to write to.
        spec: the spec of the run.
        commit: commit of the lock file, if there is one.
        unfinished_key: value of KEY_TAG until the run is complete, returned by `begin`.
        branch: branch of git, if one is checked out.
    """
    from mlflow.entities import LoggedModelOutput, Metric

    client, content = store.client, spec.read()
    stage = spec.first_stage.name
    prefix = spec.tag_prefix
    tags = {f"{prefix}kind": spec.kind} | content.labels | (spec.rank_tags or {})
    optional = {
        VARIANT_TAG: spec.variant,
        EXPERIMENT_TAG: os.environ.get("DVC_EXP_NAME"),
        COMMIT_TAG: commit,
        BRANCH_TAG: branch,
    }
    tags |= {tag: value for tag, value in optional.items() if value}
    tags |= {f"{prefix}model": spec.name, f"{prefix}stage": stage, "mlflow.source.name": stage}
    tags |= {CURRENT_TAG: CURRENT, NOTE_TAG: join_note(content.note, "")}
    tags |= {DISPLAY_TAG: spec.display_digest, KEY_TAG: unfinished_key}  # shown last on the page
    experiment_id = store.open_experiment(spec.experiment)
    run = client.create_run(experiment_id, _to_milliseconds(content.started), tags, spec.title)
    run_id = run.info.run_id

    _log_inputs(store, run, spec)
    model_id, last_tags = None, {KEY_TAG: spec.key}
    if spec.package:
        # before the metrics, which name it and appear on its page
        logged = client.create_logged_model(experiment_id, spec.name, run_id, params=spec.params)
        last_tags[_PACKAGE_TAG] = _upload_package(store, run, spec.package, logged)
        model_id = logged.model_id
        client.finalize_logged_model(model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    metrics = [
        Metric(point.name, point.value, _to_milliseconds(point.time), point.step)
        for point in content.curves
    ]
    metrics += _list_final_scores(content, model_id)
    num_last = BATCH - len(spec.params) - len(last_tags)
    early, last = metrics[:-num_last], metrics[-num_last:]
    for start in range(0, len(early), BATCH):
        client.log_batch(run_id, early[start : start + BATCH])
    _upload_shown(store, run, spec)
    if spec.children:
        write_children(store, run, spec.children())
    client.set_terminated(run_id, end_time=_to_milliseconds(content.ended))
    log_values(store, run, spec.params, last_tags, last)


def update_shown(store: Store, run: "Run", spec: RunSpec) -> list[str]:
    """Update the displayed content of a run, and last the tag with its digest.

    Returns:
        Files that are no longer displayed, but that the server does not allow to delete.
    """
    # MLflow shows the latest value of a metric
    content = replace(spec.read(), ended=datetime.now(UTC))
    _log_inputs(store, run, spec)
    _upload_shown(store, run, spec)
    artifacts = open_artifacts(store.check_address(run.info.artifact_uri, spec.name), store.uri)
    shown = {_LINEAGE, *_list_shown_files(spec)} if spec.shown else {}
    kept = []
    for folder in ["", *sorted({*spec.shown.values()} - {""})]:
        for file in artifacts.list_artifacts(folder or None):
            if not file.is_dir and file.path not in shown:
                delete = partial(artifacts.delete_artifacts, file.path)
                what = f"{spec.name}: {file.path}, shown no more,"
                kept.append(delete_if_allowed(delete, what, spec.experiment))
    metrics = run.data.metrics  # an earlier FORMAT had fewer, and baselines may have changed
    scores = _list_final_scores(content, None)
    changed = [score for score in scores if metrics.get(score.key) != score.value]
    note = join_note(content.note, run.data.tags.get(NOTE_TAG, ""))
    tags = {f"{spec.tag_prefix}kind": spec.kind} | content.labels
    tags |= {NOTE_TAG: note, DISPLAY_TAG: spec.display_digest}
    log_values(store, run, {}, tags, changed)
    return [line for line in kept if line]


def join_note(note: str, text: str) -> str:
    """Return the text of a page with a new note; what people wrote around the old one stays.

    Args:
        note: the new note, in Markdown.
        text: the text of the page, with the old note between two comments, or without one.
    """
    block = f"{_NOTE_BEGINS}\n{note}\n\n{_NOTE_ENDS}"
    before, begins, rest = text.partition(_NOTE_BEGINS)
    _, ends, after = rest.partition(_NOTE_ENDS)
    if begins and ends:
        return f"{before}{block}{after}"
    return f"{block}\n\n{text}" if text.strip() else block


def upload_lost(store: Store, run: "Run", spec: RunSpec) -> list[str]:
    """Upload files again that a server has lost; return what `update_shown` returns."""
    for model_id in list_model_ids(run):
        assert spec.package  # only runs with a model have models
        logged = store.client.get_logged_model(model_id)
        md5 = _upload_package(store, run, spec.package, logged)
        store.client.set_tag(run.info.run_id, _PACKAGE_TAG, md5)
    return update_shown(store, run, spec)


def log_values(
    store: Store, run: "Run", params: dict[str, str], tags: dict[str, str], metrics: "list[Metric]"
) -> None:
    """Log metrics, params and then tags with one request."""
    from mlflow.entities import Param, RunTag

    listed_params = [Param(name, value) for name, value in params.items()]
    listed_tags = [RunTag(name, value) for name, value in tags.items()]
    store.client.log_batch(run.info.run_id, metrics, listed_params, listed_tags)


def _to_milliseconds(time: datetime) -> int:
    """Convert a time to milliseconds since 1970, as in MLflow."""
    return int(time.timestamp() * 1000)


def _log_inputs(store: Store, run: "Run", spec: RunSpec) -> None:
    """Log the data sets, and the result by which the run is found, with DVC's md5s as digests."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.exceptions import MlflowException

    inputs = []
    contexts = {"training": spec.data, "evaluation": spec.test_data, "result": spec.result}
    for context, files in contexts.items():
        for path, md5 in files.items():
            dataset = Dataset(path, md5, "local", json.dumps({"uri": path}))
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    for tries_left in (2, 1, 0):
        try:
            return store.client.log_inputs(run.info.run_id, inputs)
        except MlflowException as error:
            # another clone may have logged the same data at that moment
            is_clash = any(name in str(error) for name in _CLASHES)
            if not tries_left or not is_clash:
                raise


def _list_final_scores(content: Content, model_id: str | None) -> "list[Metric]":
    """Return the scores as metrics, which belong to the logged model, too."""
    from mlflow.entities import Metric

    ended = _to_milliseconds(content.ended)
    return [Metric(name, value, ended, 0, model_id) for name, value in content.scores.items()]


def write_children(store: Store, run: "Run", children: Iterable[Child]) -> None:
    """Create the child runs of a run, with three requests each."""
    from mlflow.entities import Metric, Param

    now = _to_milliseconds(datetime.now(UTC))
    for child in children:
        store.restart_time_limit()
        tags = {PARENT_TAG: run.info.run_id} | child.tags
        made = store.client.create_run(run.info.experiment_id, now, tags, child.name)
        metrics = [Metric(name, value, now, 0) for name, value in child.scores.items()]
        for iteration, loss in child.losses[:_MOST_CHILD_METRICS]:
            metrics.append(Metric("loss", loss, now, iteration))
        params = [Param(name, value) for name, value in child.params.items()]
        store.client.log_batch(made.info.run_id, metrics, params)
        status = "FAILED" if child.has_failed else "FINISHED"
        store.client.set_terminated(made.info.run_id, status, now)


def _upload_package(store: Store, run: "Run", package: ModelPackage, logged: "LoggedModel") -> str:
    """Upload the files of a logged model; return the md5 of their checksums."""
    identity = {
        "artifact_path": logged.artifact_location,
        "run_id": run.info.run_id,
        "model_id": logged.model_id,
        "model_uuid": logged.model_id,
    }
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "model")
        package.write(packed, identity)
        address = store.check_address(logged.artifact_location, f"the model {logged.name}")
        open_artifacts(address, store.uri).log_artifacts(str(packed))
        return compute_file_md5(packed / CHECKSUMS)


def _upload_shown(store: Store, run: "Run", spec: RunSpec) -> None:
    """Upload the displayed files, if any, and a list of the stages that made them."""
    if not spec.shown:
        return
    address = store.check_address(run.info.artifact_uri, spec.name)
    local = _find_local_folder(address)
    if local:
        # copies of DVC's links are read-only, so that MLflow could not overwrite them
        for name in _list_shown_files(spec):
            if not os.access(local / name, os.W_OK):
                (local / name).unlink(missing_ok=True)
    artifacts = open_artifacts(address, store.uri)
    for path, folder in spec.shown.items():
        upload = artifacts.log_artifacts if Path(path).is_dir() else artifacts.log_artifact
        upload(path, folder or None)
    with tempfile.TemporaryDirectory() as scratch:
        lineage = Path(scratch, _LINEAGE)
        write_json(lineage, {role: asdict(stage) for role, stage in spec.stages.items()})
        artifacts.log_artifact(str(lineage))


# Whether MLflow still has it


def lost_files(store: Store, run: "Run", spec: RunSpec) -> str | None:
    """Return which files of a run MLflow has lost, or None.

    Local files are read and compared. Of a server only the folders are listed; the files of a model
    are checked when it is loaded.
    """
    folder = _find_local_folder(store.check_address(run.info.artifact_uri, spec.name))
    models = list_model_ids(run)
    if not folder:
        kept = store.list_folders(run.info.experiment_id)
        if models:
            kept = kept | store.list_folders(run.info.experiment_id, "models")
        wanted = [run.info.run_id, *models] if spec.shown else models
        lost = [name for name in wanted if name not in kept]
        return f"no artifacts of {', '.join(lost)}" if lost else None
    for model_id in models:
        location = store.client.get_logged_model(model_id).artifact_location
        location = store.check_address(location, f"the model {spec.name}")
        packed = Path(_find_local_folder(location) or "")
        problem = checksum_problem(packed)
        logged = run.data.tags.get(_PACKAGE_TAG)
        if not problem and not logged:
            problem = "it was logged by an earlier version"
        elif not problem and compute_file_md5(packed / CHECKSUMS) != logged:
            problem = f"{CHECKSUMS} has changed"
        if problem:
            return f"model: {problem}"
    for name, file in _list_shown_files(spec).items():
        copy = folder / name
        if not copy.exists() or not filecmp.cmp(file, copy, shallow=False):
            return f"{name} is missing or damaged"
    return None


def _list_shown_files(spec: RunSpec) -> dict[str, Path]:
    """List the displayed files of a run: path among its artifacts -> file."""
    files = {}
    for path, folder in spec.shown.items():
        shown = Path(path)
        top = shown.parent if shown.is_file() else shown
        for file in [shown] if shown.is_file() else shown.rglob("*.*"):
            files[Path(folder, file.relative_to(top)).as_posix()] = file
    return files


def _find_local_folder(uri: str) -> Path | None:
    """Return the local folder of an artifact address, None for other addresses."""
    parsed = urlparse(uri)
    return Path(url2pathname(parsed.path)) if parsed.scheme == "file" else None
