"""A trial of a forecaster: train it and score closed-loop forecasts of validation, not the test."""

import math

from stages.forecasting.assessment import score_forecasts
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.series import AnySeries, Backtest
from stages.forecasting.train import (
    FittedForecasterParams,
    ForecasterParams,
    GlobalForecasterParams,
    train,
)
from stages.searching.trials import Result, make_result
from stages.shared.errors import InputError


def try_forecaster(
    params: ForecasterParams | FittedForecasterParams | GlobalForecasterParams,
    name: str,
    series: AnySeries,
    validation: Backtest,
    horizons: list[int],
) -> Result:
    """Train by a recipe and score on validation.

    Args:
        params: of the recipe.
        name: of the base, for messages.
        series: without what is held back for the test.
        validation: forecasts that are scored.
        horizons: over which errors are averaged.

    Raises:
        InputError: a score is not finite.
    """
    trained = train(params, series, name)
    forecasts = wrap_model(trained.model)(validation.contexts, max(horizons))
    scores = score_forecasts(forecasts, validation, horizons)
    for score, value in scores.items():
        if not math.isfinite(value):
            raise InputError(f"{name}: {score} is {value}: its closed-loop forecasts diverge")
    return make_result(scores, trained.curves)
