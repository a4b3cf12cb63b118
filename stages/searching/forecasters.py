"""How a recipe of a forecaster is tried: by the free runs of validation, never of the test."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from stages.forecasting.assessment import score_forecasts
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.series import Backtest, Series, read_series
from stages.forecasting.train import ForecasterParams, train
from stages.searching.trials import Result, take_result
from stages.shared.errors import InputError
from stages.shared.params import Count, Seed, read_params


@dataclass(frozen=True)
class ForecasterAttempt:
    """Trains a forecaster on a series and scores its forecasts.

    Args:
        name: of the base, for messages.
        series: without what is held back for the test.
        backtest: of validation.
        horizons: over which their errors are taken.
    """

    name: str
    series: Series
    backtest: Backtest
    horizons: list[int]

    @property
    def scores(self) -> list[str]:
        """What is measured."""
        return ["one_step_mse", *(f"mse_{horizon}" for horizon in self.horizons)]

    def __call__(self, params: ForecasterParams) -> Result:
        """What a recipe gives.

        Raises:
            InputError: a score is not finite.
        """
        trained = train(params, self.series, self.name)
        forecast = self.series.restore_units(wrap_model(trained.model))
        forecasts = forecast(self.backtest.contexts, max(self.horizons))
        scores = score_forecasts(forecasts, self.backtest, self.horizons)
        for score, value in scores.items():
            if not math.isfinite(value):
                raise InputError(f"{self.name}: {score} is {value}: its free runs blow up")
        return take_result(scores, trained.curves)


def compute_digest(backtest: Backtest) -> str:
    """What tells backtests apart."""
    return hashlib.sha256(backtest.contexts.tobytes() + backtest.targets.tobytes()).hexdigest()


def read_forecaster_attempt(path: Path, name: str) -> ForecasterAttempt:
    """Read a series, and draw the validation that evaluate_forecasters asks for."""
    series = read_series(path).hide_test()
    evaluation = {
        "context": read_params("evaluate_forecasters.context", Count),
        "validation_horizons": read_params("evaluate_forecasters.validation_horizons", list[Count]),
        **series.own_evaluation,
    }
    horizons = evaluation["validation_horizons"]
    validation = series.backtest(
        "validation",
        context=evaluation["context"],
        horizon=max(horizons),
        phases=read_params("evaluate_forecasters.phases", Count),
        seed=read_params("evaluate_forecasters.validation_seed", Seed),
    )
    return ForecasterAttempt(name, series, validation, horizons)
