"""Score the baselines of a series: data/preprocessed/series/ -> data/evaluated/.

Run by DVC as `python stages/run.py forecasting.score_baselines WINDOWS OUT`, where OUT is
data/evaluated/details/forecasting/baselines/<series>.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from stages.forecasting.assessment import (
    Backtests,
    ForecastErrors,
    ForecastingEvaluationParams,
    add_ratios,
    assess,
    check_scores,
    draw_backtests,
    score_forecasts,
    write_errors,
)
from stages.forecasting.baselines import (
    copy_period,
    fit_autoregression,
    fit_direct,
    hold_last,
    predict_zero,
)
from stages.forecasting.series import Array, Forecaster, Series, read_series
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.json_files import Baselines, write_baselines
from stages.shared.params import Count, Params, read_params
from stages.shared.reproducible import make_reproducible

_Name = Literal["predict_zero", "hold_last", "copy_period", "ar2", "ar_best", "ridge"]
_Penalty = Annotated[float, Field(ge=0, le=1e9)]


class ForecastingBaselineParams(Params):
    """Section `forecasting_baselines` of params.yaml."""

    names: list[_Name] = Field(min_length=1)
    ar_orders: list[Count] = Field(min_length=1)  # of which validation chooses that of ar_best
    ridge_block: Count  # samples that ridge forecasts at once
    ridge_penalties: list[_Penalty] = Field(min_length=1)  # of which validation chooses


@dataclass(frozen=True)
class _FitContext:
    """The data and params that baselines are fitted with."""

    series: Series
    samples: Array  # (N, T) of training, as the series joins it
    backtests: Backtests
    evaluation: ForecastingEvaluationParams
    params: ForecastingBaselineParams


@dataclass(frozen=True)
class _Scored:
    """Scores and errors of the baselines of a series."""

    scores: Baselines
    errors: dict[str, ForecastErrors]  # by baseline, on the test phases


def score_baselines(
    series: Series, params: ForecastingBaselineParams, evaluation: ForecastingEvaluationParams
) -> _Scored:
    """Fit, choose and score all baselines of a series, in the same way as networks are scored.

    Raises:
        InputError: context or segments are too short for a baseline, or a score is not finite.
    """
    backtests = draw_backtests(series, evaluation)
    context = _FitContext(series, series.join_training(), backtests, evaluation, params)
    scores: Baselines = {}
    errors: dict[str, ForecastErrors] = {}
    for name in params.names:
        forecast, chosen = _fit(name, context)
        assessment = assess(forecast, backtests, evaluation)
        scores[name] = {**assessment.scores, **chosen}
        if evaluation.split == "test" and backtests.walkthroughs:
            test = backtests.walkthroughs[backtests.drawn]
            mse = test.measure_mse(forecast(test.past[None], test.steps)[0])
            scores[name] = {"walkthrough_mse": mse, **scores[name]}
        errors[name] = assessment.errors
    remedy = "drop this baseline from forecasting_baselines.names or lower"
    check_scores(scores, f"{remedy} evaluate_forecasters.horizons")
    compared = {name: add_ratios(scores[name], scores) for name in scores}
    return _Scored(compared, errors)


def _fit(name: _Name, context: _FitContext) -> tuple[Forecaster, dict[str, float]]:
    """Fit one baseline to the training part of a series; also what validation chose for it."""
    series, samples = context.series, context.samples
    candidates: dict[float, Forecaster] = {}
    match name:
        case "predict_zero":  # in the units of a file: the mean of the training part
            return series.restore_units(predict_zero), {}
        case "hold_last":
            return hold_last, {}
        case "copy_period":
            return partial(copy_period, lag=_check_season(context)), {}
        case "ar2":  # exact on a clean sine
            [order] = _limit_orders([2], context)
            return series.restore_units(fit_autoregression(samples, order)), {}
        case "ar_best":
            for order in _limit_orders(context.params.ar_orders, context):
                candidates[order] = series.restore_units(fit_autoregression(samples, order))
            best = _choose(candidates, context)
            return candidates[best], {"order": best}
        case "ridge":  # context and block take at most half a segment, to be fitted to many windows
            half = samples.shape[1] // 2
            block = max(1, min(context.params.ridge_block, half // 2))
            length = max(1, min(context.evaluation.context, half - block))
            for penalty in context.params.ridge_penalties:
                fitted = fit_direct(samples, length, block, penalty)
                candidates[penalty] = series.restore_units(fitted)
            best = _choose(candidates, context)
            return candidates[best], {"penalty": best, "context": length, "block": block}


def _check_season(context: _FitContext) -> int:
    """The season of a series, in samples, which the context must reach."""
    name, season, longest = context.series.name, context.series.season, context.evaluation.context
    if season is None:
        raise InputError(
            f"params.yaml: {context.series.section}.{name} has neither period nor season: "
            "give it a season for copy_period to repeat, or drop that from "
            "forecasting_baselines.names"
        )
    if not 0 < season <= longest:
        raise InputError(
            f"params.yaml: evaluate_forecasters.context ({longest}) must reach a period of "
            f"{name} ({season} samples), which copy_period repeats: raise it"
        )
    return season


def _limit_orders(orders: list[int], context: _FitContext) -> list[int]:
    """The orders for which segments are long enough; the context must reach all of them."""
    longest = context.evaluation.context
    if "context" not in context.series.own_evaluation and max(orders) > longest:
        raise InputError(
            f"params.yaml: AR({max(orders)}) looks at more samples than "
            f"evaluate_forecasters.context ({longest}) shows: lower it in "
            "forecasting_baselines.ar_orders, or raise the context"
        )
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


def _choose(candidates: Mapping[float, Forecaster], context: _FitContext) -> float:
    """The candidate with the least error over the longest horizon of validation."""
    validation = context.backtests.validation
    longest = max(context.evaluation.validation_horizons)
    errors = {}
    for value, forecast in candidates.items():
        with np.errstate(over="ignore", invalid="ignore"):  # forecasts may diverge
            scores = score_forecasts(forecast(validation.contexts, longest), validation, [longest])
        mse = scores[f"mse_{longest}"]
        errors[value] = mse if math.isfinite(mse) else math.inf
    return min(errors, key=lambda value: errors[value])


def main(windows: str, out: str) -> None:
    """Write scores.json and errors.csv of one series."""
    params = read_params("forecasting_baselines", ForecastingBaselineParams)
    series = read_series(Path(windows))
    evaluation = read_params("evaluate_forecasters", ForecastingEvaluationParams).adapt(series)
    make_reproducible()
    scored = score_baselines(series, params, evaluation)
    folder = Path(out)
    write_baselines(folder, series.name, scored.scores)
    write_errors(folder / "errors.csv", scored.errors)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
