"""What a store holds, as the tests of tracking and of the commands ask it."""

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from mlflow.entities import Run

from stages.tracking import track
from stages.tracking.checksums import compute_md5
from stages.tracking.location import find_uri
from stages.tracking.store import Store
from stages.tracking.subjects import Model, Subject, read_models, read_subjects
from tests.shell import run, start
from tests.workspace import MODELS, RUNS, copy_workspace


def sync() -> None:
    """Make the store of the working folder agree with its dvc.lock."""
    track.main(check=False)


def fill(folder: Path) -> None:
    """The same for a workspace as it is copied, sooner: its store is copied too."""
    template = find_filled_template()
    shutil.copy(template / "mlflow.db", folder)
    shutil.copytree(template / "mlartifacts", folder / "mlartifacts")
    sync()  # moves the store along


@cache
def find_filled_template() -> Path:
    """A workspace whose store is complete, to be read and copied; made once a process."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    workspace = copy_workspace(Path(folder.name, "workspace"))
    run(workspace, "python stages/run.py tracking.track")
    return workspace


def start_sync(folder: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Start the same in a process of its own."""
    return start_python(folder, "stages/run.py", "cli", "sync", *options, **environment)


def start_python(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start Python in a folder."""
    return start(folder, [sys.executable, *arguments], **environment)


def check() -> None:
    """End with InputError where it does not agree."""
    track.main(check=True)


def find_model(name: str) -> Model:
    """A model of the working folder."""
    [model] = [model for model in read_models() if model.name == name]
    return model


def find_subject(name: str) -> Subject:
    """A model of the working folder, or the layer tour."""
    [subject] = [subject for subject in read_subjects() if subject.name == name]
    return subject


def find_run(name: str) -> Run:
    """The one run of a model, or of the tour, as dvc.lock has it."""
    [run] = Store(find_uri()).find_runs(find_subject(name).key)
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


def read_artifacts(folder: Path, run: Run) -> dict[str, str]:
    """What a run in a workspace's own store shows: path below the run -> text."""
    texts = {}
    for artifacts in (folder / "mlartifacts").glob(f"*/{run.info.run_id}/artifacts"):
        for path in artifacts.rglob("*.*"):
            texts[path.relative_to(artifacts).as_posix()] = path.read_text(encoding="utf-8")
    return texts


def assert_complete(uri: str | None = None) -> None:
    """All that dvc.lock holds has one finished run each; models have theirs, and curves."""
    runs = {run.info.run_name: run for run in list_runs(uri)}
    assert list_names(uri) == RUNS
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    keys = {subject.key for subject in read_subjects()}
    assert {run.data.tags["key"] for run in runs.values()} == keys
    tour = runs["layer_tour"]
    assert {"largest_difference", "zero_input/spectral_radius_0.5"} < set(tour.data.metrics)
    models = [runs[name] for name in MODELS]
    assert list_owners(uri) == sorted(run.info.run_id for run in models)
    for made in models:
        assert {"loss", "gradient_norm"} < set(made.data.metrics)
