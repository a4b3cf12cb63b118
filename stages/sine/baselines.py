"""Forecasters without a network: what a score has to be held against.

Each takes a history `(B, K)`, oldest first, and a horizon n, and gives `(B, n)`.
"""

import numpy as np
from numpy.typing import NDArray

from stages.sine.forecasters import Forecaster

Array = NDArray[np.float64]


def predict_zero(history: Array, horizon: int) -> Array:
    """The mean of a sine, whatever its history."""
    return np.zeros((len(history), horizon))


def hold_last(history: Array, horizon: int) -> Array:
    """Repeat the last sample."""
    return np.repeat(history[:, -1:], horizon, axis=1)


def copy_period(history: Array, horizon: int, lag: int) -> Array:
    """Repeat the last `lag` samples, a period to the nearest whole number."""
    return np.take(history[:, -lag:], np.arange(horizon) % lag, axis=1)


def fit_autoregression(samples: Array, order: int) -> Forecaster:
    """AR(p) without intercept, by least squares: y_t = a_1 y_{t-1} + … + a_p y_{t-p}.

    Two coefficients give a noise-free sine exactly: y_t = 2 cos(ω) y_{t-1} - y_{t-2}.

    Args:
        samples: `(N, T)` training segments, T > p.
        order: p.
    """
    lagged = np.lib.stride_tricks.sliding_window_view(samples[:, :-1], order, axis=1)
    weights, *_ = np.linalg.lstsq(
        lagged.reshape(-1, order), samples[:, order:].reshape(-1), rcond=None
    )

    def forecast(history: Array, horizon: int) -> Array:
        run = np.concatenate([history, np.empty((len(history), horizon))], axis=1)
        for t in range(history.shape[1], run.shape[1]):
            run[:, t] = run[:, t - order : t] @ weights
        return run[:, history.shape[1] :]

    return forecast
