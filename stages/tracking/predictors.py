"""The model that predicts: the registered champion, or else the best one of the workspace."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stages.tracking.content import list_artifacts, read_json
from stages.tracking.packing import save_served
from stages.tracking.ranking import rank_candidates
from stages.tracking.store import CHAMPION, find_uri, is_absent, open_store, set_environment

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel


def load_predictor(task: str) -> "tuple[PyFuncModel, str]":
    """Load the model of a task.

    Returns:
        the model as MLflow serves it, and where it comes from.

    Raises:
        InputError: the store cannot be used, or there is no model at all.
    """
    return load_champion(task) or load_best(task)


def load_champion(task: str) -> "tuple[PyFuncModel, str] | None":
    """Load the registered champion, if there is one."""
    uri = find_uri()
    if is_absent(uri):
        return None
    with open_store(uri) as store:
        champion = store.find_champion(task)
        if not champion:
            return None
        import mlflow

        store.renew_patience()
        mlflow.set_tracking_uri(uri)
        model = mlflow.pyfunc.load_model(f"models:/{task}@{CHAMPION}")
        name = store.client.get_run(champion.run_id).info.run_name
        return model, f"{name}, champion of {task} (version {champion.version})"


def load_best(task: str) -> "tuple[PyFuncModel, str]":
    """Load the workspace's best model, packed as MLflow would get it."""
    set_environment()
    name = rank_candidates(task)[0].model.name
    artifacts = list_artifacts(name, read_json(f"data/trained/{name}/sizes.json"))
    with tempfile.TemporaryDirectory() as folder:
        save_served(Path(folder, "model"), task, artifacts)
        import mlflow

        return mlflow.pyfunc.load_model(f"{folder}/model"), f"{name}, best of the workspace"
