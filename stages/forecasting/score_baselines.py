"""Fit and score the baselines of a series; the best one on validation becomes a model.

Run by DVC as
`python stages/run.py forecasting.score_baselines WINDOWS TRAINED OUT METRICS DETAILS`. OUT gets the
scores of all baselines; TRAINED, METRICS and DETAILS get the files of the best one,
<series>_baseline, as any model has them.
"""

import math
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from torch import nn

from stages.forecasting.assessment import (
    Assessment,
    ForecastErrors,
    ForecastingEvaluationParams,
    add_owa,
    add_ratios,
    assess,
    check_scores,
    compare_with_naive,
    draw_backtests,
    find_best_baseline,
    make_forecast_info,
    name_ranked_score,
    score_forecasts,
    write_errors,
    write_scores,
)
from stages.forecasting.baselines import (
    fit_autoregression,
    fit_direct,
    fit_ets,
    fit_sinusoid,
    fit_theta,
    make_linear,
)
from stages.forecasting.forecasters import describe_model, find_shortest_history, wrap_model
from stages.forecasting.series import (
    AnySeries,
    Array,
    Backtest,
    ForecastFunction,
    Panel,
    Series,
    read_series,
)
from stages.models.local_forecaster import LocalForecaster
from stages.models.mean_forecaster import MeanForecaster
from stages.models.seasonal_forecaster import SeasonalForecaster
from stages.shared.checkpoints import write_fitted_model
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.json_files import Baselines, write_baselines
from stages.shared.params import Count, Params, read_params
from stages.shared.reproducible import make_reproducible

_Linear = Literal["predict_zero", "hold_last", "copy_period", "ar2", "ar_best", "ridge"]
_Observed = Literal["ets", "theta", "combination"]
_OfPanels = Literal["copy_period", "naive2", "theta", "ets", "combination"]
_Periodic = Literal["sinusoid"]
_Penalty = Annotated[float, Field(ge=0, le=1e9)]
_SMOOTHING = ("ets", "theta")
_MEMBERS = {"linear": ("ar2", "ar_best", "ridge"), "smoothing": _SMOOTHING}  # of a combination
_CHOSEN = ("order", "penalty", "context", "block")  # on validation, for a linear baseline

_Choice = dict[str, float | str]  # results of the choice on validation, as in the scores


class ForecastingBaselineParams(Params):
    """Section `forecasting_baselines` of params.yaml."""

    names: list[_Linear] = Field(min_length=1)
    observed_names: list[_Observed]  # for observed series too
    periodic_names: list[_Periodic]  # for generated series with a period too
    panel_names: list[_OfPanels] = Field(min_length=1)  # for panels, in place of all these
    ar_orders: list[Count] = Field(min_length=1)  # candidates of ar_best, for validation
    ridge_block: Count  # samples that ridge forecasts at once
    ridge_penalties: list[_Penalty] = Field(min_length=1)  # candidates, for validation


@dataclass(frozen=True)
class _Scored:
    """Scores and errors of the baselines of a series, and the best baseline on validation."""

    scores: Baselines
    errors: dict[str, ForecastErrors]  # by baseline, on the test phases
    best: str
    model: nn.Module
    forecast_info: dict[str, Any]  # of `make_forecast_info`
    forecasts: Array  # of the test, those that figures show
    names: list[str] | None  # of the series of a panel


