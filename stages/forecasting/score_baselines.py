"""Fit and score the baselines of a series; the best one on validation becomes a model.

Run by DVC as
`python stages/run.py forecasting.score_baselines WINDOWS TRAINED OUT METRICS DETAILS`. OUT gets the
scores of all baselines; TRAINED, METRICS and DETAILS are those of the best one, <series>_baseline,
as any model has them.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from stages.forecasting.assessment import (
    Assessment,
    Backtests,
    ForecastErrors,
    ForecastingEvaluationParams,
    add_ratios,
    assess,
    check_scores,
    describe_training_range,
    draw_backtests,
    find_best_baseline,
    score_forecasts,
    write_errors,
)
from stages.forecasting.baselines import (
    Baseline,
    fit_autoregression,
    fit_direct,
    fit_ets,
    fit_theta,
    make_linear,
)
from stages.forecasting.forecasters import describe_model, wrap_model
from stages.forecasting.metrics import choose_forecaster_metrics
from stages.forecasting.series import Array, Series, read_series
from stages.shared.checkpoints import write_fitted_model
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.json_files import Baselines, write_baselines, write_json
from stages.shared.params import Count, Params, read_params
from stages.shared.reproducible import make_reproducible

_Linear = Literal["predict_zero", "hold_last", "copy_period", "ar2", "ar_best", "ridge"]
_Smoothing = Literal["ets", "theta"]
_Penalty = Annotated[float, Field(ge=0, le=1e9)]


class ForecastingBaselineParams(Params):
    """Section `forecasting_baselines` of params.yaml."""

    names: list[_Linear] = Field(min_length=1)
    observed_names: list[_Smoothing]  # for observed series too
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
    """Scores and errors of the baselines of a series, and the best of them on validation."""

    scores: Baselines
    errors: dict[str, ForecastErrors]  # by baseline, on the test phases
    best: str
    model: Baseline
    training_range: dict[str, Any]  # of `describe_training_range`
    forecasts: Array  # of the test, those that figures show


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
    models: dict[str, Baseline] = {}
    assessments: dict[str, Assessment] = {}
    for name in [*params.names, *(params.observed_names if series.is_continuous else [])]:
        model, chosen = _fit(name, context)
        forecast = series.restore_units(wrap_model(model))
        with np.errstate(over="ignore", invalid="ignore"):  # forecasts may diverge
            assessment = assess(forecast, backtests, evaluation, whole_history=True)
            scores[name] = {**assessment.scores, **chosen}
            if evaluation.split == "test" and backtests.walkthroughs:
                test = backtests.walkthroughs[backtests.drawn]
                mse = test.measure_mse(forecast(test.past[None], test.steps)[0])
                scores[name] = {"walkthrough_mse": mse, **scores[name]}
        models[name], assessments[name] = model, assessment
    remedy = "drop this baseline from forecasting_baselines or lower"
    check_scores(scores, f"{remedy} evaluate_forecasters.horizons")
    best = find_best_baseline(scores, f"mse_{evaluation.common_horizons[-1]}")
    shown = assessments[best]
    rows, steps = backtests.test.examples
    return _Scored(
        scores={name: add_ratios(scores[name], scores) for name in scores},
        errors={name: assessment.errors for name, assessment in assessments.items()},
        best=best,
        model=models[best],
        training_range=describe_training_range(
            series, models[best].shortest_history, shown.interval, shown.coverage
        ),
        forecasts=shown.forecasts[rows, steps],
    )


def _fit(name: str, context: _FitContext) -> tuple[Baseline, dict[str, float]]:
    """Fit one baseline to the training part of a series; also what validation chose for it."""
    series, samples, params = context.series, context.samples, context.params
    candidates: dict[float, Baseline] = {}
    match name:
        case "predict_zero":  # in the units of a file: the mean of the training part
            return make_linear([[0.0]]), {}
        case "hold_last":
            return make_linear([[1.0]]), {}
        case "copy_period":
            return make_linear(np.eye(_check_season(context))), {}
        case "ar2":  # exact on a clean sine
            [order] = _limit_orders([2], context)
            return fit_autoregression(samples, order), {}
        case "ar_best":
            for order in _limit_orders(params.ar_orders, context):
                candidates[order] = fit_autoregression(samples, order)
            best = _choose(candidates, context)
            return candidates[best], {"order": best}
        case "ridge":
            if series.is_continuous:  # all steps at once, from the whole window
                num_samples = samples.shape[1]
                block = min(max(context.evaluation.horizons), num_samples // 3)
                length = max(1, min(context.evaluation.context, num_samples - 2 * block))
            else:  # at most half a segment, to be fitted to many windows
                half = samples.shape[1] // 2
                block = max(1, min(params.ridge_block, half // 2))
                length = max(1, min(context.evaluation.context, half - block))
            for penalty in params.ridge_penalties:
                candidates[penalty] = fit_direct(samples, length, block, penalty)
            best = _choose(candidates, context)
            return candidates[best], {"penalty": best, "context": length, "block": block}
        case "ets":
            return fit_ets(samples[0], series.season or 1), {}
        case _:
            return fit_theta(samples[0], series.season or 1), {}


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
            f"order {min(orders)}: give forecasting_baselines.ar_orders of params.yaml a lower "
            "one, and drop ar2 from names if they have fewer than 3"
        )
    if len(allowed) < len(orders):
        print(f"{context.series.name}: segments of {num_points} samples allow {allowed} alone")
    return allowed


def _choose(candidates: Mapping[float, Baseline], context: _FitContext) -> float:
    """The candidate with the least error over the longest horizon of validation."""
    validation = context.backtests.validation
    longest = max(context.evaluation.validation_horizons)
    errors = {}
    for value, model in candidates.items():
        forecast = context.series.restore_units(wrap_model(model))
        with np.errstate(over="ignore", invalid="ignore"):  # forecasts may diverge
            scores = score_forecasts(forecast(validation.histories, longest), validation, [longest])
        mse = scores[f"mse_{longest}"]
        errors[value] = mse if math.isfinite(mse) else math.inf
    return min(errors, key=lambda value: errors[value])


def main(windows: str, trained: str, out: str, metrics: str, details: str) -> None:
    """Write the scores of all baselines, and the files of the best one as a model."""
    started = datetime.now(UTC)
    params = read_params("forecasting_baselines", ForecastingBaselineParams)
    series = read_series(Path(windows))
    evaluation = read_params("evaluate_forecasters", ForecastingEvaluationParams).adapt(series)
    make_reproducible()
    scored = score_baselines(series, params, evaluation)
    write_baselines(Path(out), series.name, scored.scores)
    write_errors(Path(out) / "errors.csv", scored.errors)
    np.savez(Path(out) / "forecasts.npz", allow_pickle=False, **{scored.best: scored.forecasts})

    config = describe_model(scored.model, series.scaling)
    write_fitted_model(Path(trained), config, scored.model, started)
    scores = {"data": series.name, "baseline": scored.best, **scored.scores[scored.best]}
    if evaluation.split != "test":
        scores["split"] = evaluation.split
    for folder in (Path(details), Path(metrics).parent):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(Path(metrics), choose_forecaster_metrics(scores))
    write_json(Path(details) / "scores.json", scores)
    write_json(Path(details) / "training_range.json", scored.training_range)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
