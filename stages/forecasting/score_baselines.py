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
    Questions,
    add_ratios,
    assess,
    check_scores,
    draw_questions,
)
from stages.forecasting.baselines import (
    copy_period,
    fit_autoregression,
    fit_direct,
    hold_last,
    predict_zero,
)
from stages.forecasting.free_runs import PhaseErrors, score_forecasts
from stages.forecasting.observed import ObservedParams
from stages.forecasting.phase_errors import write_phase_errors
from stages.forecasting.series import (
    Forecaster,
    Scaling,
    Windows,
    read_series,
    read_windows,
    sample_past,
    scale_forecaster,
)
from stages.forecasting.signals import GeneratedParams
from stages.shared.arithmetic import prepare_arithmetic
from stages.shared.baselines import Baselines, write_baselines
from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.params import Count, Params, read_params

Array = NDArray[np.float64]
Baseline = Literal["predict_zero", "hold_last", "copy_period", "ar2", "ar_best", "ridge"]
Penalty = Annotated[float, Field(ge=0, le=1e9)]

FITTED_SEGMENTS = 2000  # most that a baseline is fitted to: enough, whatever a series' length
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
class Material:
    """What baselines are fitted to and chosen by."""

    samples: Array  # (N, T), segments of training
    series_name: str
    series: GeneratedParams | ObservedParams
    questions: Questions
    evaluation: EvaluateParams
    params: BaselineParams
    scaling: Scaling | None  # of the samples; None: they are those of the series

    def wrap(self, forecast: Forecaster) -> Forecaster:
        """What was fitted to the samples as a forecaster of the series."""
        return scale_forecaster(forecast, self.scaling)


@dataclass(frozen=True)
class Fitted:
    """A baseline, and what validation chose for it."""

    forecast: Forecaster
    chosen: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """All baselines of a series."""

    scores: Baselines
    errors: dict[str, PhaseErrors]  # by baseline, on the test phases


def score_baselines(
    windows: Windows,
    series_name: str,
    series: GeneratedParams | ObservedParams,
    params: BaselineParams,
    evaluation: EvaluateParams,
) -> Scored:
    """Fit, choose and score all baselines of a series.

    Args:
        windows: that networks are trained on.
        series_name: entry of generated_series or observed_series.
        series: that entry.
        params: which baselines, and what to choose from.
        evaluation: what they are asked, as networks are.

    Raises:
        InputError: context or segments are too short for a baseline, or a score is not finite.
    """
    questions = draw_questions(windows, series_name, series, evaluation)
    samples = collect_samples(windows)
    material = Material(
        samples, series_name, series, questions, evaluation, params, windows.scaling
    )
    scores: Baselines = {}
    errors: dict[str, PhaseErrors] = {}
    for name in params.names:
        fitted = FITS[name](material)
        free = assess(fitted.forecast, questions, evaluation)
        scores[name] = {**free.scores, **fitted.chosen}
        if evaluation.split == "test" and isinstance(series, GeneratedParams):
            scores[name] = score_walkthrough(fitted.forecast, material, series) | scores[name]
        errors[name] = free.errors
    check_scores(scores, REMEDY)
    compared = {name: add_ratios(scores[name], scores) for name in scores}
    return Scored(compared, errors)


def score_walkthrough(
    forecast: Forecaster, material: Material, series: GeneratedParams
) -> dict[str, float]:
    """The walk-through's own test, which tells baselines the past too."""
    test = material.questions.walkthroughs[material.questions.drawn]
    past = sample_past(test, series, material.evaluation.context)[None]
    answer = forecast(past, test.steps)[0]
    return {"walkthrough_mse": test.measure_mse(answer)}


def collect_samples(windows: Windows) -> Array:
    """Segments of training as `(N, T)`, at most some thousand; of an observed series it is one."""
    if windows.observed:
        return windows.observed.scaling.standardise(windows.observed.training)[None]
    thinned = slice(None, None, math.ceil(len(windows.inputs) / FITTED_SEGMENTS))
    lasts = windows.targets[thinned, -1:]
    return np.concatenate([windows.inputs[thinned], lasts], axis=1, dtype=np.float64)


def make_zero(material: Material) -> Fitted:
    """The mean of a sine, or of what an observed series was trained on."""
    return Fitted(material.wrap(predict_zero))


def make_holding(material: Material) -> Fitted:
    """The last sample for ever."""
    return Fitted(hold_last)


