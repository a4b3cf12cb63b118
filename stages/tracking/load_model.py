"""Load the model for `srn predict` and `srn forecast`, with this clone's own code.

Its files come from the workspace or, by md5, from DVC's cache. MLflow is used only with
`--from-mlflow`, for weights and other data: code from a server is never run.
"""

import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from stages.forecasting.transform import Transform
from stages.shared.errors import InputError, summarize
from stages.shared.json_files import BaselineScores, read_json
from stages.shared.model_config import read_config
from stages.shared.params import Name
from stages.surnames.names import Vocabulary
from stages.tracking.leaderboards import (
    CHAMPIONS,
    Champion,
    format_choice,
    read_champions,
    read_leaderboard,
)
from stages.tracking.mlflow_sync.dvc_files import (
    Md5s,
    compute_md5,
    find_cached_file,
    workspace_problem,
)
from stages.tracking.mlflow_sync.mlflow_internals import open_artifacts
from stages.tracking.mlflow_sync.runs import RunSpec, package_problem
from stages.tracking.mlflow_sync.store import find_uri, open_store
from stages.tracking.model_package import PACKAGE, list_artifacts
from stages.tracking.run_specs import read_models
from stages.tracking.served_models.loader import Classifier, Files, Forecaster

Model = TypeVar("Model", Classifier, Forecaster)


class _Width(BaseModel):
    """A prediction interval of one level."""

    half_width: list[float]
    coverage: float


class _ForecastInfo(BaseModel):
    """forecast_info.json."""

    series: Name
    lowest: float
    highest: float
    transform: Transform | None
    spacing: float | None
    least_history: int
    prediction_intervals: dict[str, _Width]
    naive: dict[str, str] | None


_SCHEMAS = {  # name of a file in the loader -> its schema
    "vocabulary": Vocabulary,
    "scores": BaselineScores,
    "forecast_info": _ForecastInfo,
}
_MOST_BYTES = 10**9  # of a file of a model in MLflow


@dataclass(frozen=True)
class Loaded(Generic[Model]):
    """A model that is ready to predict."""

    model: Model
    name: str
    origin: str  # for messages: where the model comes from
    is_locked: bool  # whether dvc.lock has the model and its recipe
    reason: str = ""  # why it was chosen
    note: str = ""  # why another model than the champion is used


def load_champion(
    make: Callable[[Files], Model], leaderboard: str, from_mlflow: bool
) -> Loaded[Model]:
    """Load the champion of champions.yaml, or else the best model of the workspace on validation.

    Args:
        make: Classifier or Forecaster.
        leaderboard: surnames, or a series.
        from_mlflow: whether to take the champion's files from MLflow.

    Raises:
        InputError: if there is no model, or it is damaged.
    """
    champion = read_champions().get(leaderboard)
    if from_mlflow:
        if not champion:
            raise InputError(
                f"{CHAMPIONS} has no champion of {leaderboard}: leave out --from-mlflow, or "
                f"`srn promote {leaderboard}` first"
            )
        return _load_from_mlflow(make, leaderboard, champion)
    models = read_models()
    note = ""
    if champion:
        name, files = champion.model, _find_files(champion.files)
        if files:
            locked = [spec for spec in models if spec.name == name]
            return Loaded(
                _load(make, name, files, CHAMPIONS),
                name,
                f"{name}, champion of {leaderboard}",
                any(champion.files.items() <= spec.md5s.items() for spec in locked),
                champion.reason.rstrip("."),
            )
        note = f"the champion {name} is not here: `make pull` or --from-mlflow gets it"
    candidates = read_leaderboard(leaderboard, models)
    best = candidates[0].spec
    model, reason = _load_from_workspace(make, best), format_choice(candidates)
    return Loaded(model, best.name, f"{best.name}, best of the workspace", True, reason, note)


def load_named(make: Callable[[Files], Model], task: str, name: str) -> Loaded[Model]:
    """Load a model of dvc.lock by its task and name, as a Classifier or Forecaster.

    Raises:
        InputError: if dvc.lock has no such model of this task, or its files are not here.
    """
    models = {model.name: model for model in read_models() if model.experiment == task}
    if name not in models:
        known = ", ".join(models)
        raise InputError(f"dvc.lock has no model {name} of {task}: choose one of {known}")
    spec = models[name]
    if workspace_problem(spec.outs, {}):  # some are missing; DVC's cache may have them
        config, md5s = f"data/trained/{name}/config.json", spec.md5s
        files = _find_files({config: md5s[config]})
        if files:  # the config lists the other files
            parts = list_artifacts(name, read_config(Path(files[config]))).values()
            files = _find_files({path: md5s[path] for path in parts if path.startswith("data/")})
        if files:
            model = _load(make, name, files, "dvc.lock")
            return Loaded(model, name, f"{name} from DVC's cache", True)
    return Loaded(_load_from_workspace(make, spec), name, f"{name} of the workspace", True)


