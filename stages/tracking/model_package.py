"""The MLflow model of a trained model: a file of served_models/ and the files that it loads."""

import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

from stages.shared.json_files import read_json
from stages.shared.model_config import Member, ModelConfig, check_architecture, read_config
from stages.shared.params import check_params
from stages.tracking.leaderboards import DETAILS
from stages.tracking.mlflow_sync.checksums import write_checksums

PACKAGE = "package.zip"

_SERVED = "stages/tracking/served_models"
_LOADER = f"{_SERVED}/loader.py"
_CHECKSUMS = "stages/tracking/mlflow_sync/checksums.py"  # checks the package before it is opened
_PACKAGES = {"local_forecaster": "statsmodels"}  # further requirements of an architecture
_REQUIREMENTS = ("mlflow", "numpy", "pydantic", "torch")  # imported by served_models/


def list_artifacts(name: str, config: ModelConfig) -> dict[str, str]:
    """Return the files that a model is loaded from: name in the loader -> path.

    Raises:
        InputError: if the config names an architecture that is no file of stages/models/.
    """
    artifacts = {
        "weights": f"data/trained/{name}/weights.pt",
        "config": f"data/trained/{name}/config.json",
    }
    for architecture in _list_architectures(config.architecture, config.network):
        artifacts[architecture] = f"stages/models/{architecture}.py"
    if config.task == "forecasting":
        artifacts["forecast_info"] = f"{DETAILS['forecasting']}/{name}/forecast_info.json"
    if config.task == "surnames":
        artifacts["vocabulary"] = "data/preprocessed/surnames/vocabulary.json"
        artifacts["alphabet"] = "stages/surnames/alphabet.py"
        artifacts["scores"] = f"{DETAILS['surnames']}/{name}/scores.json"  # has the temperature
    return artifacts


def list_files(name: str) -> list[str]:
    """List the paths of the files that a model of the workspace is loaded from."""
    return list(list_artifacts(name, read_config(Path("data/trained", name))).values())


def _list_architectures(architecture: str, network: dict[str, Any]) -> list[str]:
    """List the architecture of a model and of its members.

    Raises:
        InputError: if one is not a name but a path, by which any file could be run.
    """
    check_architecture(architecture, "config.json")
    architectures = [architecture]
    members = check_params(network.get("members", []), list[Member], "config.json: members")
    for member in members:
        architectures += _list_architectures(member.architecture, member.network)
    return architectures


def pack_model(name: str, folder: Path, identity: dict[str, Any]) -> None:
    """Write the MLflow model of a trained model.

    Args:
        name: of the trained model.
        folder: where; must not exist.
        identity: run and entry in the store that the model belongs to.
    """
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    config = read_config(Path("data/trained", name))
    # installed versions; MLflow would take 3 to 16 s to infer the requirements
    architectures = _list_architectures(config.architecture, config.network)
    own = {_PACKAGES[name] for name in architectures if name in _PACKAGES}
    requirements = []
    for requirement in sorted({*_REQUIREMENTS, *own}):
        version, _, _build = metadata.version(requirement).partition("+")
        requirements.append(f"{requirement}=={version}")
    interface: dict[str, Any] = {
        "python_model": f"{_SERVED}/classifier.py",  # its type hints are the signature
        "input_example": (["Schmidt", "Yue Tingsong"], {"top": 3}),
    }
    if config.task == "forecasting":
        forecast_info = read_json(Path(DETAILS["forecasting"], name, "forecast_info.json"))
        history = np.sin(np.arange(max(20.0, forecast_info["least_history"]))[None] / 5)
        series = Schema([TensorSpec(np.dtype("float64"), (-1, -1))])  # (histories, samples)
        horizon = ParamSchema([ParamSpec("horizon", DataType.long, 50)])
        interface = {
            "python_model": f"{_SERVED}/forecaster.py",
            "signature": ModelSignature(series, series, horizon),
            "input_example": (history, {"horizon": 3}),
        }
    with tempfile.TemporaryDirectory() as scratch:
        # one file, since MLflow uploads each file with a separate request
        package = Path(scratch, PACKAGE)
        with zipfile.ZipFile(package, "w", strict_timestamps=False) as archive:
            for part, file in {"loader": _LOADER, **list_artifacts(name, config)}.items():
                archive.write(file, f"{part}{Path(file).suffix}")
        save_model(
            folder,
            artifacts={"checksums": _CHECKSUMS, "package": str(package)},
            pip_requirements=requirements,
            mlflow_model=Model(**identity),
            **interface,
        )
    write_checksums(folder)
