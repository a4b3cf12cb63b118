"""Baselines: forecasters without a network.

Each takes a history `(B, K)`, oldest first, and a horizon n, and gives `(B, n)`.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stages.forecasting.series import Array, Forecaster

_FITTED_STARTS = 2**16  # the most windows that a direct forecaster is fitted to


def predict_zero(history: Array, horizon: int) -> Array:
    """The mean of a sine, whatever its history."""
    return np.zeros((len(history), horizon))


def hold_last(history: Array, horizon: int) -> Array:
    """Repeat the last sample."""
    return np.repeat(history[:, -1:], horizon, axis=1)


def copy_period(history: Array, horizon: int, lag: int) -> Array:
    """Repeat the last `lag` samples, a period or a season to the nearest whole number."""
    return np.take(history[:, -lag:], np.arange(horizon) % lag, axis=1)


def fit_autoregression(samples: Array, order: int) -> Forecaster:
    """AR(p) without intercept, by least squares: y_t = a_1 y_{t-1} + … + a_p y_{t-p}.

    Two coefficients give a noise-free sine exactly: y_t = 2 cos(ω) y_{t-1} - y_{t-2}. It is fitted
    to training segments `(N, T)`, T > p.
    """
    lagged = sliding_window_view(samples[:, :-1], order, axis=1)
    weights, *_ = np.linalg.lstsq(
        lagged.reshape(-1, order), samples[:, order:].reshape(-1), rcond=None
    )

    def forecast(history: Array, horizon: int) -> Array:
        joined = np.concatenate([history, np.empty((len(history), horizon))], axis=1)
        for t in range(history.shape[1], joined.shape[1]):
            joined[:, t] = joined[:, t - order : t] @ weights
        return joined[:, history.shape[1] :]

    return forecast


def fit_direct(samples: Array, context: int, block: int, penalty: float) -> Forecaster:
    """Ridge regression from the last samples to the next block, applied to its own forecasts.

    y_{t+1…t+H} = W y_{t-K+1…t} + b, with the least sum of squared errors plus N · penalty · |W|².

    Args:
        samples: `(N, T)` training segments, T >= K + H.
        context: K.
        block: H.
        penalty: per fitted window; 0 for least squares.
    """
    starts = sliding_window_view(samples, context + block, axis=1)
    thinned = math.ceil(starts.shape[0] * starts.shape[1] / _FITTED_STARTS)
    rows = starts[:, ::thinned].reshape(-1, context + block)
    mean = rows.mean(axis=0)
    centred = rows - mean
    shrinking = math.sqrt(len(rows) * penalty) * np.eye(context)  # rows that pull W to 0
    inputs = np.concatenate([centred[:, :context], shrinking])
    targets = np.concatenate([centred[:, context:], np.zeros((context, block))])
    weights, *_ = np.linalg.lstsq(inputs, targets, rcond=None)

    def forecast(history: Array, horizon: int) -> Array:
        joined = history
        while joined.shape[1] < history.shape[1] + horizon:
            following = (joined[:, -context:] - mean[:context]) @ weights + mean[context:]
            joined = np.concatenate([joined, following], axis=1)
        return joined[:, history.shape[1] : history.shape[1] + horizon]

    return forecast
