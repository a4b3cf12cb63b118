"""The model that predicts: the registered champion, or else the best one of the workspace."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.shared.bundle import read_config
from stages.tracking.location import find_uri, is_absent
from stages.tracking.packing import pack_model
from stages.tracking.ranking import rank_candidates
from stages.tracking.store import CHAMPION, open_store, set_environment

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


def load_predictor(task: str) -> Predictor:
    """Load the model of a task.

    Raises:
        InputError: the store cannot be used, or there is no model at all.
    """
    return load_champion(task) or load_best(task)


def load_champion(task: str) -> Predictor | None:
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
        name = store.find_origin(champion).info.run_name
        return Predictor(model, f"{name}, champion of {task} (version {champion.version})")


def load_best(task: str) -> Predictor:
    """Load the workspace's best model, packed as MLflow would get it."""
    set_environment()
    name = rank_candidates(task)[0].model.name
    config = read_config(Path("data/trained", name))
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "model")
        pack_model(packed, name, config)
        import mlflow

        model = mlflow.pyfunc.load_model(str(packed))
        return Predictor(model, f"{name}, best of the workspace")
