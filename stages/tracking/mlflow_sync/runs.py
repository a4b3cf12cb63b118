"""A run: what MLflow is given, and in which order.

A run is identified by `Subject.key`, which is its tag `key`, written by the last request. Until
then the tag says that the run is pending: see pending.py.
"""

import json
import os
import socket
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stages.shared.bundle import ModelConfig
from stages.shared.json_files import write_json
from stages.tracking.artifacts import SEAL_TAG, list_shown
from stages.tracking.content import Content, read_content
from stages.tracking.location import find_root
from stages.tracking.packing import pack_model
from stages.tracking.seal import SEAL, compute_file_md5
from stages.tracking.store import Store
from stages.tracking.subjects import PLACES, Search, Subject
from stages.tracking.trials import log_trials

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import DatasetInput, LoggedModel, Metric, Run

COMMIT_TAG = "mlflow.source.git.commit"  # where the UI looks for it
LOOKS_TAG = "looks"  # `Subject.looks` of what the run shows
LINEAGE = "lineage.json"
BATCH = 1_000  # metrics, params and tags of a request
CLASHES = (
    "IntegrityError",
    "UniqueViolation",
)  # what SQLite and PostgreSQL call one, in MLflow's text


def publish(store: Store, subject: Subject, commit: str | None, pending: str) -> None:
    """Make the run of a model or of the tour; until it is complete its key is `pending`."""
    client, content = store.client, read_content(subject)
    experiment = store.open_experiment(subject.experiment)
    tags = list_tags(subject, content, commit) | list_looks(subject, content.note)
    tags |= {"key": pending, "owner": f"{socket.gethostname()}:{find_root()}"}
    started = to_milliseconds(content.started)
    run = client.create_run(experiment, started, tags, subject.name)
    run_id = run.info.run_id

    log_inputs(store, run, subject)
    model_id, last_tags = None, {"key": subject.key}
    if content.config:
        # before the metrics: the model's page shows those that name it
        model_id, md5 = log_model(store, run, subject, content.config)
        last_tags[SEAL_TAG] = md5
    metrics = list_curves(content) + list_final_scores(content, model_id)
    num_last = BATCH - len(subject.params) - len(last_tags)
    early, last = metrics[:-num_last], metrics[-num_last:]
    for start in range(0, len(early), BATCH):
        client.log_batch(run_id, early[start : start + BATCH])
    upload_shown(store, run, subject)
    if isinstance(subject, Search):
        log_trials(store, run, subject, content.labels["data"])
    client.set_terminated(run_id, end_time=to_milliseconds(content.ended))
    log_values(store, run, subject.params, last_tags, last)


def to_milliseconds(time: datetime) -> int:
    """Since 1970, as MLflow counts time."""
    return int(time.timestamp() * 1000)


def log_values(
    store: Store,
    run: "Run",
    params: dict[str, str],
    tags: dict[str, str],
    metrics: "list[Metric]",
) -> None:
    """Give the run params, metrics and, after them, tags by one request."""
    from mlflow.entities import Param, RunTag

    listed_params = [Param(name, value) for name, value in params.items()]
    listed_tags = [RunTag(name, value) for name, value in tags.items()]
    store.client.log_batch(run.info.run_id, metrics, listed_params, listed_tags)


def log_inputs(store: Store, run: "Run", subject: Subject) -> None:
    """Name the data of a run; again where another clone named the same data at that moment."""
    from mlflow.exceptions import MlflowException

    for tries_left in (2, 1, 0):
        try:
            return store.client.log_inputs(run.info.run_id, list_inputs(subject))
        except MlflowException as error:
            is_clash = any(name in str(error) for name in CLASHES)
            if not tries_left or not is_clash:
                raise


