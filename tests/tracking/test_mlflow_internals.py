"""Parts of MLflow that are not public: what this project does where they are missing."""

from mlflow import MlflowClient

from stages.tracking.mlflow_sync import mlflow_internals
from stages.tracking.mlflow_sync.mlflow_internals import make_database
from stages.tracking.mlflow_sync.store import check_database, find_artifacts


def test_a_store_is_made_whole_without_mlflow_s_empty_experiment(tmp_path):
    database = tmp_path / "mlflow.db"

    make_database(database, find_artifacts(database))

    check_database(database, to_write=True)
    assert MlflowClient(f"sqlite:///{database}").search_experiments() == []


def test_without_the_private_class_mlflow_makes_the_store(tmp_path, monkeypatch):
    database = tmp_path / "mlflow.db"
    monkeypatch.setattr(mlflow_internals, "_find_store_class", lambda: None)

    make_database(database, find_artifacts(database))

    check_database(database, to_write=True)