def score_baselines(
    series: AnySeries, params: ForecastingBaselineParams, evaluation: ForecastingEvaluationParams
) -> _Scored:
    """Fit, choose and score all baselines of a series, in the same way as networks are scored.

    A baseline is left out, with a message, if its forecasts diverge.

    Raises:
        InputError: if context or segments are too short for a baseline, or all baselines diverge.
    """
    backtests = draw_backtests(series, evaluation)
    scores: Baselines = {}
    models: dict[str, nn.Module] = {}
    forecasters: dict[str, ForecastFunction] = {}
    assessments: dict[str, Assessment] = {}
    for name in _list_names(series, params):
        choice: _Choice = {}
        if isinstance(series, Panel):
            model = fit_panel_baseline(name, series)
            forecast = forecasters[name] = _remember(wrap_model(model))
            if name == "combination" and all(member in forecasters for member in _SMOOTHING):
                forecast = _average([forecasters[member] for member in _SMOOTHING])
        else:
            if name == "combination":
                choice = _choose_members(series, scores, evaluation)
                if not choice:
                    continue
                model = MeanForecaster([models[str(choice[kind])] for kind in _MEMBERS])
            else:
                choice, model = _choose(name, series, params, evaluation, backtests.validation)
            forecast = wrap_model(model)
        with np.errstate(over="ignore", invalid="ignore"):  # forecasts may diverge
            assessment = assess(forecast, backtests, evaluation, whole_history=True)
            scored = {**assessment.scores, **choice}
            if evaluation.split == "test" and backtests.walkthroughs:
                test = backtests.walkthroughs[backtests.drawn]
                mse = test.measure_mse(forecast(test.past[None], test.steps)[0])
                scored = {"walkthrough_mse": mse, **scored}
        try:
            check_scores(scored, "its forecasts diverge: drop it from forecasting_baselines")
        except InputError as error:
            print(f"{series.name}: {name} is left out: {error}")
            continue
        scores[name], models[name], assessments[name] = scored, model, assessment
    if not scores:
        raise InputError(
            f"the forecasts of all baselines of {series.name} diverge: add hold_last to "
            "forecasting_baselines.names in params.yaml"
        )
    return _collect_scores(series, evaluation, backtests.test, scores, models, assessments)


def _list_names(series: AnySeries, params: ForecastingBaselineParams) -> list[str]:
    """List the baselines of a series, a combination after its members."""
    if isinstance(series, Panel):
        return [*params.panel_names]
    observed = params.observed_names if series.is_continuous else []
    periodic = params.periodic_names if series.period else []
    return [*params.names, *observed, *periodic]


def _choose_members(
    series: Series, scores: Baselines, evaluation: ForecastingEvaluationParams
) -> _Choice:
    """Choose the best baseline of each family, to combine them; nothing without one of each."""
    members: _Choice = {}
    for kind, family in _MEMBERS.items():
        scored = {name: scores[name] for name in family if name in scores}
        if not scored:
            families = " and of ".join(map(str, _MEMBERS.values()))
            print(f"{series.name}: no combination without one of {families}")
            return {}
        members[kind] = _find_best(scored, evaluation)
    linear = scores[str(members["linear"])]
    return members | {name: linear[name] for name in _CHOSEN if name in linear}


def _find_best(scores: Baselines, evaluation: ForecastingEvaluationParams) -> str:
    """Return the baseline with the least error on validation, over the longest common horizon."""
    ranked = name_ranked_score(next(iter(scores.values())), evaluation.common_horizons[-1])
    return find_best_baseline(scores, ranked)


def _collect_scores(
    series: AnySeries,
    evaluation: ForecastingEvaluationParams,
    test: Backtest,
    scores: Baselines,
    models: dict[str, nn.Module],
    assessments: dict[str, Assessment],
) -> _Scored:
    """Compare all baselines with the best one, and return the scores of all of them."""
    best = _find_best(scores, evaluation)
    rows, steps = test.examples
    errors = {name: assessment.errors for name, assessment in assessments.items()}
    complete = {}
    for name in scores:
        with_ratios = add_ratios(scores[name], scores)
        complete[name] = add_owa(with_ratios, errors[name], scores, errors, evaluation)
    return _Scored(
        scores=complete,
        errors=errors,
        best=best,
        model=models[best],
        forecast_info=make_forecast_info(
            series,
            find_shortest_history(models[best]),
            assessments[best].prediction_intervals,
            compare_with_naive(errors[best], scores, errors, evaluation, test.block),
        ),
        forecasts=assessments[best].forecasts[rows, steps],
        names=test.names,
    )


