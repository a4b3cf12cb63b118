"""Baselines: forecasters that are fitted without updates."""

import math
import warnings

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from stages.forecasting.series import Array
from stages.models.ets_forecaster import EtsForecaster
from stages.models.linear_forecaster import LinearForecaster
from stages.models.sinusoid_forecaster import SinusoidForecaster
from stages.models.theta_forecaster import ThetaForecaster

_FITTED_STARTS = 2**16  # the most windows that a direct forecaster is fitted to
_GAUSS_NEWTON_STEPS = 30  # for a frequency, which few suffice for


def make_linear(weight: ArrayLike, bias: ArrayLike = 0.0) -> LinearForecaster:
    """Return a linear forecaster with weights `(H, K)` and bias `(H,)`.

    `[[0]]` forecasts zero, `[[1]]` repeats the last sample, the identity the last season.
    """
    weights = torch.tensor(np.asarray(weight), dtype=torch.float64)
    block, context = weights.shape
    model = LinearForecaster(context, block)
    with torch.no_grad():
        model.weight.copy_(weights)
        model.bias.copy_(torch.tensor(np.asarray(bias), dtype=torch.float64))
    return model


def fit_autoregression(samples: Array, order: int) -> LinearForecaster:
    """AR(p) without intercept, by least squares: y_t = a_1 y_{t-1} + … + a_p y_{t-p}.

    Two coefficients give a noise-free sine exactly: y_t = 2 cos(ω) y_{t-1} - y_{t-2}. `samples`
    are training segments `(N, T)`, T > p = `order`.
    """
    lagged = sliding_window_view(samples[:, :-1], order, axis=1)
    weights, *_ = np.linalg.lstsq(
        lagged.reshape(-1, order), samples[:, order:].reshape(-1), rcond=None
    )
    return make_linear(weights[None])


def fit_direct(samples: Array, context: int, block: int, penalty: float) -> LinearForecaster:
    """Ridge regression from the last samples to the next block.

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
    return make_linear(weights.T, mean[context:] - mean[:context] @ weights)


def fit_sinusoid(samples: Array, period: float, has_fixed_amplitude: bool) -> SinusoidForecaster:
    """Fit the frequency and amplitude of a sinusoid to training segments `(N, T)`, T > 2.

    Nonlinear least squares finds the common frequency. Each segment has its own phase and
    amplitude, which are linear given the frequency (variable projection, Golub & Pereyra, 1973, by
    Gauss–Newton with the derivative of Kaufman, 1975). The amplitude of the model is the root mean
    square over segments, which forecasts use if `has_fixed_amplitude`. The search starts from a
    `period` in samples.
    """
    columns, times = samples.T, np.arange(samples.shape[1])
    frequency = 2 * math.pi / period
    for _ in range(_GAUSS_NEWTON_STEPS):
        sine, cosine = np.sin(frequency * times), np.cos(frequency * times)
        waves = np.stack([sine, cosine], axis=1)
        weights, *_ = np.linalg.lstsq(waves, columns, rcond=None)
        errors = columns - waves @ weights
        slopes = np.stack([times * cosine, -times * sine], axis=1) @ weights
        slopes -= waves @ np.linalg.lstsq(waves, slopes, rcond=None)[0]
        frequency += (slopes * errors).sum() / (slopes * slopes).sum()
    model = SinusoidForecaster(has_fixed_amplitude)
    with torch.no_grad():
        model.frequency.fill_(float(frequency))
        model.amplitude.fill_(math.sqrt((weights**2).sum(axis=0).mean()))
    return model


def fit_ets(samples: Array, season: int) -> EtsForecaster:
    """Fit ETS with additive errors to training samples `(T,)` by maximum likelihood.

    The corrected AIC chooses between no trend, a trend and a damped trend, with and without a
    season. A season is tried if the samples have three of them.
    """
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel  # a second to import

    seasons = [1, season] if 1 < season <= len(samples) // 3 else [1]
    best, least = EtsForecaster(1, has_trend=False), math.inf
    for trend, is_damped in ((None, False), ("add", False), ("add", True)):
        for period in seasons:
            seasonal = {"seasonal": "add", "seasonal_periods": period} if period > 1 else {}
            model = ETSModel(samples, trend=trend, damped_trend=is_damped, **seasonal)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the search for parameters has not ended
                fitted = model.fit(disp=False)
            if fitted.aicc < least:
                least = fitted.aicc
                values = dict(zip(fitted.param_names, fitted.params, strict=True))
                names = "smoothing_level", "smoothing_trend", "smoothing_seasonal"
                smoothing = [values.get(name, 0.0) for name in names]
                best = EtsForecaster(period, has_trend=trend is not None)
                with torch.no_grad():
                    damping = values.get("damping_trend", 1.0)
                    best.smoothing.copy_(torch.tensor([*smoothing, damping]))
    return best


def fit_theta(samples: Array, season: int) -> ThetaForecaster:
    """Fit the smoothing of the Theta method to training samples `(T,)` by maximum likelihood."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    period = season if 1 < season <= len(samples) // 3 else 1
    theta = ThetaModel(
        samples, period=period, deseasonalize=period > 1, use_test=False, method="additive"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a series never changes
        fitted = theta.fit()
    model = ThetaForecaster(period)
    with torch.no_grad():
        model.alpha.copy_(torch.tensor(float(fitted.params["alpha"])))
    return model
