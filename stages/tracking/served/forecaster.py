"""The sine model that MLflow serves: histories in, the samples that follow out.

MLflow runs this very file, in processes that have only the packages it names, so it imports
nothing of ours: config, weights, their loader and the architecture's file travel beside it as
artifacts.
"""

import runpy
from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray


class Forecaster(PythonModel):
    """Forecasts any number of samples after histories of any length."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the model from its artifacts."""
        loader = runpy.run_path(context.artifacts["loader"])
        self.model = loader["load_model"](context.artifacts)

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
        """
        horizon = (params or {}).get("horizon", 50)
        dtype = next(self.model.parameters()).dtype
        histories = torch.tensor(model_input, dtype=dtype)
        forecasts: NDArray[np.float64] = self.model.forecast(histories, horizon).double().numpy()
        return forecasts


set_model(Forecaster())
