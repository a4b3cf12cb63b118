"""A trained model packed as MLflow keeps it: a file of served/ with the artifacts that it loads."""

import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

from stages.shared.bundle import ModelConfig, check_architecture
from stages.tracking.seal import seal
from stages.tracking.subjects import DETAILS

SEALS = {"seal": "stages/tracking/seal.py"}  # looks at the package before it is opened
LOADER = {"loader": "stages/tracking/served/loader.py"}
PACKAGE = "package.zip"
PACKAGES = ("mlflow", "numpy", "pydantic", "torch")  # all that served/ imports


def list_artifacts(name: str, config: ModelConfig) -> dict[str, str]:
    """Name the files that a served model is loaded from: what it calls them -> path."""
    artifacts = {
        "weights": f"data/trained/{name}/weights.pt",
        "config": f"data/trained/{name}/config.json",
    }
    for architecture in list_architectures(config.architecture, config.network):
        artifacts[architecture] = f"stages/models/{architecture}.py"
    if config.task == "forecasting":
        artifacts["scope"] = f"{DETAILS['forecasting']}/{name}/scope.json"
    if config.task == "surnames":
        artifacts["vocabulary"] = "data/preprocessed/surnames/vocabulary.json"
        artifacts["alphabet"] = "stages/surnames/alphabet.py"
        artifacts["scores"] = f"{DETAILS['surnames']}/{name}/scores.json"  # has the temperature
    return artifacts


def list_architectures(architecture: str, network: dict[str, Any]) -> list[str]:
    """The architecture itself and those of a blend's members.

    Raises:
        InputError: one is no name, but a path by which any file would be run.
    """
    check_architecture(architecture, "config.json")
    architectures = [architecture]
    for member in network.get("members", []):
        architectures += list_architectures(member["architecture"], member["network"])
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

    interface = describe_forecaster() if config.task == "forecasting" else describe_classifier()
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch, PACKAGE)
        write_package(package, LOADER | list_artifacts(name, config))
        save_model(
            folder,
            artifacts=SEALS | {"package": str(package)},
            pip_requirements=list_requirements(),
            mlflow_model=Model(**(identity or {})),
            **interface,
        )
    seal(folder)


def write_package(path: Path, artifacts: dict[str, str]) -> None:
    """Write what a model is loaded from into one file: MLflow uploads each in a request."""
    with zipfile.ZipFile(path, "w", strict_timestamps=False) as package:
        for name, file in artifacts.items():
            package.write(file, f"{name}{Path(file).suffix}")


def list_requirements() -> list[str]:
    """The packages as they are installed; MLflow would take 3 to 16 s to find them out."""
    requirements = []
    for package in PACKAGES:
        version, _, _build = metadata.version(package).partition("+")
        requirements.append(f"{package}=={version}")
    return requirements


def describe_classifier() -> dict[str, Any]:
    """The served file and an example; MLflow reads the signature from the type hints."""
    return {
        "python_model": "stages/tracking/served/classifier.py",
        "input_example": (["Schmidt", "Yue Tingsong"], {"top": 3}),
    }


def describe_forecaster() -> dict[str, Any]:
    """The served file, its signature and an example."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    series = Schema([TensorSpec(np.dtype("float64"), (-1, -1))])  # (histories, samples)
    horizon = ParamSchema([ParamSpec("horizon", DataType.long, 50)])
    return {
        "python_model": "stages/tracking/served/forecaster.py",
        "signature": ModelSignature(series, series, horizon),
        "input_example": (np.sin(np.arange(20.0)[None] / 5), {"horizon": 3}),
    }
