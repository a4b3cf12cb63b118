"""Score what a network has to beat on a series: its windows -> data/evaluated/.

Run by DVC as `python stages/run.py forecasting.score_baselines WINDOWS OUT`, where OUT is
data/evaluated/details/forecasting/baselines/<series>.
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.forecasting.assessment import (
    EvaluateParams,
    Queries,
    add_ratios,
    assess,
    check_scores,
    draw_queries,
)
from stages.forecasting.baselines import (
    copy_period,
    fit_autoregression,
    fit_direct,
    hold_last,
    predict_zero,
)
from stages.forecasting.forecast_errors import ForecastErrors, score_forecasts, write_errors
from stages.forecasting.series import Forecaster, Series, read_series
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.json_files import Baselines, write_baselines
from stages.shared.params import Count, Params, read_params
from stages.shared.reproducible import make_reproducible

Array = NDArray[np.float64]
Baseline = Literal["predict_zero", "hold_last", "copy_period", "ar2", "ar_best", "ridge"]
Penalty = Annotated[float, Field(ge=0, le=1e9)]

REMEDY = (
    "drop this baseline from forecasting_baselines.names or lower evaluate_forecasters.horizons"
)


class BaselineParams(Params):
    """Section `forecasting_baselines` of params.yaml."""

    names: list[Baseline] = Field(min_length=1)
    ar_orders: list[Count] = Field(min_length=1)  # of which validation chooses that of ar_best
    ridge_block: Count  # samples that ridge forecasts at once
    ridge_penalties: list[Penalty] = Field(min_length=1)  # of which validation chooses


@dataclass(frozen=True)
class FitContext:
    """What baselines are fitted to and chosen by."""

    series: Series
    samples: Array  # (N, T) of training, as the series joins it
    queries: Queries
    evaluation: EvaluateParams
    params: BaselineParams


@dataclass(frozen=True)
class Fitted:
    """A baseline, and what validation chose for it."""

    forecast: Forecaster
    chosen: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """All baselines of a series."""

    scores: Baselines
    errors: dict[str, ForecastErrors]  # by baseline, on the test phases


def score_baselines(series: Series, params: BaselineParams, evaluation: EvaluateParams) -> Scored:
    """Fit, choose and score all baselines of a series.

    Args:
        series: that networks are trained on, with its params.
        params: which baselines, and what to choose from.
        evaluation: how they are scored, as networks are.

    Raises:
        InputError: context or segments are too short for a baseline, or a score is not finite.
    """
    queries = draw_queries(series, evaluation)
    context = FitContext(series, series.join_training(), queries, evaluation, params)
    scores: Baselines = {}
    errors: dict[str, ForecastErrors] = {}
    for name in params.names:
        fitted = FITS[name](context)
        assessment = assess(fitted.forecast, queries, evaluation)
        scores[name] = {**assessment.scores, **fitted.chosen}
        if evaluation.split == "test":
            scores[name] = score_walkthrough(fitted.forecast, queries) | scores[name]
        errors[name] = assessment.errors
    check_scores(scores, REMEDY)
    compared = {name: add_ratios(scores[name], scores) for name in scores}
    return Scored(compared, errors)


def score_walkthrough(forecast: Forecaster, queries: Queries) -> dict[str, float]:
    """The walk-through's own test, which gives baselines the past too; nothing where it has none.

    Args:
        forecast: a baseline.
        queries: with the test.
    """
    if not queries.walkthroughs:
        return {}
    test = queries.walkthroughs[queries.drawn]
    return {"walkthrough_mse": test.measure_mse(forecast(test.past[None], test.steps)[0])}


def make_zero(context: FitContext) -> Fitted:
    """The mean of a sine, or of what an observed series was trained on."""
    return Fitted(context.series.restore_units(predict_zero))


def make_holding(context: FitContext) -> Fitted:
    """The last sample for ever."""
    return Fitted(hold_last)


def make_copying(context: FitContext) -> Fitted:
    """The last period, or what the series gives for its season.

    Raises:
        InputError: the series gives neither, or the context is shorter.
    """
    name, lag, longest = context.series.name, context.series.season, context.evaluation.context
    if lag is None:
        raise InputError(
            f"params.yaml: {context.series.section}.{name} has neither period nor season: "
            "give it a season for copy_period to repeat, or drop that from "
            "forecasting_baselines.names"
        )
    if not 0 < lag <= longest:
        raise InputError(
            f"params.yaml: evaluate_forecasters.context ({longest}) must reach a period of "
            f"{name} ({lag} samples), which copy_period repeats: raise it"
        )
    return Fitted(partial(copy_period, lag=lag))


def fit_ar2(context: FitContext) -> Fitted:
    """AR(2), which is exact on a clean sine."""
    [order] = limit_orders([2], context)
    return Fitted(context.series.restore_units(fit_autoregression(context.samples, order)))


def fit_ar_best(context: FitContext) -> Fitted:
    """AR(p), with the order that validation chooses."""
    candidates: dict[float, Forecaster] = {}
    for order in limit_orders(context.params.ar_orders, context):
        candidates[order] = context.series.restore_units(fit_autoregression(context.samples, order))
    best = choose(candidates, context)
    return Fitted(candidates[best], {"order": best})


def limit_orders(orders: list[int], context: FitContext) -> list[int]:
    """The orders that a series can be fitted by: its segments or context may be too short for some.

    Raises:
        InputError: an order beyond the context, or none that the segments allow.
    """
    longest = context.evaluation.context
    context.series.check_orders(orders, longest)
    num_points = min(context.samples.shape[1], longest + 1)
    allowed = [order for order in orders if order < num_points]
    if not allowed:
        raise InputError(
            f"segments of {context.series.name} have {num_points} samples, too few for AR of "
            f"order {min(orders)}: give forecasting_baselines.ar_orders of params.yaml a lower one"
        )
    if len(allowed) < len(orders):
        print(f"{context.series.name}: segments of {num_points} samples allow {allowed} alone")
    return allowed


def fit_ridge(context: FitContext) -> Fitted:
    """The direct forecaster, with the penalty that validation chooses.

    Context and block take at most half a segment, so that it is fitted at many places of it.
    """
    half = context.samples.shape[1] // 2
    block = max(1, min(context.params.ridge_block, half // 2))
    length = max(1, min(context.evaluation.context, half - block))
    candidates: dict[float, Forecaster] = {}
    for penalty in context.params.ridge_penalties:
        fitted = fit_direct(context.samples, length, block, penalty)
        candidates[penalty] = context.series.restore_units(fitted)
    best = choose(candidates, context)
    return Fitted(candidates[best], {"penalty": best, "context": length, "block": block})


def choose(candidates: Mapping[float, Forecaster], context: FitContext) -> float:
    """That with the least error over the longest forecasts of validation; the first of equals."""
    validation = context.queries.validation
    longest = max(context.evaluation.validation_horizons)
    errors = {}
    for value, forecast in candidates.items():
        with np.errstate(over="ignore", invalid="ignore"):  # of a run that explodes
            scores = score_forecasts(forecast(validation.contexts, longest), validation, [longest])
        mse = scores[f"mse_{longest}"]
        errors[value] = mse if math.isfinite(mse) else math.inf
    return min(errors, key=lambda value: errors[value])


FITS: dict[Baseline, Callable[[FitContext], Fitted]] = {
    "predict_zero": make_zero,
    "hold_last": make_holding,
    "copy_period": make_copying,
    "ar2": fit_ar2,
    "ar_best": fit_ar_best,
    "ridge": fit_ridge,
}


def main(windows: str, out: str) -> None:
    """Write scores.json and errors.csv of one series."""
    params = read_params("forecasting_baselines", BaselineParams)
    series = read_series(Path(windows))
    evaluation = read_params("evaluate_forecasters", EvaluateParams).adapt(series)
    make_reproducible()
    scored = score_baselines(series, params, evaluation)
    folder = Path(out)
    write_baselines(folder, series.name, scored.scores)
    write_errors(folder / "errors.csv", scored.errors)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
