"""A trained forecaster as a function of arrays."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages.forecasting.series import Forecaster
from stages.forecasting.state import State

Array = NDArray[np.float64]


def wrap_model(model: Any, state: State | None = None) -> Forecaster:
    """A network as a forecaster.

    Args:
        model: has a method `forecast`.
        state: hidden state before the history; None: zeros.
    """
    dtype = next(model.parameters()).dtype

    def forecast(history: Array, horizon: int) -> Array:
        with torch.inference_mode():
            samples = torch.from_numpy(history).to(dtype)
            forecasts: Array = model.forecast(samples, horizon, state).double().numpy()
        return forecasts

    return forecast