def _remember(forecast: ForecastFunction) -> ForecastFunction:
    """Return the same forecaster with a cache of its forecasts, for the combination."""
    kept: dict[tuple[int, int], Array] = {}

    def remember(history: Array, horizon: int) -> Array:
        key = id(history), horizon
        if key not in kept:
            kept[key] = forecast(history, horizon)
        return kept[key]

    return remember


def _average(forecasters: list[ForecastFunction]) -> ForecastFunction:
    return lambda history, horizon: np.mean([one(history, horizon) for one in forecasters], axis=0)


def fit_panel_baseline(name: str, panel: Panel) -> nn.Module:
    """Return a baseline of a panel, which is fitted to each history when it forecasts."""
    season, floor = panel.season, panel.floor
    match name:
        case "copy_period":
            return make_linear(np.eye(season))
        case "naive2":
            return SeasonalForecaster([make_linear([[1.0]])], season, floor)
        case "theta" | "ets":
            return SeasonalForecaster([LocalForecaster(name)], season, floor)
        case _:  # combination
            return MeanForecaster([fit_panel_baseline(member, panel) for member in _SMOOTHING])


def fit_baseline(name: str, series: Series, choice: _Choice) -> nn.Module:
    """Fit a baseline to the training part of a series, in the units of the series.

    `choice` has what validation chose for the baseline, as in scores.json; other keys are ignored.
    """
    samples = series.join_training()
    plain = series.drop_differences(keep_log=False)
    smoothed = series.drop_differences(keep_log=True)
    season = series.season or 1
    match name:
        case "predict_zero":  # of a file: the mean of the training part
            return plain.undo_transform(make_linear([[0.0]]))
        case "hold_last":
            return plain.undo_transform(make_linear([[1.0]]))
        case "copy_period":
            return plain.undo_transform(make_linear(np.eye(season)))
        case "ar2" | "ar_best":
            return series.undo_transform(fit_autoregression(samples, int(choice["order"])))
        case "ridge":
            sizes = int(choice["context"]), int(choice["block"])
            return series.undo_transform(fit_direct(samples, *sizes, float(choice["penalty"])))
        case "ets":
            return smoothed.undo_transform(fit_ets(smoothed.join_training()[0], season))
        case "theta":
            return smoothed.undo_transform(fit_theta(smoothed.join_training()[0], season))
        case "sinusoid":
            assert series.period is not None  # else it is not in the list
            return fit_sinusoid(samples, series.period, choice["fixed_amplitude"] == 1.0)
        case _:  # combination
            members = (str(choice["linear"]), str(choice["smoothing"]))
            return MeanForecaster([fit_baseline(member, series, choice) for member in members])


def _choose(
    name: str,
    series: Series,
    params: ForecastingBaselineParams,
    evaluation: ForecastingEvaluationParams,
    validation: Backtest,
) -> tuple[_Choice, nn.Module]:
    """Fit a baseline in all ways; return the one with the least error on validation.

    The error is that over the longest horizon of validation.
    """
    longest = max(evaluation.validation_horizons)
    choices = _list_choices(name, series, params, evaluation)
    models = [fit_baseline(name, series, choice) for choice in choices]
    errors = []
    for model in models if len(models) > 1 else []:
        with np.errstate(over="ignore", invalid="ignore"):  # forecasts may diverge
            forecasts = wrap_model(model)(validation.histories, longest)
            scores = score_forecasts(forecasts, validation, [longest])
        error = scores[name_ranked_score(scores, longest)]
        errors.append(error if math.isfinite(error) else math.inf)
    best = errors.index(min(errors)) if errors else 0
    return choices[best], models[best]


