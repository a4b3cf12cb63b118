"""How a recipe of a forecaster is tried: by the free runs of validation, never of the test."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from stages.forecasting.forecasters import wrap_model
from stages.forecasting.free_runs import FreeRuns, draw_free_runs, roll_validation, score_forecasts
from stages.forecasting.observed import ObservedParams
from stages.forecasting.series import Windows, hide_test, read_series, read_windows
from stages.forecasting.train import ForecasterParams, train
from stages.searching.trials import Result, take_result
from stages.shared.errors import InputError
from stages.shared.params import Count, Seed, read_params


@dataclass(frozen=True)
class ForecasterAttempt:
    """Trains a forecaster on windows and scores its free runs.

    Args:
        name: of the base, for messages.
        windows: without the held-out end of the series.
        runs: those of validation.
        horizons: over which their errors are taken.
    """

    name: str
    windows: Windows
    runs: FreeRuns
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
        trained = train(params, self.windows, self.name)
        forecast = wrap_model(trained.model, scaling=self.windows.scaling)
        forecasts = forecast(self.runs.contexts, max(self.horizons))
        scores = score_forecasts(forecasts, self.runs, self.horizons)
        for score, value in scores.items():
            if not math.isfinite(value):
                raise InputError(f"{self.name}: {score} is {value}: its free runs blow up")
        return take_result(scores, trained.curves)


def compute_digest(runs: FreeRuns) -> str:
    """What tells free runs apart."""
    return hashlib.sha256(runs.contexts.tobytes() + runs.truths.tobytes()).hexdigest()


def read_forecaster_attempt(path: Path, name: str) -> ForecasterAttempt:
    """Read the windows of a series, and draw the validation that evaluate_forecasters asks for."""
    windows = hide_test(read_windows(path))
    series = read_series(path)
    phases = read_params("evaluate_forecasters.phases", Count)
    context = read_params("evaluate_forecasters.context", Count)
    horizons = read_params("evaluate_forecasters.validation_horizons", list[Count])
    seed = read_params("evaluate_forecasters.validation_seed", Seed)
    if isinstance(series, ObservedParams):
        assert windows.observed  # it is one
        horizons = series.horizons
        runs = roll_validation(windows.observed, series.window, max(horizons))
    else:
        runs = draw_free_runs(series, phases, context, windows.end, max(horizons), seed)
    return ForecasterAttempt(name, windows, runs, horizons)
