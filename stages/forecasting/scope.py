"""The training range and the prediction interval of a forecaster: scope.json, beside its scores.

The interval comes from validation, so that the test can say whether it holds what it promises.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.series import Backtest, Series
from stages.shared.json_files import write_json

Array = NDArray[np.float64]

SHARES = (0.1, 0.9)  # of the errors that lie below either end of the interval: it holds 80 %


@dataclass(frozen=True)
class Scope:
    """What a forecaster was trained on and how it erred, in the units of the series."""

    series: str
    lowest: float  # sample of training
    highest: float
    spacing: float | None  # time between samples; None: the file gives no times
    least_history: int  # samples that it was given when its errors were measured
    band: dict[str, list[float]]  # low and high, what to add to the forecast of each step
    coverage: float  # share of the test's samples that lay in the interval


def fit_prediction_interval(forecasts: Array, backtest: Backtest) -> Array:
    """The quantiles of the errors at each step: `(2, n)`, to be added to a forecast.

    Args:
        forecasts: `(B, n)`, of validation.
        backtest: that they forecast.
    """
    errors = backtest.targets[:, : forecasts.shape[1]] - forecasts
    with np.errstate(invalid="ignore"):  # of a run that explodes
        interval: Array = np.quantile(errors, SHARES, axis=0)
    return interval


def measure_coverage(interval: Array, forecasts: Array, backtest: Backtest) -> Array:
    """Share of the targets of each forecast that lie in its prediction interval: `(B,)`."""
    steps = min(interval.shape[1], forecasts.shape[1])
    errors = backtest.targets[:, :steps] - forecasts[:, :steps]
    is_covered = (interval[0, :steps] <= errors) & (errors <= interval[1, :steps])
    shares: Array = is_covered.mean(axis=1)
    return shares


def describe_scope(series: Series, context: int, interval: Array, coverage: float) -> Scope:
    """The scope of a forecaster.

    Args:
        series: what it was trained on.
        context: samples that it was given when it was scored.
        interval: of `fit_prediction_interval`.
        coverage: share of the test in it.
    """
    lowest, highest = series.training_range
    low, high = interval.tolist()
    band = {"low": low, "high": high}
    return Scope(series.name, lowest, highest, series.spacing, context, band, coverage)


def write_scope(folder: Path, scope: Scope) -> None:
    """Write scope.json."""
    write_json(folder / "scope.json", asdict(scope))
