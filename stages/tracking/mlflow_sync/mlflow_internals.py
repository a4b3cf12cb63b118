"""Parts of MLflow 3.17 that are not public: how a store is made, artifacts, a shared view.

pyproject.toml allows no MLflow beyond 3.17 until these were tried with it. Without the first,
MLflow makes a store directly, which a kill can leave incomplete; a page that does not know the
last shows its default.
"""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

VIEW = "best"  # name of the view in the address of a page
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"  # tag of an experiment by which people share a view


def make_database(database: Path, artifacts: str) -> None:
    """Make the SQLite file of a store completely or not at all.

    MLflow creates its tables one after another in the file itself, and never opens a file with half
    of them.

    Args:
        database: the file, which does not exist.
        artifacts: address of the folder of artifacts.
    """
    store_class = _find_store_class()
    if store_class is None:
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{database}").search_experiments(max_results=1)
        return
    unfinished = database.with_name(f"{database.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    store = store_class(f"sqlite:///{unfinished}", artifacts)
    store.delete_experiment(store.DEFAULT_EXPERIMENT_ID)  # an empty one, which the UI would show
    store.engine.dispose()  # or SQLite keeps the file open under its old name
    unfinished.rename(database)


def _find_store_class() -> Any:
    """MLflow's store on a database, if it is as in MLflow 3.17."""
    from mlflow.store.tracking import sqlalchemy_store

    found = getattr(sqlalchemy_store, "SqlAlchemyStore", None)
    needed = ("DEFAULT_EXPERIMENT_ID", "delete_experiment")
    return found if all(hasattr(found, name) for name in needed) else None


def open_artifacts(address: str, uri: str) -> Any:
    """What reads, writes and deletes artifacts at any address; MlflowClient does so for runs alone.

    Args:
        address: of the artifacts of a run, a model or an experiment.
        uri: of the store.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(address, uri)


def encode_view(name: str, state: dict[str, Any]) -> str:
    """The value of VIEW_TAG: JSON, in which the state of the page is deflated.

    Args:
        name: as the page shows it.
        state: of the page; what it leaves out keeps the page's default.
    """
    deflated = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    made = 0  # milliseconds: not now, so that the same view is the same tag
    content = {"name": name, "createdAt": made, "updatedAt": made}
    return json.dumps(content | {"state": f"deflate;{deflated}"})


def find_view_address(server: str, experiment_id: str) -> str:
    """Where the view of an experiment opens, also in a browser that has never seen MLflow."""
    page = f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs"
    return f"{page}?workflowType=machine_learning&viewStateShareKey={VIEW}"
