"""What all forecasters of a series are asked, networks and baselines alike, and how they score."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stages.forecasting.free_runs import (
    FreeRuns,
    PhaseErrors,
    average_phases,
    draw_free_runs,
    measure_phases,
    roll_origins,
    roll_validation,
    score_forecasts,
)
from stages.forecasting.observed import ObservedParams
from stages.forecasting.scope import cover, find_band
from stages.forecasting.series import (
    Forecaster,
    Kind,
    ObservedSeries,
    WalkthroughTest,
    Windows,
    list_walkthrough_tests,
)
from stages.forecasting.signals import GeneratedParams
from stages.shared.baselines import Baselines
from stages.shared.errors import InputError
from stages.shared.intervals import BootstrapParams, bootstrap, bootstrap_difference
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
    phases: Count  # random starting points of the free runs
    context: Count  # true samples that a forecaster sees before it runs free
    horizons: list[Count] = Field(min_length=1)  # steps of the free runs, on the test phases
    validation_horizons: list[Count] = Field(min_length=1)
    seed: Seed  # of the test phases
    validation_seed: Seed
    walkthrough_tests: dict[Name, Kind]  # how a walk-through ends, by series; default: one_point
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

    def suit(self, series: GeneratedParams | ObservedParams) -> "EvaluateParams":
        """The same with context and horizons of a series from a file, which has its own."""
        if not isinstance(series, ObservedParams):
            return self
        horizons = {"horizons": series.horizons, "validation_horizons": series.horizons}
        return self.model_copy(update={"context": series.window, **horizons})


@dataclass(frozen=True)
class Questions:
    """What is asked."""

    walkthroughs: list[WalkthroughTest]  # one for each start of the one-point test; none of a file
    drawn: int  # which of them the walk-through asks
    validation: FreeRuns
    test: FreeRuns


@dataclass(frozen=True)
class Assessment:
    """How a forecaster runs free."""

    scores: dict[str, Any]  # nested: scores on the test, `intervals`, `validation`
    errors: PhaseErrors  # on the test
    forecasts: Array  # (B, n), likewise
    band: Array  # (2, n): what most errors on validation lie between, by step
    coverage: float  # share of the test in that band


def draw_questions(
    windows: Windows,
    series_name: str,
    series: GeneratedParams | ObservedParams,
    params: EvaluateParams,
) -> Questions:
    """The same questions for every forecaster of a series.

    Args:
        windows: that networks are trained on, and the end of the series that they are not.
        series_name: entry of generated_series or observed_series.
        series: that entry, by which the signal goes on after the windows.
        params: what is measured.

    """
    if isinstance(series, ObservedParams):
        assert windows.observed  # it is one
        return roll_questions(windows.observed, params)
    longest = max(params.validation_horizons)
    draw = partial(draw_free_runs, series, params.phases, params.context)
    after = windows.end
    validation = draw(after, longest, params.validation_seed)
    seed = params.seed
    if params.split == "validation":  # its phases stand where nobody may see those of the test
        seed = params.validation_seed
    elif series.delay:  # it never comes again: the test lies after all that validation saw
        after += series.spread + series.time_step * (params.context + longest)
    test = draw(after, max(params.horizons), seed)
    kind = params.walkthrough_tests.get(series_name, "one_point")
    walkthroughs = list_walkthrough_tests(kind, windows, series, params.walkthrough_steps)
    drawn = int(np.random.default_rng(params.walkthrough_seed).integers(len(walkthroughs)))
    return Questions(walkthroughs, drawn, validation, test)


def roll_questions(observed: ObservedSeries, params: EvaluateParams) -> Questions:
    """Rolling origins in the parts of an observed series that nobody was trained on."""
    context, horizon = params.context, max(params.horizons)
    validation = roll_validation(observed, context, horizon)
    test = validation
    if params.split == "test":
        after = observed.num_train + observed.num_validation
        test = roll_origins(observed, after, len(observed.samples), context, horizon)
    return Questions([], 0, validation, test)


def assess(forecast: Forecaster, questions: Questions, params: EvaluateParams) -> Assessment:
    """Scores on test and validation, with the intervals of those on test."""
    forecasts = forecast(questions.test.contexts, max(params.horizons))
    errors = measure_phases(forecasts, questions.test, params.horizons)
    horizons = params.validation_horizons
    guesses = forecast(questions.validation.contexts, max(horizons))
    band = find_band(guesses, questions.validation)
    covered = cover(band, forecasts, questions.test)
    if questions.test.naive_error:
        errors["band_coverage"] = covered
    measure = partial(average_phases, errors)
    alike = np.zeros(len(forecasts), dtype=np.int64)
    common = params.common_horizons
    scores = {
        "horizon_short": common[0],
        "horizon_long": common[-1],
        **average_phases(errors),
        "intervals": bootstrap(measure, alike, params.bootstrap, questions.test.block),
        "validation": score_forecasts(guesses, questions.validation, horizons),
    }
    return Assessment(scores, errors, forecasts, band, float(covered.mean()))


def compare_with_baselines(
    scores: Mapping[str, Any],
    errors: PhaseErrors,
    baselines: Baselines,
    baseline_errors: Mapping[str, PhaseErrors],
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
    errors: PhaseErrors,
    baselines: Baselines,
    baseline_errors: Mapping[str, PhaseErrors],
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
            partial(average_phases, theirs),
            partial(average_phases, own),
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
