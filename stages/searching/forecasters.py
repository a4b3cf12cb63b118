"""A trial of a forecaster: train it and score closed-loop forecasts of validation, not the test."""

import math
from dataclasses import dataclass

from stages.forecasting.assessment import score_forecasts
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.series import Backtest, Series
from stages.forecasting.train import ForecasterParams, train
from stages.searching.trials import Result, make_result
from stages.shared.errors import InputError


@dataclass(frozen=True)
class ForecasterAttempt:
    """Trains a forecaster on a series and scores its forecasts."""

    name: str  # of the base, for messages
    series: Series  # without what is held back for the test
    backtest: Backtest  # of validation
    horizons: list[int]  # over which errors are averaged

    @property
    def scores(self) -> list[str]:
        """Names of the scores."""
        return ["one_step_mse", *(f"mse_{horizon}" for horizon in self.horizons)]

    def __call__(self, params: ForecasterParams) -> Result:
        """Train by a recipe and score on validation.

        Raises:
            InputError: a score is not finite.
        """
        trained = train(params, self.series, self.name)
        forecast = self.series.restore_units(wrap_model(trained.model))
        forecasts = forecast(self.backtest.contexts, max(self.horizons))
        scores = score_forecasts(forecasts, self.backtest, self.horizons)
        for score, value in scores.items():
            if not math.isfinite(value):
                raise InputError(
                    f"{self.name}: {score} is {value}: its closed-loop forecasts diverge"
                )
        return make_result(scores, trained.curves)
