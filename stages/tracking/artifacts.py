"""Whether MLflow still has the files that a run was given."""

import filecmp
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from stages.tracking.seal import SEAL, compute_file_md5, find_damage
from stages.tracking.store import Store
from stages.tracking.subjects import Subject

if TYPE_CHECKING:  # mlflow takes seconds to import
    from mlflow.entities import Run

SEAL_TAG = "seal"  # of a run: md5 of the checksums of its model


def find_loss(store: Store, run: "Run", subject: Subject) -> str | None:
    """Say which files of a run MLflow has lost, or nothing.

    Where artifacts are files they are read. A server is asked for its folders alone: every file
    of a model is looked at when that is loaded.
    """
    folder = find_folder(run.info.artifact_uri)
    models = store.list_models(run)
    if not folder:
        kept = store.list_folders(run.info.experiment_id)
        if models:
            kept = kept | store.list_folders(run.info.experiment_id, "models")
        wanted = [run.info.run_id, *models] if subject.shown else models
        lost = [name for name in wanted if name not in kept]
        return f"no artifacts of {', '.join(lost)}" if lost else None
    for model_id in models:
        location = store.client.get_logged_model(model_id).artifact_location
        damage = find_foreign(Path(find_folder(location) or ""), run)
        if damage:
            return f"model: {damage}"
    return find_unlike(folder, subject)


def find_foreign(packed: Path, run: "Run") -> str | None:
    """Say which file of a packed model is not what the run was given, or nothing."""
    damage = find_damage(packed)
    if not damage and compute_file_md5(packed / SEAL) != run.data.tags.get(SEAL_TAG):
        return f"{SEAL} is another"
    return damage


def find_unlike(folder: Path, subject: Subject) -> str | None:
    """Say which file that is shown differs from the workspace's, or nothing."""
    for name, file in list_shown(subject).items():
        copy = folder / name
        if not copy.exists() or not filecmp.cmp(file, copy, shallow=False):
            return f"{name} is missing or damaged"
    return None


def list_shown(subject: Subject) -> dict[str, Path]:
    """The files that a run shows: path among its artifacts -> file."""
    files = {}
    for path, place in subject.shown.items():
        shown = Path(path)
        top = shown.parent if shown.is_file() else shown
        for file in [shown] if shown.is_file() else shown.rglob("*.*"):
            files[Path(place, file.relative_to(top)).as_posix()] = file
    return files


def find_folder(uri: str) -> Path | None:
    """The folder on this machine that an address of artifacts names, if it does."""
    parsed = urlparse(uri)
    return Path(url2pathname(parsed.path)) if parsed.scheme == "file" else None
