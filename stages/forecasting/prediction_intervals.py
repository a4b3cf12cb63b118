"""Prediction intervals from the newest errors of the backtests.

An interval is the forecast ± a half width, for each step ahead and each level.
"""

from dataclasses import dataclass

import numpy as np

from stages.forecasting.series import Array

LEVELS = (50, 60, 70, 80, 90, 95, 99)  # in percent
_RATE = 0.05  # γ of Gibbs & Candès: by how much one miss widens the next interval


@dataclass(frozen=True)
class PredictionInterval:
    """The prediction interval of one level."""

    half_width: Array  # (n,) by step ahead, for a forecast after the end of the test
    of_test: Array  # (B, n) half widths for each forecast of the test
    held: Array  # (B,) share of the targets of each of these forecasts in the interval


def fit_prediction_intervals(
    validation: Array, test: Array, is_rolling: bool
) -> dict[int, PredictionInterval]:
    """Fit the prediction intervals, by level in percent, and measure their coverage of the test.

    A half width is a quantile of absolute errors (split conformal prediction, Lei et al., 2018). In
    a rolling-origin backtest it uses the newest errors, as many as validation has, and the quantile
    rises after a miss and falls after a hit (adaptive conformal inference, Gibbs & Candès, 2021).
    Intervals of a test forecast use errors from before that forecast alone.

    Args:
        validation: errors `(V, n)` of the validation forecasts by step, oldest first.
        test: errors `(B, n)` of the test forecasts, with at most as many steps.
        is_rolling: test forecasts start one sample after another, after validation. If False, they
            are independent, and only errors of validation are used.
    """
    num_steps = min(validation.shape[1], test.shape[1])
    errors = np.abs(np.concatenate([validation[:, :num_steps], test[:, :num_steps]]))
    num_validation, num_test = len(validation), len(test)
    steps = np.arange(num_steps)
    wanted = np.array([1 - level / 100 for level in LEVELS])[:, None]  # shares of misses
    shares = np.repeat(wanted, num_steps, axis=1)  # (L, n), adapted
    hits = np.zeros((num_test, len(LEVELS), num_steps), dtype=bool)
    half_widths = np.zeros((len(LEVELS), num_steps))
    of_test = np.zeros(hits.shape)
    # after the last origin of the test, up to the end of the series, its errors become known
    for origin in range(num_test + num_steps):
        num_known = np.zeros(num_steps, dtype=np.int64)
        if is_rolling:  # the error h steps ahead is known h samples later
            num_known = np.clip(origin - steps, 0, num_test)
            newest = origin - 1 - steps  # the forecast whose target is the sample before
            is_new = (newest >= 0) & (newest < num_test)
            missed = ~hits[newest[is_new], :, steps[is_new]].T
            shares[:, is_new] += _RATE * (wanted - missed)
        elif origin == num_test:
            break
        if origin == 0 or is_rolling:
            # the newest errors of each step, in ascending order: (V, n)
            rows = np.arange(num_validation)[:, None] + num_known
            ordered = np.sort(errors[rows, steps], axis=0)
            ranks = np.ceil((1 - shares) * (num_validation + 1)).astype(np.int64)
            half_widths = ordered[np.clip(ranks, 1, num_validation) - 1, steps]
            half_widths = np.maximum.accumulate(half_widths, axis=0)  # a higher level holds more
        if origin < num_test:
            of_test[origin] = half_widths
            hits[origin] = errors[num_validation + origin] <= half_widths
    return {
        level: PredictionInterval(half_widths[i], of_test[:, i], hits[:, i].mean(axis=1))
        for i, level in enumerate(LEVELS)
    }
