"""A trained model as MLflow keeps it: a file of served_models/ and the files that it loads."""

import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

from stages.shared.model_config import ModelConfig, check_architecture
from stages.tracking.mlflow_sync.seal import seal
from stages.tracking.scores import DETAILS

PACKAGE = "package.zip"

_SERVED = "stages/tracking/served_models"
_CHECKSUMS = {
    "seal": "stages/tracking/mlflow_sync/seal.py"
}  # checks the package before it is opened
_LOADER = {"loader": f"{_SERVED}/loader.py"}
_REQUIREMENTS = ("mlflow", "numpy", "pydantic", "torch")  # all that served_models/ imports


def list_artifacts(name: str, config: ModelConfig) -> dict[str, str]:
    """The files that a model is loaded from: what the loader calls them -> path.

    Raises:
        InputError: the config names an architecture that is no file of stages/models/.
    """
    artifacts = {
        "weights": f"data/trained/{name}/weights.pt",
        "config": f"data/trained/{name}/config.json",
    }
    for architecture in _list_architectures(config.architecture, config.network):
        artifacts[architecture] = f"stages/models/{architecture}.py"
    if config.task == "forecasting":
        artifacts["scope"] = f"{DETAILS['forecasting']}/{name}/scope.json"
    if config.task == "surnames":
        artifacts["vocabulary"] = "data/preprocessed/surnames/vocabulary.json"
        artifacts["alphabet"] = "stages/surnames/alphabet.py"
        artifacts["scores"] = f"{DETAILS['surnames']}/{name}/scores.json"  # has the temperature
    return artifacts


def _list_architectures(architecture: str, network: dict[str, Any]) -> list[str]:
    """The architecture itself and those of a blend's members.

    Raises:
        InputError: one is no name, but a path by which any file would be run.
    """
    check_architecture(architecture, "config.json")
    architectures = [architecture]
    for member in network.get("members", []):
        architectures += _list_architectures(member["architecture"], member["network"])
    return architectures


def pack_model(
    folder: Path, name: str, config: ModelConfig, identity: dict[str, Any] | None = None
) -> None:
    """Write an MLflow model.

    Args:
        folder: where; must not exist.
        name: of the trained model.
        config: what the model is.
        identity: run and entry in the store that the model belongs to, if any.
    """
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    interface = _describe_forecaster() if config.task == "forecasting" else _describe_classifier()
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch, PACKAGE)
        _write_package(package, _LOADER | list_artifacts(name, config))
        save_model(
            folder,
            artifacts=_CHECKSUMS | {"package": str(package)},
            pip_requirements=_list_requirements(),
            mlflow_model=Model(**(identity or {})),
            **interface,
        )
    seal(folder)


def _write_package(path: Path, artifacts: dict[str, str]) -> None:
    """Write what a model is loaded from into one file: MLflow uploads each in a request."""
    with zipfile.ZipFile(path, "w", strict_timestamps=False) as package:
        for name, file in artifacts.items():
            package.write(file, f"{name}{Path(file).suffix}")


def _list_requirements() -> list[str]:
    """The packages as they are installed; MLflow would take 3 to 16 s to find them out."""
    requirements = []
    for package in _REQUIREMENTS:
        version, _, _build = metadata.version(package).partition("+")
        requirements.append(f"{package}=={version}")
    return requirements


def _describe_classifier() -> dict[str, Any]:
    """The served file and an example; MLflow reads the signature from the type hints."""
    return {
        "python_model": f"{_SERVED}/classifier.py",
        "input_example": (["Schmidt", "Yue Tingsong"], {"top": 3}),
    }


def _describe_forecaster() -> dict[str, Any]:
    """The served file, its signature and an example."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    series = Schema([TensorSpec(np.dtype("float64"), (-1, -1))])  # (histories, samples)
    horizon = ParamSchema([ParamSpec("horizon", DataType.long, 50)])
    return {
        "python_model": f"{_SERVED}/forecaster.py",
        "signature": ModelSignature(series, series, horizon),
        "input_example": (np.sin(np.arange(20.0)[None] / 5), {"horizon": 3}),
    }
