"""What all forecasters of a series have to forecast, and how networks and baselines score."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stages.forecasting.forecast_errors import (
    ForecastErrors,
    average_errors,
    measure_errors,
    score_forecasts,
)
from stages.forecasting.scope import fit_prediction_interval, measure_coverage
from stages.forecasting.series import (
    Backtest,
    Forecaster,
    Series,
    WalkthroughKind,
    WalkthroughTest,
)
from stages.shared.errors import InputError
from stages.shared.intervals import BootstrapParams, bootstrap, bootstrap_difference
from stages.shared.json_files import Baselines
from stages.shared.params import Count, Name, Params, Seed

Array = NDArray[np.float64]


class EvaluateParams(Params):
    """Section `evaluate_forecasters` of params.yaml.

    Two horizons have the same names for every series, so that models can be compared: `mse_short`
    is the error over the shortest, `mse_long` over the longest of those that test and validation
    have in common (49 and 500 steps; of a file its shortest and longest). Models are ranked by
    `mse_long` on validation.
    """

    split: Literal["test", "validation"]  # validation: while recipes are chosen
    phases: Count  # random starting points of the closed-loop forecasts
    context: Count  # true samples that a forecaster sees before its forecast
    horizons: list[Count] = Field(min_length=1)  # steps of forecasts on the test phases
    validation_horizons: list[Count] = Field(min_length=1)
    seed: Seed  # of the test phases
    validation_seed: Seed
    walkthrough_tests: dict[
        Name, WalkthroughKind
    ]  # how a walk-through ends, by series; default: one_point
    walkthrough_steps: Count  # of the one-point and continuation tests
    walkthrough_seed: Seed  # of the start that the one-point test draws
    bootstrap: BootstrapParams  # of the intervals, over the test phases

    @model_validator(mode="after")
    def check_horizons(self) -> "EvaluateParams":
        """Reject horizons of which none is scored on both test and validation."""
        if not self.common_horizons:
            raise ValueError("horizons and validation_horizons have none in common")
        return self

    @property
    def common_horizons(self) -> list[int]:
        """The horizons that test and validation have in common, in ascending order."""
        return sorted(set(self.horizons) & set(self.validation_horizons))

    def adapt(self, series: Series) -> "EvaluateParams":
        """The same with what the series gives itself: context and horizons, if it is observed."""
        return self.model_copy(update=series.own_evaluation)


@dataclass(frozen=True)
class Queries:
    """What every forecaster of a series has to forecast."""

    walkthroughs: list[WalkthroughTest]  # one for each start of the one-point test; none of a file
    drawn: int  # which of them the walk-through scores
    validation: Backtest
    test: Backtest


@dataclass(frozen=True)
class Assessment:
    """How well a forecaster does."""

    scores: dict[str, Any]  # nested: scores on the test, `intervals`, `validation`
    errors: ForecastErrors  # on the test
    forecasts: Array  # (B, n), likewise
    interval: Array  # (2, n): the prediction interval by step, to be added to a forecast
    coverage: float  # share of the test in it


def draw_queries(series: Series, params: EvaluateParams) -> Queries:
    """The same queries for every forecaster of a series.

    Args:
        series: with its params.
        params: what is measured.
    """
    validation_horizon = max(params.validation_horizons)
    draw = partial(
        series.backtest,
        context=params.context,
        phases=params.phases,
        validation_horizon=validation_horizon,
    )
    validation = draw("validation", horizon=validation_horizon, seed=params.validation_seed)
    # while recipes are chosen, validation stands in for the test, which nobody may see yet
    seed = params.seed if params.split == "test" else params.validation_seed
    test = draw(params.split, horizon=max(params.horizons), seed=seed)
    kind = params.walkthrough_tests.get(series.name, "one_point")
    tests = series.walkthrough_tests(kind, params.walkthrough_steps, params.context)
    generator = np.random.default_rng(params.walkthrough_seed)
    drawn = int(generator.integers(len(tests))) if tests else 0
    return Queries(tests, drawn, validation, test)


def assess(forecast: Forecaster, queries: Queries, params: EvaluateParams) -> Assessment:
    """Scores on test and validation, with the intervals of those on test."""
    forecasts = forecast(queries.test.contexts, max(params.horizons))
    errors = measure_errors(forecasts, queries.test, params.horizons)
    horizons = params.validation_horizons
    predictions = forecast(queries.validation.contexts, max(horizons))
    interval = fit_prediction_interval(predictions, queries.validation)
    covered = measure_coverage(interval, forecasts, queries.test)
    if queries.test.scores_coverage:
        errors["band_coverage"] = covered
    measure = partial(average_errors, errors)
    alike = np.zeros(len(forecasts), dtype=np.int64)
    common = params.common_horizons
    scores = {
        "horizon_short": common[0],
        "horizon_long": common[-1],
        **average_errors(errors),
        "intervals": bootstrap(measure, alike, params.bootstrap, queries.test.block),
        "validation": score_forecasts(predictions, queries.validation, horizons),
    }
    return Assessment(scores, errors, forecasts, interval, float(covered.mean()))


def compare_with_baselines(
    scores: Mapping[str, Any],
    errors: ForecastErrors,
    baselines: Baselines,
    baseline_errors: Mapping[str, ForecastErrors],
    params: EvaluateParams,
    block: int = 1,
) -> dict[str, Any]:
    """The scores of a forecaster, with its improvement over the best baseline.

    Args:
        scores: of the forecaster, as `assess` gives them.
        errors: of the forecaster, on the test phases.
        baselines: scores of the baselines, by name.
        baseline_errors: errors of the baselines, on the same phases.
        params: of the forecasts.
        block: neighbouring errors that are drawn together.
    """
    improvement = measure_improvement(errors, baselines, baseline_errors, params, block)
    return {**add_ratios(scores, baselines), "improvement": improvement}


def add_ratios(scores: Mapping[str, Any], baselines: Baselines) -> dict[str, Any]:
    """The scores with `ratio_to_baseline`, on test and on validation.

    It is the error over the long horizon, divided by that of the baseline whose error over this
    horizon is the least on validation. Below 1 is better than the baseline. There is none if the
    error of the baseline is 0, or so small that the ratio overflows.

    Args:
        scores: of a forecaster, as `assess` gives them.
        baselines: scores of the baselines, by name.
    """
    score = f"mse_{scores['horizon_long']}"
    best = baselines[choose_baseline(baselines, score)]
    validation = dict(scores["validation"])
    extended = {**scores, "validation": validation}
    pairs = ((extended, best), (validation, best["validation"]))
    for own, theirs in pairs:
        ratio = own[score] / theirs[score] if theirs[score] else math.inf
        if math.isfinite(ratio):
            own["ratio_to_baseline"] = ratio
    return extended


def choose_baseline(baselines: Baselines, score: str) -> str:
    """The name of the baseline with the least error on validation."""
    return min(baselines, key=lambda name: baselines[name]["validation"][score])


def measure_improvement(
    errors: ForecastErrors,
    baselines: Baselines,
    baseline_errors: Mapping[str, ForecastErrors],
    params: EvaluateParams,
    block: int = 1,
) -> dict[str, Any]:
    """The improvement over the best baseline, for each horizon that test and validation have.

    It is the error of the baseline less that of the forecaster, as an interval of the paired
    difference: all above 0, the forecaster is ahead; all below, behind.

    Args:
        errors: of the forecaster, on the test phases.
        baselines: scores of the baselines; that which is best on validation is compared.
        baseline_errors: errors of the baselines, on the same phases.
        params: of the forecasts.
        block: neighbouring errors that are drawn together.
    """
    improvement = {}
    for horizon in params.common_horizons:
        score = f"mse_{horizon}"
        best = choose_baseline(baselines, score)
        own, theirs = {score: errors[score]}, {score: baseline_errors[best][score]}
        intervals = bootstrap_difference(
            partial(average_errors, theirs),
            partial(average_errors, own),
            np.zeros(len(errors[score]), dtype=np.int64),
            params.bootstrap,
            block,
        )
        improvement[score] = {"baseline": best, **intervals[score]}
    return improvement


def check_scores(scores: Mapping[str, Any], remedy: str, prefix: str = "") -> None:
    """Reject scores that are not finite.

    Raises:
        InputError: a score is not finite.
    """
    for name, value in scores.items():
        if isinstance(value, dict):
            check_scores(value, remedy, f"{prefix}{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{prefix}{name} is {value}: {remedy} in params.yaml")