def make_copying(material: Material) -> Fitted:
    """The last period, or what the series gives for its season.

    Raises:
        InputError: the series gives neither, or the context is shorter.
    """
    lag, context = material.series.season_points, material.evaluation.context
    if lag is None:
        raise InputError(
            f"params.yaml: generated_series.{material.series_name} has neither period nor season: "
            "give it a season for copy_period to repeat, or drop that from "
            "forecasting_baselines.names"
        )
    if not 0 < lag <= context:
        raise InputError(
            f"params.yaml: evaluate_forecasters.context ({context}) must reach a period of "
            f"{material.series_name} ({lag} samples), which copy_period repeats: raise it"
        )
    return Fitted(partial(copy_period, lag=lag))


def fit_ar2(material: Material) -> Fitted:
    """AR(2), which is exact on a clean sine."""
    [order] = limit_orders([2], material)
    return Fitted(material.wrap(fit_autoregression(material.samples, order)))


def fit_ar_best(material: Material) -> Fitted:
    """AR(p), with the order that validation chooses."""
    candidates: dict[float, Forecaster] = {}
    for order in limit_orders(material.params.ar_orders, material):
        candidates[order] = material.wrap(fit_autoregression(material.samples, order))
    best = choose(candidates, material)
    return Fitted(candidates[best], {"order": best})


def limit_orders(orders: list[int], material: Material) -> list[int]:
    """The orders that a series can be fitted by.

    The context holds for all generated series: what is beyond it is a mistake. The segments of
    one series, or the window of a file, may still be too short for some of them, and then the
    others are left to choose from.

    Raises:
        InputError: an order beyond the context, or none that the segments allow.
    """
    context = material.evaluation.context
    num_points = material.samples.shape[1]
    if isinstance(material.series, ObservedParams):
        num_points = min(num_points, context + 1)
    elif max(orders) > context:
        raise InputError(
            f"params.yaml: AR({max(orders)}) looks at more samples than "
            f"evaluate_forecasters.context ({context}) shows: lower it in "
            "forecasting_baselines.ar_orders, or raise the context"
        )
    allowed = [order for order in orders if order < num_points]
    if not allowed:
        raise InputError(
            f"segments of {material.series_name} have {num_points} samples, too few for AR of "
            f"order {min(orders)}: give forecasting_baselines.ar_orders of params.yaml a lower one"
        )
    if len(allowed) < len(orders):
        print(f"{material.series_name}: segments of {num_points} samples allow {allowed} alone")
    return allowed


def fit_ridge(material: Material) -> Fitted:
    """The direct forecaster, with the penalty that validation chooses.

    Context and block take at most half a segment, so that it is fitted at many places of it.
    """
    half = material.samples.shape[1] // 2
    block = max(1, min(material.params.ridge_block, half // 2))
    context = max(1, min(material.evaluation.context, half - block))
    candidates: dict[float, Forecaster] = {}
    for penalty in material.params.ridge_penalties:
        fitted = fit_direct(material.samples, context, block, penalty)
        candidates[penalty] = material.wrap(fitted)
    best = choose(candidates, material)
    return Fitted(candidates[best], {"penalty": best, "context": context, "block": block})


def choose(candidates: Mapping[float, Forecaster], material: Material) -> float:
    """That with the least error over the longest free runs of validation; the first of equals."""
    validation = material.questions.validation
    longest = max(material.evaluation.validation_horizons)
    errors = {}
    for value, forecast in candidates.items():
        with np.errstate(over="ignore", invalid="ignore"):  # of a run that explodes
            scores = score_forecasts(forecast(validation.contexts, longest), validation, [longest])
        mse = scores[f"mse_{longest}"]
        errors[value] = mse if math.isfinite(mse) else math.inf
    return min(errors, key=lambda value: errors[value])


FITS: dict[Baseline, Callable[[Material], Fitted]] = {
    "predict_zero": make_zero,
    "hold_last": make_holding,
    "copy_period": make_copying,
    "ar2": fit_ar2,
    "ar_best": fit_ar_best,
    "ridge": fit_ridge,
}


def main(windows: str, out: str) -> None:
    """Write scores.json and errors.csv of one series."""
    name = Path(windows).stem
    params = read_params("forecasting_baselines", BaselineParams)
    series = read_series(Path(windows))
    evaluation = read_params("evaluate_forecasters", EvaluateParams).suit(series)
    prepare_arithmetic()
    scored = score_baselines(read_windows(Path(windows)), name, series, params, evaluation)
    folder = Path(out)
    write_baselines(folder, name, scored.scores)
    write_phase_errors(folder / "errors.csv", scored.errors)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