def list_inputs(subject: Subject) -> "list[DatasetInput]":
    """List the data that were read, and the result by which the run is found, by DVC's md5s."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    contexts = {"training": subject.data, "evaluation": subject.test_data, "result": subject.result}
    for context, files in contexts.items():
        for path, md5 in files.items():
            dataset = Dataset(path, md5, "local", json.dumps({"uri": path}))
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    return inputs


def list_tags(subject: Subject, content: Content, commit: str | None) -> dict[str, str]:
    """List where the run comes from."""
    tags = {"mlflow.source.name": subject.maker.name, "stage": subject.maker.name}
    tags |= {"model": subject.name} | content.labels
    if commit:
        tags[COMMIT_TAG] = commit
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment:
        tags["dvc.experiment"] = experiment
    return tags


def list_looks(subject: Subject, note: str) -> dict[str, str]:
    """List what is shown beside params and metrics, and the digest of all of it."""
    return {"kind": subject.kind, "mlflow.note.content": note, LOOKS_TAG: subject.looks}


def write_lineage(subject: Subject, path: Path) -> None:
    """Write what ties the run to dvc.lock: what that says of each stage."""
    write_json(path, {role: asdict(stage) for role, stage in subject.stages.items()})


def list_curves(content: Content) -> "list[Metric]":
    """List the curves."""
    from mlflow.entities import Metric

    metrics = []
    for point in content.curves:
        time = to_milliseconds(point.time)
        metrics.append(Metric(point.name, point.value, time, point.step))
    return metrics


def list_final_scores(content: Content, model_id: str | None) -> "list[Metric]":
    """List the scores, which belong to the logged model too."""
    from mlflow.entities import Metric

    ended = to_milliseconds(content.ended)
    return [Metric(name, value, ended, 0, model_id) for name, value in content.scores.items()]


def log_model(store: Store, run: "Run", subject: Subject, config: ModelConfig) -> tuple[str, str]:
    """Give the run its model, loadable from MLflow alone; returns the model's id and its seal."""
    from mlflow.entities import LoggedModelOutput

    client, run_id = store.client, run.info.run_id
    experiment = run.info.experiment_id
    logged = client.create_logged_model(experiment, subject.name, run_id, params=subject.params)
    md5 = upload_package(store, run, subject, config, logged)
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged.model_id, md5


def upload_package(
    store: Store, run: "Run", subject: Subject, config: ModelConfig, logged: "LoggedModel"
) -> str:
    """Give a logged model its files; returns the md5 by which they are known."""
    identity = {
        "artifact_path": logged.artifact_location,
        "run_id": run.info.run_id,
        "model_id": logged.model_id,
        "model_uuid": logged.model_id,
    }
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "model")
        pack_model(packed, subject.name, config, identity)
        store.open_artifacts(logged.artifact_location).log_artifacts(str(packed))
        return compute_file_md5(packed / SEAL)


def upload_shown(store: Store, run: "Run", subject: Subject) -> None:
    """Give the run the files that people look at, if any, and whence they are."""
    if not subject.shown:
        return
    artifacts = store.open_artifacts(run.info.artifact_uri)
    for path, place in subject.shown.items():
        upload = artifacts.log_artifacts if Path(path).is_dir() else artifacts.log_artifact
        upload(path, place or None)
    with tempfile.TemporaryDirectory() as folder:
        lineage = Path(folder, LINEAGE)
        write_lineage(subject, lineage)
        artifacts.log_artifact(str(lineage))


def replace_shown(store: Store, run: "Run", subject: Subject) -> None:
    """Give the run what is shown now, and last the tags that say what that is."""
    content = replace(
        read_content(subject), ended=datetime.now(UTC)
    )  # MLflow shows the latest score
    log_inputs(store, run, subject)
    upload_shown(store, run, subject)
    remove_unshown(store, run, subject)
    shown = run.data.metrics  # an earlier FORMAT had less, and baselines may be others now
    scores = list_final_scores(content, None)
    changed = [score for score in scores if shown.get(score.key) != score.value]
    log_values(store, run, {}, list_looks(subject, content.note), changed)


def remove_unshown(store: Store, run: "Run", subject: Subject) -> None:
    """Take away the files that are shown no more."""
    artifacts = store.open_artifacts(run.info.artifact_uri)
    shown = {LINEAGE, *list_shown(subject)} if subject.shown else {}
    for place in PLACES:
        for file in artifacts.list_artifacts(place or None):
            if not file.is_dir and file.path not in shown:
                with store.allow_refusal(f"{subject.name}: {file.path}, shown no more,"):
                    artifacts.delete_artifacts(file.path)


def restore(store: Store, run: "Run", subject: Subject) -> None:
    """Give the run once more the files that MLflow has lost."""
    config = read_content(subject).config
    for model_id in store.list_models(run):
        assert config is not None  # only models have models
        logged = store.client.get_logged_model(model_id)
        md5 = upload_package(store, run, subject, config, logged)
        store.client.set_tag(run.info.run_id, SEAL_TAG, md5)
    replace_shown(store, run, subject)