def _load_from_workspace(make: Callable[[Files], Model], spec: RunSpec) -> Model:
    """Load a model from the workspace, if its files are those of dvc.lock."""
    config = f"data/trained/{spec.name}/config.json"
    problem = workspace_problem([config], spec.md5s) or package_problem(spec)
    if problem:
        raise InputError(f"{spec.name}: {problem}")
    assert spec.package
    paths = {path: path for path in spec.package.list_files()}
    return _load(make, spec.name, paths, "dvc.lock")


def _find_files(md5s: Md5s) -> Files | None:
    """Find files by md5 in the workspace or DVC's cache; None if one is missing."""
    found = {}
    for path, md5 in md5s.items():
        if Path(path).is_file() and compute_md5(Path(path)) == md5:
            found[path] = path
            continue
        cached = find_cached_file(md5)
        if not cached:
            return None
        found[path] = str(cached)
    return found


def _load(make: Callable[[Files], Model], name: str, paths: Files, listed_in: str) -> Model:
    """Load a model from the given paths of its files below data/.

    Raises:
        InputError: if a file is missing in `listed_in`, or the weights are damaged.
    """
    config = f"data/trained/{name}/config.json"
    files: Files = {}
    if config not in paths:
        raise InputError(f"{listed_in} does not list {config}: `srn promote` it again")
    described = read_config(Path(paths[config]))
    if described.task != ("surnames" if make is Classifier else "forecasting"):
        raise InputError(f"{name} is a model of {described.task}: `srn promote` another one")
    for part, path in list_artifacts(name, described).items():
        if path.startswith("data/") and path not in paths:
            raise InputError(f"{listed_in} does not list {path} of {name}: `srn promote` it again")
        files[part] = paths.get(path, path)  # code comes from this clone
        if part in _SCHEMAS:
            read_json(Path(files[part]), _SCHEMAS[part])
    try:
        return make(files)
    except ValueError as error:
        raise InputError(f"{name} cannot be loaded: {error}") from None


def _load_from_mlflow(
    make: Callable[[Files], Model], leaderboard: str, champion: Champion
) -> Loaded[Model]:
    """Load a champion from the package of a registered version, by the md5s of champions.yaml.

    Raises:
        InputError: if MLflow has no version with these files.
    """
    for package, version in _download_packages(leaderboard):
        with tempfile.TemporaryDirectory() as folder:
            if _unpack(package, champion, Path(folder)):
                paths = {path: str(Path(folder, path)) for path in champion.files}
                model = _load(make, champion.model, paths, CHAMPIONS)
                origin = (
                    f"{champion.model}, champion of {leaderboard} (version {version} in MLflow)"
                )
                return Loaded(model, champion.model, origin, False, champion.reason.rstrip("."))
    raise InputError(
        f"MLflow at {find_uri()} has no version of {leaderboard} with the md5s of {CHAMPIONS}: "
        "`srn sync` where the results are, or `make pull`"
    )


def _download_packages(leaderboard: str) -> Iterator[tuple[Path, str]]:
    """Yield the package of each version of a registered model, that with the alias first.

    Raises:
        InputError: if a version has its files outside of this project's experiments.
    """
    with open_store(find_uri()) as store, tempfile.TemporaryDirectory() as folder:
        champion = store.find_champions([leaderboard]).get(leaderboard)
        versions = [str(found.version) for found in store.find_versions([leaderboard])]
        for version in sorted(versions, key=lambda found: found != champion):
            store.restart_time_limit()
            source = store.client.get_model_version_download_uri(leaderboard, version)
            address = store.check_address(source, f"version {version} of {leaderboard}")
            target = Path(folder, version)
            target.mkdir()
            try:
                artifacts = open_artifacts(address, store.uri)
                package = artifacts.download_artifacts(f"artifacts/{PACKAGE}", str(target))
            except ImportError as error:  # of a client, such as that of S3
                where = f"version {version} of {leaderboard} in MLflow"
                raise InputError(f"{where} needs a package: {summarize(error)}") from None
            yield Path(package), version


def _unpack(package: Path, champion: Champion, folder: Path) -> bool:
    """Unpack the files of a champion, and nothing else, if a package has all of them."""
    try:
        with zipfile.ZipFile(package) as archive:
            for path, md5 in champion.files.items():
                entry = archive.getinfo(Path(path).name)
                if entry.file_size > _MOST_BYTES:
                    return False
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
                if compute_md5(target) != md5:
                    return False
    except (KeyError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{package.name} in MLflow is damaged: {summarize(error)}") from None
    return True
