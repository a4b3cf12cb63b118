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
from stages.tracking.mlflow_sync.dvc_files import compute_md5
from stages.tracking.mlflow_sync.runs import RunSpec
from stages.tracking.mlflow_sync.store import Store, find_uri
from stages.tracking.run_specs import list_run_specs
from tests.pipeline import readdress_store
from tests.shell import call_srn, copy_folder, make_once, start
from tests.workspace import MODELS, RUNS, copy_workspace


def sync() -> None:
    """Make the store of the working folder agree with its dvc.lock."""
    track.main(check=False)


def fill(folder: Path) -> None:
    """The same for a workspace as it is copied, sooner."""
    copy_store(folder)
    sync()


def copy_store(folder: Path) -> None:
    """Give a workspace as it is copied the store that a sync makes."""
    template = find_filled_template()
    shutil.copy(template / "mlflow.db", folder)
    copy_folder(template / "mlartifacts", folder / "mlartifacts")
    readdress_store(folder, template)


@cache
def find_filled_template() -> Path:
    """A workspace whose store is complete, to be read and copied; a process has its own."""
    template = make_once("filled", make_filled)
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    workspace = copy_folder(template, Path(folder.name, "workspace"))
    readdress_store(workspace, template)
    return workspace


def make_filled(folder: Path) -> None:
    """Make it."""
    assert call_srn(copy_workspace(folder), "sync").returncode == 0


def start_sync(folder: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Start the same in a process of its own."""
    return start_python(folder, "stages/run.py", "cli", "sync", *options, **environment)


def start_python(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start Python in a folder."""
    return start(folder, [sys.executable, *arguments], **environment)


def check() -> None:
    """End with InputError where it does not agree."""
    track.main(check=True)


def find_spec(name: str) -> RunSpec:
    """The spec of a run of the working folder."""
    [spec] = [spec for spec in list_run_specs() if spec.name == name]
    return spec


def find_run(name: str) -> Run:
    """The one run of a model, or of the tour, as dvc.lock has it."""
    [run] = Store(find_uri()).find_runs(find_spec(name).key)
    return run


def find_champion(task: str) -> str | None:
    """Name of the run whose model carries the alias in MLflow."""
    store = Store(find_uri())
    champions = store.find_champions([task])
    if not champions:
        return None
    version = store.client.get_model_version(task, champions[task])
    return store.client.get_run(version.run_id).info.run_name


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
    keys = {spec.key for spec in list_run_specs()}
    assert {run.data.tags["sync.key"] for run in runs.values()} == keys
    tour = runs["layer_tour"]
    assert {"largest_difference", "zero_input/spectral_radius_0.5"} < set(tour.data.metrics)
    models = [runs[name] for name in MODELS]
    assert list_owners(uri) == sorted(run.info.run_id for run in models)
    for made in models:
        is_trained = not made.info.run_name.endswith("_baseline")
        assert ({"curves/loss", "curves/gradient_norm"} < set(made.data.metrics)) == is_trained
