"""The model that predicts: a named one, or the champion, or else the best of the workspace."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.shared.bundle import read_config
from stages.shared.errors import InputError
from stages.tracking.location import find_uri, is_absent
from stages.tracking.packing import list_artifacts, pack_model
from stages.tracking.ranking import rank_candidates
from stages.tracking.store import CHAMPION, Store, open_store, set_environment
from stages.tracking.subjects import Model, read_models

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel


@dataclass(frozen=True)
class Predictor:
    """A model as MLflow serves it, and where it comes from."""

    model: "PyFuncModel"
    origin: str

    def predict(self, model_input: Any, **params: Any) -> Any:
        """Answer as the `predict` of stages/tracking/served/ does."""
        return self.model.predict(model_input, params=params)


def load_predictor(task: str, name: str | None = None) -> Predictor:
    """Load the model of a task.

    Args:
        task: sine or surnames.
        name: of a model in dvc.lock; None: the champion, or else the best.

    Raises:
        InputError: the store cannot be used, or there is no such model, or none at all.
    """
    if name:
        return load_named(task, name)
    return load_champion(task) or load_best(task)


def load_named(task: str, name: str) -> Predictor:
    """Load a model from the workspace, or from MLflow where the workspace lacks its files.

    Raises:
        InputError: dvc.lock has no such model of this task, or it is in neither place.
    """
    models = {model.name: model for model in read_models() if model.experiment == task}
    if name not in models:
        raise InputError(f"dvc.lock has no model {name} of {task}: choose of {', '.join(models)}")
    if is_here(name):
        return load_from_workspace(name, f"{name} of the workspace")
    predictor = load_from_store(models[name])
    if not predictor:
        raise InputError(
            f"{name} is neither in data/ nor in MLflow at {find_uri()}: run `dvc pull` or "
            "`dvc repro`"
        )
    return predictor


def is_here(name: str) -> bool:
    """Whether the workspace has all that a model is loaded from."""
    folder = Path("data/trained", name)
    if not (folder / "config.json").exists():
        return False
    artifacts = list_artifacts(name, read_config(folder))
    return all(Path(path).exists() for path in artifacts.values())


def load_from_store(model: Model) -> Predictor | None:
    """Load a model from its run, if it has one."""
    uri = find_uri()
    if is_absent(uri):
        return None
    with open_store(uri) as store:
        runs = store.find_runs(model.key)
        if not runs:
            return None
        run_id = runs[0].info.run_id
        served = load_served(store, f"models:/{store.find_model(run_id)}")
        return Predictor(served, f"{model.name} of run {run_id}")


def load_champion(task: str) -> Predictor | None:
    """Load the registered champion, if there is one."""
    uri = find_uri()
    if is_absent(uri):
        return None
    with open_store(uri) as store:
        champion = store.find_champion(task)
        if not champion:
            return None
        served = load_served(store, f"models:/{task}@{CHAMPION}")
        name = store.find_origin(champion).info.run_name
        return Predictor(served, f"{name}, champion of {task} (version {champion.version})")


def load_served(store: Store, address: str) -> "PyFuncModel":
    """Load a model that MLflow keeps."""
    import mlflow

    store.renew_patience()
    mlflow.set_tracking_uri(store.uri)
    served: PyFuncModel = mlflow.pyfunc.load_model(address)
    return served


def load_best(task: str) -> Predictor:
    """Load the workspace's best model."""
    name = rank_candidates(task)[0].model.name
    return load_from_workspace(name, f"{name}, best of the workspace")


def load_from_workspace(name: str, origin: str) -> Predictor:
    """Load a model of the workspace, packed as MLflow would get it."""
    set_environment()
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "model")
        pack_model(packed, name, read_config(Path("data/trained", name)))
        import mlflow

        return Predictor(mlflow.pyfunc.load_model(str(packed)), origin)
