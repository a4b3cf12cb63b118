"""Classical methods, fitted to each history by statsmodels."""

import math
import warnings
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_Array = NDArray[np.float64]

_FEWEST = 5  # samples to fit; the forecast of a shorter history repeats the last sample


class LocalForecaster(nn.Module):
    """Fits a method to every history, and forecasts the samples after it.

    `theta`: the Theta method (Assimakopoulos & Nikolopoulos, 2000). `ets`: exponential smoothing
    with additive errors and no trend, a trend or a damped trend, chosen by the corrected AIC
    (Hyndman et al., 2008). Histories are seasonally adjusted, as by `SeasonalForecaster`.
    """

    def __init__(self, method: Literal["theta", "ets"]) -> None:
        super().__init__()
        self.method = method

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)` without a season: `(B, n)`.

        The history is in order, oldest first.
        """
        fit = _forecast_theta if self.method == "theta" else _forecast_ets
        forecasts = []
        for samples in history.double().numpy():
            scale = np.abs(samples).max()
            if len(samples) < _FEWEST or np.ptp(samples) <= 1e-9 * scale:
                forecast = np.repeat(samples[-1], horizon)
            else:  # scaled, as the search for parameters expects it
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # searches that have not converged
                    forecast = scale * fit(samples / scale, horizon)
            forecasts.append(forecast)
        return torch.from_numpy(np.stack(forecasts))


def _forecast_theta(samples: _Array, horizon: int) -> _Array:
    from statsmodels.tsa.forecasting.theta import ThetaModel  # a second to import

    fitted = ThetaModel(samples, period=1, deseasonalize=False).fit()
    forecast: _Array = np.asarray(fitted.forecast(horizon))
    return forecast


def _forecast_ets(samples: _Array, horizon: int) -> _Array:
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    best, least = np.repeat(samples[-1], horizon), math.inf
    for trend, is_damped in ((None, False), ("add", False), ("add", True)):
        fitted = ETSModel(samples, trend=trend, damped_trend=is_damped).fit(disp=False)
        if fitted.aicc < least:
            best, least = np.asarray(fitted.forecast(horizon)), fitted.aicc
    return best
