"""The sine model that MLflow serves: histories in, the samples that follow out.

MLflow runs this very file, in processes that have only the packages it names, so it imports
nothing of ours: sizes, weights and the architecture's file travel beside it as artifacts.
"""

import json
import runpy
from pathlib import Path

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from torch import nn


class Forecaster(PythonModel):
    """Forecasts any number of samples after histories of any length."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the network from its artifacts."""
        self.network = load_network(context.artifacts)

    @torch.no_grad()
    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict | None = None
    ) -> np.ndarray:
        """Forecast the samples after each history.

        Args:
            context: not used, the network is loaded.
            model_input: `(B, T)`, one history a row, oldest sample first.
            params: `horizon`, how many samples to forecast; MLflow fills in the default.

        Returns:
            `(B, horizon)`, float64.
        """
        dtype = next(self.network.parameters()).dtype
        histories = torch.tensor(model_input, dtype=dtype)
        return self.network.forecast(histories, params["horizon"]).numpy().astype(np.float64)


def load_network(artifacts: dict[str, str]) -> nn.Module:
    """Build the network that sizes.json describes and give it its weights."""
    sizes = json.loads(Path(artifacts["sizes"]).read_text(encoding="utf-8"))
    architecture = runpy.run_path(artifacts[sizes["architecture"]])
    class_name = "".join(word.capitalize() for word in sizes["architecture"].split("_"))
    network = architecture[class_name](**sizes["network"])
    weights = torch.load(artifacts["weights"], map_location="cpu", weights_only=True)
    network.load_state_dict(weights, assign=True)  # assign: float64 weights stay so
    return network.eval()


set_model(Forecaster())
