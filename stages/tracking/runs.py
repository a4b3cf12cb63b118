"""The run of a model: what MLflow is given, and in which order.

A run is identified by `Model.key`, which is its tag `key`, written last. Until then the tag says
whose pending run it is; a process that dies leaves it so, and the owner's next call drops the run.
"""

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.shared.curves import COLUMNS
from stages.tracking.content import Content, read_content
from stages.tracking.description import describe
from stages.tracking.lockfile import Model
from stages.tracking.metrics import list_labels, list_scores
from stages.tracking.packing import pack_model
from stages.tracking.store import Store

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import DatasetInput, Metric, Run

COMMIT_TAG = "mlflow.source.git.commit"  # where the UI looks for it
FIGURES_TAG = "figures"  # md5 of what lies under figures/
BATCH = 1000  # metrics that MLflow takes at once


def publish(store: Store, model: Model, commit: str | None) -> None:
    """Make the run of a model."""
    client, content = store.client, read_content(model.name)
    experiment = store.open_experiment(content.config.task)
    tags = {"key": store.pending, "owner": store.owner}
    started = to_milliseconds(content.times.started)
    run = client.create_run(experiment, started, tags, model.name)
    run_id = run.info.run_id

    client.log_inputs(run_id, list_inputs(model))
    log_params(store, run, model.params)
    log_tags(store, run, list_tags(model, content, commit))
    # before the metrics: the model's page shows those that name it
    model_id = log_model(store, run, model, content)
    metrics = list_curves(content) + list_final_scores(content, model_id)
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[start : start + BATCH])
    log_figures(store, run, model)
    client.set_terminated(run_id, end_time=to_milliseconds(content.times.ended))
    client.set_tag(run_id, "key", model.key)


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


def list_inputs(model: Model) -> "list[DatasetInput]":
    """List the data that training and evaluation read, with DVC's md5 as digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for context, data in (("training", model.data), ("evaluation", model.test_data)):
        for path, md5 in data.items():
            dataset = Dataset(path, md5, "local", json.dumps({"uri": path}))
            inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    return inputs


def list_tags(model: Model, content: Content, commit: str | None) -> dict[str, str]:
    """List what ties the run to dvc.lock, and what the UI shows of it."""
    tags = {
        "mlflow.note.content": describe(model.name, content),
        "mlflow.source.name": model.train.name,
        "processor": content.times.processor,
    }
    tags |= list_labels(content.metrics)
    if commit:
        tags[COMMIT_TAG] = commit
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment:
        tags["dvc.experiment"] = experiment
    tags |= list_stage_tags("train", model)
    tags |= list_stage_tags("evaluate", model)
    return tags


def list_stage_tags(role: str, model: Model) -> dict[str, str]:
    """List what dvc.lock says of one of the model's stages."""
    stage = model.stages[role]
    return {
        f"dvc.{role}.stage": stage.name,
        f"dvc.{role}.cmd": stage.cmd,
        f"dvc.{role}.deps": json.dumps(stage.deps, indent=1),
        f"dvc.{role}.params": json.dumps(stage.params, indent=1),
        f"dvc.{role}.outs": json.dumps(stage.outs, indent=1),
    }


def list_curves(content: Content) -> "list[Metric]":
    """List what training recorded; times are spread evenly over it."""
    from mlflow.entities import Metric

    started = to_milliseconds(content.times.started)
    ended = to_milliseconds(content.times.ended)
    metrics = []
    for row, iteration in enumerate(content.curves.iteration):
        time = started + (ended - started) * iteration // content.curves.iteration[-1]
        for name in COLUMNS:
            value = getattr(content.curves, name)[row]
            if name != "iteration" and value is not None:
                metrics.append(Metric(name, value, time, iteration))
    return metrics


def list_final_scores(content: Content, model_id: str) -> "list[Metric]":
    """List the scores, which belong to the logged model too."""
    from mlflow.entities import Metric

    ended = to_milliseconds(content.times.ended)
    scores = list_scores(content.metrics)
    return [Metric(name, value, ended, 0, model_id) for name, value in scores.items()]


def log_model(store: Store, run: "Run", model: Model, content: Content) -> str:
    """Give the run its model, loadable from MLflow alone; returns the model's id."""
    from mlflow.entities import LoggedModelOutput

    client, run_id = store.client, run.info.run_id
    experiment = run.info.experiment_id
    logged = client.create_logged_model(experiment, model.name, run_id, params=model.params)
    identity = {
        "artifact_path": logged.artifact_location,
        "run_id": run_id,
        "model_id": logged.model_id,
        "model_uuid": logged.model_id,
    }
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "model")
        pack_model(packed, model.name, content.config, identity)
        client.log_model_artifacts(logged.model_id, str(packed))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged.model_id


def log_figures(store: Store, run: "Run", model: Model) -> None:
    """Give the run its figures, and last the tags that say which they are."""
    if model.figures:
        store.client.log_artifacts(run.info.run_id, f"data/plotted/{model.name}", "figures")
        tags = list_stage_tags("plot", model)
        tags[FIGURES_TAG] = model.figures
        log_tags(store, run, tags)


def replace_figures(store: Store, run: "Run", model: Model) -> None:
    """Give a run other figures: a stage that draws has changed, its model has not."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    artifacts: Any = get_artifact_repository(run.info.artifact_uri, store.uri)
    artifacts.delete_artifacts("figures")
    log_figures(store, run, model)
