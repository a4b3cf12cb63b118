"""The model as MLflow keeps it: a file of stages/tracking/served/ with its artifacts."""

from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "mlflow",
    "numpy",
    "pydantic",
    "torch",
)  # all that served/*.py import


def save_served(folder: Path, task: str, artifacts: dict[str, str], **identity: str) -> None:
    """Write an MLflow model.

    Args:
        folder: where; must not exist.
        task: sine or surnames.
        artifacts: name -> path of what the served file loads.
        identity: run and entry in the store that the model belongs to, if any.
    """
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    save_model(
        folder,
        artifacts=artifacts,
        # naming them saves the 3 to 16 s that MLflow takes to find them out
        pip_requirements=[f"{p}=={metadata.version(p).split('+')[0]}" for p in PACKAGES],
        mlflow_model=Model(**identity),
        **(_describe_forecaster() if task == "sine" else _describe_classifier()),
    )


def _describe_classifier() -> dict[str, Any]:
    # MLflow takes the signature from the type hints and the example
    return {
        "python_model": "stages/tracking/served/classifier.py",
        "input_example": (["Schmidt", "Yue Tingsong"], {"top": 3}),
    }


def _describe_forecaster() -> dict[str, Any]:
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
