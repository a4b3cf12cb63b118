"""What a store holds, as the tests of tracking and of the commands ask it."""

import subprocess
import sys
from pathlib import Path

from mlflow.entities import Run

from stages.tracking import track
from stages.tracking.checksums import compute_md5
from stages.tracking.location import find_uri
from stages.tracking.lockfile import Model, read_models
from stages.tracking.store import Store
from tests.shell import make_environment
from tests.workspace import MODELS


def sync() -> None:
    """Make the store of the working folder agree with its dvc.lock."""
    track.main(check=False)


def start_sync(folder: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Start the same in a process of its own."""
    return start_python(folder, "-m", "stages.tracking.track", *options, **environment)


def start_python(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start Python in a folder."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=make_environment(folder) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check() -> None:
    """End with SystemExit where it does not agree."""
    track.main(check=True)


def find_model(name: str) -> Model:
    """A model of the working folder."""
    [model] = [model for model in read_models() if model.name == name]
    return model


def find_run(name: str) -> Run:
    """The one run of a model as dvc.lock has it."""
    [run] = Store(find_uri()).find_runs(find_model(name).key)
    return run


def find_champion(task: str) -> str | None:
    """Name of the model that carries the alias."""
    store = Store(find_uri())
    version = store.find_champion(task)
    return store.find_origin(version).info.run_name if version else None


def list_runs(uri: str | None = None) -> list[Run]:
    """All runs by name, the unfinished ones too."""
    store = Store(uri or find_uri())
    ids = list(store.experiments.values())
    return sorted(store.client.search_runs(ids), key=lambda run: run.info.run_name) if ids else []


def list_names(uri: str | None = None) -> list[str]:
    """Names of all runs."""
    return [run.info.run_name for run in list_runs(uri)]


def list_owners(uri: str | None = None) -> list[str | None]:
    """The run of each logged model."""
    store = Store(uri or find_uri())
    models = store.client.search_logged_models(list(store.experiments.values()))
    return sorted(model.source_run_id for model in models)


def list_files(folder: Path) -> dict[str, tuple[str, int]]:
    """Md5 and time of writing of every file of the store."""
    files = [folder / "mlflow.db", *(folder / "mlartifacts").rglob("*")]
    return {str(f): (compute_md5(f), f.stat().st_ctime_ns) for f in files if f.is_file()}


def assert_complete(uri: str | None = None) -> None:
    """Each model of the working folder has its one finished run, with its model and curves."""
    runs = list_runs(uri)
    assert list_names(uri) == MODELS
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["key"] for run in runs} == {model.key for model in read_models()}
    assert list_owners(uri) == sorted(run.info.run_id for run in runs)
    for run in runs:
        assert {"loss", "gradient_norm"} < set(run.data.metrics)
