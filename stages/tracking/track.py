"""Make MLflow agree with dvc.lock: every trained model has its one run.

Run by DVC as `python -m stages.tracking.track`, and by hand (`make sync`) after whatever changes
data/ without running code: `dvc pull`, `dvc checkout`, a stage that DVC took from its cache. What
MLflow has already is left alone, so a second call writes nothing. `--check` never writes; it lists
what is missing or stale.

A run is identified by `Model.key`, which is its tag `key`, written last. Until then the tag says
whose pending run it is; a process that dies leaves it so, and the owner's next call drops the run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stages.shared.errors import exit_on_input_error
from stages.tracking.content import Content, find_obstacle, name_metric, read_content
from stages.tracking.lockfile import Model, read_models
from stages.tracking.packing import save_served
from stages.tracking.store import Store, find_uri, is_absent, lock_store, open_store

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import DatasetInput, Metric, Run

COMMIT_TAG = "mlflow.source.git.commit"  # where the UI looks for it
FIGURES_TAG = "figures"  # md5 of what lies under figures/
BATCH = 1000  # metrics that MLflow takes at once


def main(check: bool) -> None:
    """Bring the store up to date, or say what it lacks."""
    models, uri = read_models(), find_uri()
    if check:
        if faults := list_faults(models, uri):
            sys.exit("\n".join([f"MLflow at {uri} is behind dvc.lock:", *faults]))
    else:
        with lock_store(), open_store(uri) as store:
            for line in sync(store, models):
                print(line, flush=True)
    print(f"MLflow at {uri}: {len(models)} models in dvc.lock")


def list_faults(models: list[Model], uri: str) -> list[str]:
    """Say what a sync would change, without writing anything."""
    if is_absent(uri):
        return [f"  {model.name}: no run" for model in models]
    with open_store(uri) as store:
        found = [(model.name, find_fault(model, store.find_runs(model.key))) for model in models]
        found += [(run.info.run_name, "unfinished") for run in store.find_runs(store.pending)]
    return [f"  {name}: {fault}" for name, fault in found if fault]


def find_fault(model: Model, runs: "list[Run]") -> str | None:
    """Say what is wrong with the runs that a model has."""
    if len(runs) != 1:
        return f"{len(runs)} runs" if runs else "no run"
    is_stale = runs[0].data.tags.get(FIGURES_TAG) != model.figures
    return "stale figures" if is_stale else None


def sync(store: Store, models: list[Model]) -> Iterator[str]:
    """Make, complete and drop runs; tells what was done."""
    commit = find_commit()
    found = [(model, store.find_runs(model.key)) for model in models]
    for model, runs in found:
        store.renew_patience()
        if find_fault(model, runs) and (obstacle := find_obstacle(model)):
            yield f"{model.name}: not tracked, {obstacle}"
            continue
        if not runs:
            publish(store, model, commit)
            yield f"{model.name}: run made"
            runs = store.find_runs(model.key)  # another clone may have made one meanwhile
        run, *doubles = runs
        for double in doubles:
            store.drop_run(double)
            yield f"{model.name}: double dropped"
        if run.data.tags.get(FIGURES_TAG) != model.figures:
            replace_figures(store, run, model)
            yield f"{model.name}: figures replaced"
        if commit and COMMIT_TAG not in run.data.tags:
            store.client.set_tag(run.info.run_id, COMMIT_TAG, commit)
            yield f"{model.name}: commit noted"
    for run in store.find_runs(store.pending):
        store.drop_run(run)
        yield f"{run.info.run_name}: unfinished run dropped"


def publish(store: Store, model: Model, commit: str | None) -> None:
    """Make the run of a model; see the module's docstring for the order of writes."""
    from mlflow.entities import Param, RunTag

    client, content = store.client, read_content(model)
    run = client.create_run(
        store.open_experiment(content.task),
        content.started,
        {"key": store.pending, "owner": store.owner},
        model.name,
    )
    run_id = run.info.run_id
    client.log_inputs(run_id, list_inputs(model))
    client.log_batch(
        run_id,
        params=[Param(*param) for param in model.params.items()],
        tags=[RunTag(*tag) for tag in list_tags(model, content, commit).items()],
    )
    # before the metrics: the model's page shows those that name it
    metrics = list_metrics(content, log_model(store, run, model, content))
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[start : start + BATCH])
    log_figures(store, run, model)
    client.set_terminated(run_id, end_time=content.ended)
    client.set_tag(run_id, "key", model.key)


