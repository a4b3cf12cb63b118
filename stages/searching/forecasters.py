"""Train a forecaster, and score its closed-loop forecasts of validation."""

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
    """Train with these params and score on validation.

    Args:
        params: params of the recipe.
        name: name of the base, for messages.
        series: the series without its test part.
        validation: rolling-origin backtest to score.
        horizons: numbers of samples over which errors are averaged.

    Raises:
        InputError: if a score is not finite.
    """
    trained = train(params, series, name)
    forecasts = wrap_model(trained.model)(validation.contexts, max(horizons))
    scores = score_forecasts(forecasts, validation, horizons)
    for score, value in scores.items():
        if not math.isfinite(value):
            raise InputError(f"{name}: {score} is {value}: its closed-loop forecasts diverge")
    return make_result(scores, trained.curves)