def _list_choices(
    name: str,
    series: Series,
    params: ForecastingBaselineParams,
    evaluation: ForecastingEvaluationParams,
) -> list[_Choice]:
    """List the ways to fit a baseline, for validation to choose from."""
    num_samples = series.join_training().shape[1]
    match name:
        case "copy_period":
            _check_season(series, evaluation.context)
        case "ar2":  # exact on a clean sine
            return [{"order": order} for order in _limit_orders([2], series, evaluation.context)]
        case "ar_best":
            orders = params.ar_orders
            if series.is_continuous and series.season:  # a season back, and the one before
                orders = sorted({*orders, series.season, series.season + 1})
            orders = _limit_orders(orders, series, evaluation.context)
            return [{"order": order} for order in orders]
        case "ridge":
            if series.is_continuous:  # all steps at once, from the whole window
                block = max(1, min(max(evaluation.horizons), num_samples // 3))
                length = max(1, min(evaluation.context, num_samples - 2 * block))
            else:  # at most half a segment, to be fitted to many windows
                half = num_samples // 2
                block = max(1, min(params.ridge_block, half // 2))
                length = max(1, min(evaluation.context, half - block))
            sizes = {"context": length, "block": block}
            return [{"penalty": penalty, **sizes} for penalty in params.ridge_penalties]
        case "sinusoid":
            return [{"fixed_amplitude": is_fixed} for is_fixed in (0.0, 1.0)]
    return [{}]


def _check_season(series: Series, context: int) -> None:
    """Check that a series has a season, which the context must reach."""
    name, season = series.name, series.season
    if season is None:
        raise InputError(
            f"params.yaml: {series.section}.{name} has neither period nor season: "
            "give it a season for copy_period to repeat, or drop that from "
            "forecasting_baselines.names"
        )
    if not 0 < season <= context:
        raise InputError(
            f"params.yaml: evaluate_forecasters.context ({context}) must reach a period of "
            f"{name} ({season} samples), which copy_period repeats: raise it"
        )


def _limit_orders(orders: list[int], series: Series, context: int) -> list[int]:
    """Return the orders that fit segments and context."""
    if not series.is_continuous and max(orders) > context:
        raise InputError(
            f"params.yaml: AR({max(orders)}) needs more samples than "
            f"evaluate_forecasters.context ({context}): lower it in "
            "forecasting_baselines.ar_orders, or raise the context"
        )
    num_points = min(series.join_training().shape[1], context + 1)
    allowed = [order for order in orders if order < num_points]
    if not allowed:
        raise InputError(
            f"segments of {series.name} have {num_points} samples, too few for AR of "
            f"order {min(orders)}: give forecasting_baselines.ar_orders of params.yaml a lower "
            "one, and drop ar2 from names if they have fewer than 3"
        )
    if len(allowed) < len(orders):
        print(
            f"{series.name}: AR orders above {max(allowed)} are left out: a context has "
            f"{num_points - 1} samples"
        )
    return allowed


def main(windows: str, trained: str, out: str, metrics: str, details: str) -> None:
    """Write the scores of all baselines, and the files of the best one as a model."""
    started = datetime.now(UTC)
    params = read_params("forecasting_baselines", ForecastingBaselineParams)
    series = read_series(Path(windows))
    evaluation = read_params("evaluate_forecasters", ForecastingEvaluationParams).adapt(series)
    make_reproducible()
    scored = score_baselines(series, params, evaluation)
    write_baselines(Path(out), series.name, scored.scores)
    write_errors(Path(out) / "errors.csv", scored.errors, scored.names)
    np.savez(Path(out) / "forecasts.npz", allow_pickle=False, **{scored.best: scored.forecasts})

    config = describe_model(scored.model)
    write_fitted_model(Path(trained), config, scored.model, started)
    scores = {"data": series.name, "baseline": scored.best, **scored.scores[scored.best]}
    if evaluation.split != "test":
        scores["split"] = evaluation.split
    write_scores(Path(metrics), Path(details), scores, scored.forecast_info)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