def list_inputs(model: Model) -> "list[DatasetInput]":
    """List the data that training and evaluation read, with DVC's md5 as digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(path, md5, "local", json.dumps({"uri": path})),
            [InputTag("mlflow.data.context", context)],
        )
        for context, data in (("training", model.data), ("evaluation", model.test_data))
        for path, md5 in data.items()
    ]


def list_tags(model: Model, content: Content, commit: str | None) -> dict[str, str]:
    """List what ties the run to dvc.lock, and what the UI shows of it."""
    tags = {
        "mlflow.note.content": content.description,
        "mlflow.source.name": model.train.name,
        **content.labels,
    }
    if commit:
        tags[COMMIT_TAG] = commit
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.experiment"] = experiment
    return tags | list_stage_tags("train", model) | list_stage_tags("evaluate", model)


def list_stage_tags(role: str, model: Model) -> dict[str, str]:
    """List what dvc.lock says of one of the model's stages."""
    stage = model.stages[role]
    tags = {f"dvc.{role}.stage": stage.name, f"dvc.{role}.cmd": stage.cmd}
    for kind in ("deps", "params", "outs"):
        tags[f"dvc.{role}.{kind}"] = json.dumps(getattr(stage, kind), indent=1)
    return tags


def list_metrics(content: Content, model_id: str) -> "list[Metric]":
    """List the curves, and the scores, which belong to the logged model too."""
    from mlflow.entities import Metric

    curves = [Metric(p.name, p.value, p.time, p.iteration) for p in content.curves]
    return curves + [
        Metric(name_metric(name), value, content.ended, 0, model_id)
        for name, value in content.scores.items()
    ]


def log_model(store: Store, run: "Run", model: Model, content: Content) -> str:
    """Give the run its model, loadable from MLflow alone; returns the model's id."""
    from mlflow.entities import LoggedModelOutput

    client, run_id = store.client, run.info.run_id
    logged = client.create_logged_model(
        run.info.experiment_id, model.name, run_id, params=model.params
    )
    with tempfile.TemporaryDirectory() as folder:
        save_served(
            Path(folder, "model"),
            content.task,
            content.artifacts,
            artifact_path=logged.artifact_location,
            run_id=run_id,
            model_id=logged.model_id,
            model_uuid=logged.model_id,
        )
        client.log_model_artifacts(logged.model_id, f"{folder}/model")
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged.model_id


def log_figures(store: Store, run: "Run", model: Model) -> None:
    """Give the run its figures, and last the tags that say which they are."""
    from mlflow.entities import RunTag

    if model.figures:
        store.client.log_artifacts(run.info.run_id, f"data/plotted/{model.name}", "figures")
        tags = list_stage_tags("plot", model) | {FIGURES_TAG: model.figures}
        store.client.log_batch(run.info.run_id, tags=[RunTag(*tag) for tag in tags.items()])


def replace_figures(store: Store, run: "Run", model: Model) -> None:
    """Give a run other figures: a stage that draws has changed, its model has not."""
    from mlflow.artifacts import get_artifact_repository

    get_artifact_repository(run.info.artifact_uri, store.uri).delete_artifacts("figures")
    log_figures(store, run, model)


def find_commit() -> str | None:
    """Name the commit that holds this dvc.lock: HEAD, if nothing has changed since."""
    git = ("git", "--no-optional-locks")  # DVC may be at work in the same repository
    try:
        for command in (("ls-files", "--error-unmatch", "dvc.lock"), ("status", "--porcelain")):
            changes = subprocess.run([*git, *command], capture_output=True, check=True).stdout
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, no repository, no commit
    return None if changes else head.decode().strip()


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m stages.tracking.track", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only say what lacks")
    return parser.parse_args()


if __name__ == "__main__":
    with exit_on_input_error():
        main(parse_arguments().check)
