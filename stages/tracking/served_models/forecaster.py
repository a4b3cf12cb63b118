"""The forecaster that MLflow serves: histories in, the samples that follow out.

MLflow runs this very file, in processes that have only the packages it names, so it imports
nothing of ours: the checksums travel beside it, and in a package that these check the loader,
config, weights, the architecture's file and the training range. Histories and forecasts are in the
units of the series.
"""

import runpy
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedForecaster(PythonModel):
    """Forecasts any number of samples after histories of any length."""

    def load_context(self, context: PythonModelContext) -> None:
        """Rebuild the model from its artifacts."""
        checksums = runpy.run_path(context.artifacts["checksums"])
        with checksums["unpack"](context.artifacts["package"]) as files:
            try:
                self.forecaster = runpy.run_path(files["loader"])["Forecaster"](files)
            except ValueError as error:
                raise MlflowException(str(error)) from None

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        """Forecast the samples after each history, as `Forecaster.predict` of loader.py does.

        Histories are `(B, T)`, forecasts `(B, horizon)`, float64; `params` may have `horizon`.

        Raises:
            MlflowException: of the ValueErrors there; status 400 over HTTP.
        """
        try:
            forecasts: np.ndarray = self.forecaster.predict(model_input, **(params or {}))
            return forecasts
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


set_model(ServedForecaster())
