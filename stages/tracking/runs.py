"""A run: what MLflow is given, and in which order.

A run is identified by `Subject.key`, which is its tag `key`, written last. Until then the tag says
that the run is pending: see pending.py.
"""

import json
import os
import socket
import tempfile
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.shared.bundle import ModelConfig
from stages.shared.json_files import write_json
from stages.tracking.artifacts import SEAL_TAG
from stages.tracking.content import Content, read_content
from stages.tracking.location import find_root
from stages.tracking.packing import pack_model
from stages.tracking.seal import SEAL, compute_file_md5
from stages.tracking.store import Store
from stages.tracking.subjects import Search, Subject
from stages.tracking.trials import log_trials

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import DatasetInput, LoggedModel, Metric, Run

COMMIT_TAG = "mlflow.source.git.commit"  # where the UI looks for it
LOOKS_TAG = "looks"  # `Subject.looks` of what the run shows
LINEAGE = "lineage.json"
SHOWN = ("figures", "tables", "progress.txt", LINEAGE)  # what it shows: see `find_place`
BATCH = 1000  # metrics that MLflow takes at once


def publish(store: Store, subject: Subject, commit: str | None, pending: str) -> None:
    """Make the run of a model or of the tour; until it is complete its key is `pending`."""
    client, content = store.client, read_content(subject)
    experiment = store.open_experiment(subject.experiment)
    tags = {"key": pending, "owner": f"{socket.gethostname()}:{find_root()}"}
    started = to_milliseconds(content.started)
    run = client.create_run(experiment, started, tags, subject.name)
    run_id = run.info.run_id

    client.log_inputs(run_id, list_inputs(subject))
    log_params(store, run, subject.params)
    log_tags(store, run, list_tags(subject, content, commit))
    model_id = None
    if content.config:
        # before the metrics: the model's page shows those that name it
        model_id = log_model(store, run, subject, content.config)
    metrics = list_curves(content) + list_final_scores(content, model_id)
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[start : start + BATCH])
    log_shown(store, run, subject, content.note)
    if isinstance(subject, Search):
        log_trials(store, run, subject, content.labels["data"])
    client.set_terminated(run_id, end_time=to_milliseconds(content.ended))
    client.set_tag(run_id, "key", subject.key)


def to_milliseconds(time: datetime) -> int:
    """Since 1970, as MLflow counts time."""
    return int(time.timestamp() * 1000)


def log_params(store: Store, run: "Run", params: dict[str, str]) -> None:
    """Give the run its params."""
    from mlflow.entities import Param

    listed = [Param(name, value) for name, value in params.items()]
    store.client.log_batch(run.info.run_id, params=listed)


def log_tags(store: Store, run: "Run", tags: dict[str, str]) -> None:
    """Give the run tags."""
    from mlflow.entities import RunTag

    listed = [RunTag(name, value) for name, value in tags.items()]
    store.client.log_batch(run.info.run_id, tags=listed)


def list_inputs(subject: Subject) -> "list[DatasetInput]":
    """List the data that training and evaluation read, with DVC's md5 as digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for context, data in (("training", subject.data), ("evaluation", subject.test_data)):
        for path, md5 in data.items():
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


def log_model(store: Store, run: "Run", subject: Subject, config: ModelConfig) -> str:
    """Give the run its model, loadable from MLflow alone; returns the model's id."""
    from mlflow.entities import LoggedModelOutput

    client, run_id = store.client, run.info.run_id
    experiment = run.info.experiment_id
    logged = client.create_logged_model(experiment, subject.name, run_id, params=subject.params)
    log_package(store, run, subject, config, logged)
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged.model_id


def log_package(
    store: Store, run: "Run", subject: Subject, config: ModelConfig, logged: "LoggedModel"
) -> None:
    """Give a logged model its files, and the run the tag by which they are known."""
    identity = {
        "artifact_path": logged.artifact_location,
        "run_id": run.info.run_id,
        "model_id": logged.model_id,
        "model_uuid": logged.model_id,
    }
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "model")
        pack_model(packed, subject.name, config, identity)
        store.client.log_model_artifacts(logged.model_id, str(packed))
        store.client.set_tag(run.info.run_id, SEAL_TAG, compute_file_md5(packed / SEAL))


def log_shown(store: Store, run: "Run", subject: Subject, note: str) -> None:
    """Give the run what people look at, and last the tags that say what that is."""
    client, run_id = store.client, run.info.run_id
    for path, place in subject.shown.items():
        log = client.log_artifacts if Path(path).is_dir() else client.log_artifact
        log(run_id, path, place or None)
    with tempfile.TemporaryDirectory() as folder:
        lineage = Path(folder, LINEAGE)
        write_lineage(subject, lineage)
        client.log_artifact(run_id, str(lineage))
    tags = {"kind": subject.kind, "mlflow.note.content": note, LOOKS_TAG: subject.looks}
    log_tags(store, run, tags)


def replace_shown(store: Store, run: "Run", subject: Subject) -> None:
    """Give the run what is shown now instead of what was."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    artifacts: Any = get_artifact_repository(run.info.artifact_uri, store.uri)
    for place in SHOWN:
        artifacts.delete_artifacts(place)
    log_shown(store, run, subject, read_content(subject).note)


def restore(store: Store, run: "Run", subject: Subject) -> None:
    """Give the run once more the files that MLflow has lost."""
    config = read_content(subject).config
    for model_id in store.list_models(run):
        assert config is not None  # only models have models
        log_package(store, run, subject, config, store.client.get_logged_model(model_id))
    replace_shown(store, run, subject)
