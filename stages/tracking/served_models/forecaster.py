"""The forecaster as MLflow serves it: histories in, forecasts out, both in the series' units.

MLflow runs this file in processes without this project, so it imports nothing from `stages`. Its
artifacts are checksums.py and a package with the loader, config, weights, forecast info and the
code of the architecture, which is unpacked after its checksums were verified.
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
        """Load the model from its artifacts."""
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
        """Forecast the samples after each history, by `Forecaster.predict` in loader.py.

        Args:
            context: not used.
            model_input: histories `(B, T)`, the oldest sample first.
            params: may have `horizon`, the number of samples to forecast.

        Returns:
            Forecasts `(B, horizon)`, float64.

        Raises:
            MlflowException: if the histories or the horizon are invalid; status 400 over HTTP.
        """
        try:
            forecasts: np.ndarray = self.forecaster.predict(model_input, **(params or {}))
            return forecasts
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


set_model(ServedForecaster())
