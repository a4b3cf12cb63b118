"""The forecaster that MLflow serves: histories in, the samples that follow out.

MLflow runs this very file, in processes that have only the packages it names, so it imports
nothing of ours: the seal travels beside it, and in a package that the seal opens the loader,
config, weights, the architecture's file and the scope. Histories and forecasts are in the units of
the series; a network that was trained on standardised samples says so in its config.
"""

import json
import runpy
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

MOST_SAMPLES = 1_000_000  # of the histories and of the forecasts of one request: seconds
UNSCALED = {"mean": 0.0, "std": 1.0}


class Forecaster(PythonModel):
    """Forecasts any number of samples after histories of any length."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the model from its artifacts."""
        seal = runpy.run_path(context.artifacts["seal"])
        with seal["unpack"](context.artifacts["package"]) as artifacts:
            self.model = runpy.run_path(artifacts["loader"])["load_model"](artifacts)
            config, scope = _read_json(artifacts["config"]), _read_json(artifacts["scope"])
        self.scaling: dict[str, float] = config.get("scaling", UNSCALED)
        self.scope = scope  # for whoever asks what it knows

    @torch.no_grad()
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        """Forecast the samples after each history.

        Args:
            context: not used, the model is loaded.
            model_input: `(B, T)`, one history a row, oldest sample first.
            params: `horizon`, how many samples to forecast.

        Returns:
            `(B, horizon)`, float64.

        Raises:
            MlflowException: there is nothing to forecast from, or too much; status 400 over HTTP.
        """
        horizon = (params or {}).get("horizon", 50)
        dtype = next(self.model.parameters()).dtype
        mean, std = self.scaling["mean"], self.scaling["std"]
        histories = torch.tensor((model_input - mean) / std, dtype=dtype)
        _check_request(histories, horizon)
        forecasts: NDArray[np.float64] = self.model.forecast(histories, horizon).double().numpy()
        return forecasts * std + mean


def _read_json(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content


def _check_request(histories: torch.Tensor, horizon: int) -> None:
    num_histories, length = histories.shape
    most = MOST_SAMPLES // max(num_histories, 1)
    if not 1 <= horizon <= most:
        _refuse(f"horizon must be 1 to {most:,} for {num_histories} histories, not {horizon:,}")
    if not 1 <= length <= most or not num_histories:
        _refuse(f"a history must have 1 to {most:,} samples, not {length:,}: shape is (B, T)")
    if not histories.isfinite().all():
        _refuse("a history has samples that are NaN, infinite or too large: correct them")


def _refuse(reason: str) -> NoReturn:
    raise MlflowException.invalid_parameter_value(reason)


set_model(Forecaster())
