"""Errors of forecasts in a backtest, and errors.csv: one row per forecaster and phase or origin."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.series import Backtest
from stages.shared.intervals import Items
from stages.shared.tables import read_table, write_table

Array = NDArray[np.float64]
ForecastErrors = dict[str, Array]  # score -> (B,), the error of each phase or origin

_LABELS = ("forecaster", "phase")  # columns of errors.csv


def measure_errors(forecasts: Array, backtest: Backtest, horizons: list[int]) -> ForecastErrors:
    """Means of the backtest's metrics for each forecast, one step ahead and over each horizon.

    Args:
        forecasts: `(B, n)` after the contexts.
        backtest: its targets, and the metrics: mean squared errors, of an observed series MASE too.
        horizons: numbers of steps, up to n.
    """
    errors = (forecasts - backtest.targets[:, : forecasts.shape[1]]) ** 2
    measured: ForecastErrors = {}
    for name, metric in backtest.metrics.items():
        measured |= _average_steps(metric(errors), name, horizons)
    return measured


def _average_steps(errors: Array, kind: str, horizons: list[int]) -> ForecastErrors:
    """Means over the steps of each horizon: `(B, n)` -> `(B,)` by the name of the score."""
    measured = {f"one_step_{kind}": errors[:, 0]}
    for horizon in horizons:
        measured[f"{kind}_{horizon}"] = errors[:, :horizon].mean(axis=1)
    return measured


def average_errors(errors: ForecastErrors, chosen: Items | slice = slice(None)) -> dict[str, float]:
    """The scores: means over the phases, or over chosen ones."""
    return {name: float(values[chosen].mean()) for name, values in errors.items()}


def score_forecasts(forecasts: Array, backtest: Backtest, horizons: list[int]) -> dict[str, float]:
    """Means over all forecasts of a backtest, as `measure_errors` takes them."""
    return average_errors(measure_errors(forecasts, backtest, horizons))


def write_errors(path: Path, by_forecaster: Mapping[str, ForecastErrors]) -> None:
    """Write the errors of forecasters that were scored alike."""
    rows: list[list[str | int | float]] = []
    scores: list[str] = []
    for forecaster, errors in by_forecaster.items():
        scores = list(errors)
        for phase, values in enumerate(zip(*errors.values(), strict=True)):
            rows.append([forecaster, phase, *values])
    write_table(path, [*_LABELS, *scores], rows)


def read_errors(path: Path) -> dict[str, ForecastErrors]:
    """Read what `write_errors` wrote, by forecaster."""
    columns: dict[str, dict[str, list[float]]] = {}
    for row in read_table(path):
        of_one = columns.setdefault(row["forecaster"], {})
        for score, value in row.items():
            if score not in _LABELS:
                of_one.setdefault(score, []).append(float(value))
    by_forecaster = {}
    for forecaster, scores in columns.items():
        by_forecaster[forecaster] = {score: np.array(values) for score, values in scores.items()}
    return by_forecaster
