"""The model that predicts: a named one, or the champion, or else the best of the workspace."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.shared.bundle import read_config
from stages.shared.errors import InputError, summarize
from stages.tracking.artifacts import find_foreign
from stages.tracking.checksums import find_missing
from stages.tracking.content import find_unloadable
from stages.tracking.location import find_uri, is_absent
from stages.tracking.packing import pack_model
from stages.tracking.ranking import rank_candidates
from stages.tracking.store import Store, open_store, set_environment
from stages.tracking.subjects import Model, read_models

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.pyfunc import PyFuncModel


@dataclass(frozen=True)
class Predictor:
    """A model as MLflow serves it, and where it comes from."""

    model: "PyFuncModel"
    origin: str

    @property
    def scope(self) -> dict[str, Any] | None:
        """What a forecaster was trained on and how it erred; None: it was logged without."""
        scope: dict[str, Any] | None = getattr(self.model.unwrap_python_model(), "scope", None)
        return scope

    def predict(self, model_input: Any, **params: Any) -> Any:
        """Answer as the `predict` of stages/tracking/served/ does."""
        return self.model.predict(model_input, params=params)


def load_predictor(contest: str) -> Predictor:
    """Load the champion, or else the best of the workspace.

    Args:
        contest: surnames, or a series.

    Raises:
        InputError: the store cannot be used, or there is no model at all.
    """
    return load_champion(contest) or load_best(contest)


def load_named(task: str, name: str) -> Predictor:
    """Load a model from the workspace, or from MLflow where the workspace lacks its files.

    Raises:
        InputError: dvc.lock has no such model of this task, or it is in neither place.
    """
    models = {model.name: model for model in read_models() if model.experiment == task}
    if name not in models:
        raise InputError(f"dvc.lock has no model {name} of {task}: choose of {', '.join(models)}")
    if is_here(models[name]):
        return load_from_workspace(models[name], f"{name} of the workspace")
    predictor = load_from_store(models[name])
    if not predictor:
        raise InputError(
            f"{name} is neither in data/ nor in MLflow at {find_uri()}: run `make pull` or "
            "`dvc repro`"
        )
    return predictor


def is_here(model: Model) -> bool:
    """Whether the workspace has what training and evaluation of a model read and wrote."""
    paths = [*model.data, *model.train.outs, *(model.evaluate.outs if model.evaluate else [])]
    return not find_missing(paths)


def load_from_store(model: Model) -> Predictor | None:
    """Load a model from its run, if it has one."""
    uri = find_uri()
    if is_absent(uri):
        return None
    with open_store(uri) as store:
        runs = store.find_runs(model.key)
        if not runs:
            return None
        run = runs[0]
        return Predictor(load_served(store, run), f"{model.name} of run {run.info.run_id}")


def load_champion(contest: str) -> Predictor | None:
    """Load the registered champion, if there is one."""
    uri = find_uri()
    if is_absent(uri):
        return None
    with open_store(uri) as store:
        champion = store.find_champion(contest)
        if not champion:
            return None
        run = store.find_origin(champion)
        origin = f"{run.info.run_name}, champion of {contest} (version {champion.version})"
        return Predictor(load_served(store, run), origin)


def load_served(store: Store, run: "Run") -> "PyFuncModel":
    """Load the model of a run that MLflow keeps.

    Raises:
        InputError: MLflow cannot give it, or it is not what the run was given.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    store.restart_time_limit()
    mlflow.set_tracking_uri(store.uri)
    [model_id] = store.list_models(run)
    try:
        folder = mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{model_id}")
        damage = find_foreign(Path(folder), run)
    except (MlflowException, OSError) as error:
        damage = summarize(error)
    if damage:
        raise InputError(
            f"MLflow's copy of {run.info.run_name}, run {run.info.run_id}, cannot be loaded "
            f"({damage}): `make sync` gives MLflow once more what dvc.lock names"
        )
    return load_packed(folder)


def load_packed(folder: str) -> "PyFuncModel":
    """Load a packed model.

    Raises:
        InputError: its weights are none.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        packed: PyFuncModel = mlflow.pyfunc.load_model(folder)
    except MlflowException as error:
        raise InputError(f"the model cannot be loaded: {summarize(error)}") from None
    return packed


def load_best(contest: str) -> Predictor:
    """Load the workspace's best model."""
    model = rank_candidates(contest)[0].model
    return load_from_workspace(model, f"{model.name}, best of the workspace")


def load_from_workspace(model: Model, origin: str) -> Predictor:
    """Load a model of the workspace, packed as MLflow would get it.

    Raises:
        InputError: it is not the one of dvc.lock.
    """
    obstacle = find_unloadable(model)
    if obstacle:
        raise InputError(f"{model.name}: {obstacle}")
    set_environment()
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "model")
        pack_model(packed, model.name, read_config(Path("data/trained", model.name)))
        return Predictor(load_packed(str(packed)), origin)
