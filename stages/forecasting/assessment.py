"""Score the forecasters of a series: networks and baselines on the same backtests.

Here are their scores with 95 % intervals, prediction intervals from the errors of the backtests,
and the files of an evaluation, among them the metrics file.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from stages.forecasting.series import (
    AnySeries,
    Array,
    Backtest,
    ForecastFunction,
    WalkthroughKind,
    WalkthroughTest,
)
from stages.shared.errors import InputError
from stages.shared.intervals import (
    BootstrapParams,
    Items,
    bootstrap,
    bootstrap_difference,
    describe_difference,
    find_batch_interval,
)
from stages.shared.json_files import Baselines, write_json
from stages.shared.params import Count, Name, Params, Seed
from stages.shared.tables import Rows, read_table, write_table

ForecastErrors = dict[str, Array]  # score -> (B,), the error of each forecast

LEVELS = (50, 60, 70, 80, 90, 95, 99)  # of prediction intervals, in percent
_RATE = 0.05  # γ of Gibbs & Candès: by how much one miss widens the next interval
_NAIVE2 = "naive2"  # of panels
_NAIVE = ("hold_last", "copy_period")  # baselines that have nothing to fit


class ForecastingEvaluationParams(Params):
    """Section `evaluate_forecasters` of params.yaml.

    `mse_short` is the error over the shortest horizon that test and validation have in common,
    `mse_long` and, for observed series, `mase` over the longest. A panel has `smape` and `owa` in
    place of squared errors. Models are ranked by `mase`, or else by `mse_long`, on validation.
    """

    split: Literal["test", "validation"]  # validation: while recipes are chosen
    phases: Count  # random starting points of the closed-loop forecasts
    context: Count  # samples of the series that a forecaster is given
    horizons: list[Count] = Field(min_length=1)  # steps of forecasts on the test phases
    validation_horizons: list[Count] = Field(min_length=1)
    seed: Seed  # of the test phases
    validation_seed: Seed
    walkthrough_tests: dict[Name, WalkthroughKind]  # by series; default: one_point
    walkthrough_steps: Count  # of the one-point and continuation tests
    walkthrough_seed: Seed  # of the start that the one-point test draws
    bootstrap: BootstrapParams  # of the intervals, over the test phases

    @model_validator(mode="after")
    def _check_horizons(self) -> "ForecastingEvaluationParams":
        if not self.common_horizons:
            raise ValueError("horizons and validation_horizons have none in common")
        return self

    @property
    def common_horizons(self) -> list[int]:
        """Horizons that test and validation have in common, in ascending order."""
        return sorted(set(self.horizons) & set(self.validation_horizons))

    def adapt(self, series: AnySeries) -> "ForecastingEvaluationParams":
        """Return the params with the context and horizons of an observed series."""
        return self.model_copy(update=series.own_evaluation)


@dataclass(frozen=True)
class Backtests:
    """Data for scoring all forecasters of a series."""

    walkthroughs: list[WalkthroughTest]  # one for each start; empty for observed series
    drawn: int  # index of the test that the walk-through draws
    validation: Backtest
    test: Backtest


@dataclass(frozen=True)
class PredictionInterval:
    """The prediction interval of one level: the forecast ± a half width."""

    half_width: Array  # (n,) by step ahead, for a forecast after the end of the test
    of_test: Array  # (B, n) half widths for each forecast of the test
    coverage: Array  # (B,) share of the targets of each of these forecasts in the interval


@dataclass(frozen=True)
class Assessment:
    """Scores of a forecaster, and the forecasts behind them."""

    scores: dict[str, Any]  # nested: scores on the test, `intervals`, `validation`
    errors: ForecastErrors  # on the test
    forecasts: Array  # (B, n), likewise
    prediction_intervals: dict[int, PredictionInterval]  # by level in percent


def draw_backtests(series: AnySeries, params: ForecastingEvaluationParams) -> Backtests:
    """Draw the backtests of a series, the same for every forecaster."""
    horizon = max(params.validation_horizons)
    draw = partial(series.backtest, context=params.context, phases=params.phases, before=horizon)
    validation = draw("validation", horizon=horizon, seed=params.validation_seed)
    # while recipes are chosen, validation replaces the test, which nobody may see yet
    seed = params.seed if params.split == "test" else params.validation_seed
    test = draw(params.split, horizon=max(params.horizons), seed=seed)
    kind = params.walkthrough_tests.get(series.name, "one_point")
    tests = series.walkthrough_tests(kind, params.walkthrough_steps, params.context)
    generator = np.random.default_rng(params.walkthrough_seed)
    drawn = int(generator.integers(len(tests))) if tests else 0
    return Backtests(tests, drawn, validation, test)


def assess(
    forecast: ForecastFunction,
    backtests: Backtests,
    params: ForecastingEvaluationParams,
    whole_history: bool = False,
) -> Assessment:
    """Score a forecaster on test, with intervals, and on validation.

    Networks are given the context before each forecast, baselines the whole history. Prediction
    intervals for a panel are in units of its naive errors.
    """
    test, validation = backtests.test, backtests.validation
    given = test.histories if whole_history else test.contexts
    forecasts = forecast(given, max(params.horizons))
    errors = measure_errors(forecasts, test, params.horizons)
    horizons = params.validation_horizons
    given = validation.histories if whole_history else validation.contexts
    predictions = forecast(given, max(horizons))
    is_rolling = test.block > 0
    off = (validation.targets[:, : max(horizons)] - predictions) / validation.scale
    off_test = (test.targets[:, : max(params.horizons)] - forecasts) / test.scale
    prediction_intervals = fit_prediction_intervals(off, off_test, is_rolling)
    if test.names is not None:  # forecasts past the end use the errors of both splits
        of_both = fit_prediction_intervals(np.concatenate([off, off_test]), off_test, is_rolling)
        prediction_intervals = {
            level: replace(interval, half_width=of_both[level].half_width)
            for level, interval in prediction_intervals.items()
        }
    if is_rolling:
        intervals = {name: find_batch_interval(of, test.block) for name, of in errors.items()}
    else:
        one_group = np.zeros(len(forecasts), dtype=np.int64)
        intervals = bootstrap(partial(_average_errors, errors), one_group, params.bootstrap)
    if test.scores_coverage:  # coverage is a share, not an error, and has no 95 % interval
        errors["interval_coverage"] = prediction_intervals[80].coverage
    common = params.common_horizons
    scores = {
        "horizon_short": common[0],
        "horizon_long": common[-1],
        **_average_errors(errors),
        "intervals": intervals,
        "validation": score_forecasts(predictions, validation, horizons),
    }
    if is_rolling:  # few origins give wide intervals
        scores["origins"] = float(len(forecasts))
    if test.names is not None:
        scores["num_series"] = float(len(forecasts))
    return Assessment(scores, errors, forecasts, prediction_intervals)


def fit_prediction_intervals(
    validation: Array, test: Array, is_rolling: bool
) -> dict[int, PredictionInterval]:
    """Fit the prediction intervals, by level in percent, and measure their coverage of the test.

    A half width is a quantile of absolute errors (split conformal prediction, Lei et al., 2018). In
    a rolling-origin backtest it uses the newest errors, as many as validation has, and the quantile
    rises after a miss and falls after a hit (adaptive conformal inference, Gibbs & Candès, 2021).
    Intervals of a test forecast use errors from before that forecast alone.

    Args:
        validation: errors `(V, n)` of the validation forecasts by step, oldest first.
        test: errors `(B, n)` of the test forecasts, with at most as many steps.
        is_rolling: test forecasts start one sample after another, after validation. If False, they
            are independent, and only errors of validation are used.
    """
    num_steps = min(validation.shape[1], test.shape[1])
    errors = np.abs(np.concatenate([validation[:, :num_steps], test[:, :num_steps]]))
    num_validation, num_test = len(validation), len(test)
    steps = np.arange(num_steps)
    wanted = np.array([1 - level / 100 for level in LEVELS])[:, None]  # shares of misses
    shares = np.repeat(wanted, num_steps, axis=1)  # (L, n), adapted
    hits = np.zeros((num_test, len(LEVELS), num_steps), dtype=bool)
    half_widths = np.zeros((len(LEVELS), num_steps))
    of_test = np.zeros(hits.shape)
    # the iterations after the last origin add the errors that are known at the end of the series
    for origin in range(num_test + num_steps):
        num_known = np.zeros(num_steps, dtype=np.int64)
        if is_rolling:  # the error h steps ahead is known h samples later
            num_known = np.clip(origin - steps, 0, num_test)
            newest = origin - 1 - steps  # the forecast whose target is the sample before
            is_new = (newest >= 0) & (newest < num_test)
            missed = ~hits[newest[is_new], :, steps[is_new]].T
            shares[:, is_new] += _RATE * (wanted - missed)
        elif origin == num_test:
            break
        if origin == 0 or is_rolling:
            # the newest errors of each step, in ascending order: (V, n)
            rows = np.arange(num_validation)[:, None] + num_known
            ordered = np.sort(errors[rows, steps], axis=0)
            ranks = np.ceil((1 - shares) * (num_validation + 1)).astype(np.int64)
            half_widths = ordered[np.clip(ranks, 1, num_validation) - 1, steps]
            half_widths = np.maximum.accumulate(half_widths, axis=0)  # a higher level holds more
        if origin < num_test:
            of_test[origin] = half_widths
            hits[origin] = errors[num_validation + origin] <= half_widths
    return {
        level: PredictionInterval(half_widths[i], of_test[:, i], hits[:, i].mean(axis=1))
        for i, level in enumerate(LEVELS)
    }


def add_ratios(scores: Mapping[str, Any], baselines: Baselines) -> dict[str, Any]:
    """Return the scores with `ratio_to_baseline`, on test and on validation.

    The ratio is the error over the long horizon, divided by the error of the baseline that is best
    on validation. It is left out if it is not finite.
    """
    score = name_ranked_score(scores, scores["horizon_long"])
    best = baselines[find_best_baseline(baselines, score)]
    validation = dict(scores["validation"])
    extended = {**scores, "validation": validation}
    for own, theirs in ((extended, best), (validation, best["validation"])):
        ratio = own[score] / theirs[score] if theirs[score] else math.inf
        if math.isfinite(ratio):
            own["ratio_to_baseline"] = ratio
    return extended


def add_owa(
    scores: Mapping[str, Any],
    errors: ForecastErrors,
    baselines: Baselines,
    baseline_errors: Mapping[str, ForecastErrors],
    params: ForecastingEvaluationParams,
) -> dict[str, Any]:
    """Return the scores, for a panel with `owa` on test and on validation.

    The overall weighted average of the M4 competition (Makridakis et al., 2020) is the mean of
    sMAPE and MASE, each divided by the score of Naive2: a ratio of means. It is left out if it is
    not finite: Naive2 has no error on series that repeat exactly. `errors` and
    `baseline_errors` are errors on the test.
    """
    horizon = scores["horizon_long"]
    names = f"smape_{horizon}", f"mase_{horizon}"
    if names[0] not in scores or _NAIVE2 not in baselines:
        return dict(scores)

    def measure(own: Mapping[str, Any], naive: Mapping[str, Any]) -> float:
        if min(naive[name] for name in names) < 1e-9:  # rounding errors alone
            return math.inf
        return sum(float(own[name] / naive[name]) for name in names) / len(names)

    def draw(chosen: Items) -> dict[str, float]:
        theirs = baseline_errors[_NAIVE2]
        averages = (_average_errors(of, chosen) for of in (errors, theirs))
        return {"owa": measure(*averages)}

    naive = baselines[_NAIVE2]
    owa, on_validation = measure(scores, naive), measure(scores["validation"], naive["validation"])
    one_group = np.zeros(len(errors[names[0]]), dtype=np.int64)
    with np.errstate(invalid="ignore"):  # quantiles of resamples that are not finite
        intervals = bootstrap(draw, one_group, params.bootstrap)
    if not np.isfinite([owa, on_validation, *intervals["owa"].values()]).all():
        return dict(scores)
    validation = {**scores["validation"], "owa": on_validation}
    return {
        **scores,
        "owa": owa,
        "intervals": scores["intervals"] | intervals,
        "validation": validation,
    }


def find_best_baseline(baselines: Baselines, score: str) -> str:
    """Return the name of the baseline with the least error on validation."""
    return min(baselines, key=lambda name: baselines[name]["validation"][score])


def measure_forecast_improvement(
    errors: ForecastErrors,
    baselines: Baselines,
    baseline_errors: Mapping[str, ForecastErrors],
    params: ForecastingEvaluationParams,
    block: int = 0,
) -> dict[str, Any]:
    """Return the improvement over the best baseline on validation, for each common horizon.

    The improvement is the interval of the paired difference on the test: error of the baseline
    minus error of the forecaster. If both ends are above 0, the forecaster is better. `block` is
    that of `Backtest`.
    """
    improvement = {}
    for horizon in params.common_horizons:
        score = name_ranked_score(errors, horizon)
        best = find_best_baseline(baselines, score)
        own, theirs = errors[score], baseline_errors[best][score]
        if block:
            interval = find_batch_interval(theirs - own, block)
        else:
            interval = bootstrap_difference(
                partial(_average_errors, {score: theirs}),
                partial(_average_errors, {score: own}),
                np.zeros(len(own), dtype=np.int64),
                params.bootstrap,
            )[score]
        improvement[score] = {"baseline": best, **interval}
    return improvement


def compare_with_naive(
    errors: ForecastErrors,
    baselines: Baselines,
    baseline_errors: Mapping[str, ForecastErrors],
    params: ForecastingEvaluationParams,
    block: int = 0,
) -> dict[str, str] | None:
    """Compare a forecaster on the test with repeating the last sample or the last season.

    Returns:
        `baseline`, the better of the two on validation, and `verdict` on the difference over the
        longest horizon; None if neither was scored.
    """
    naive = {name: baselines[name] for name in _NAIVE if name in baselines}
    if not naive:
        return None
    score = name_ranked_score(errors, params.common_horizons[-1])
    best = find_best_baseline(naive, score)
    improvement = measure_forecast_improvement(
        errors, {best: baselines[best]}, baseline_errors, params, block
    )
    return {"baseline": best, "verdict": describe_difference(improvement[score])}


def check_scores(scores: Mapping[str, Any], remedy: str, prefix: str = "") -> None:
    """Raise InputError if a score is not finite; `remedy` is the advice of the message."""
    for name, value in scores.items():
        if isinstance(value, dict):
            check_scores(value, remedy, f"{prefix}{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{prefix}{name} is {value}: {remedy} in params.yaml")


def make_forecast_info(
    series: AnySeries,
    least_history: int,
    intervals: Mapping[int, PredictionInterval],
    naive: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return the content of forecast_info.json: what `srn forecast` needs besides the model.

    `lowest` and `highest` are the extreme samples of an observed series, after its `transform`, or
    of the training windows of a generated one; `spacing` is the time between samples,
    `least_history` the shortest history of the forecaster. `prediction_intervals` has, by level in
    percent, the `half_width` at each step, for a panel in units of the naive errors, and the
    `coverage` of the test. `naive` is the result of `compare_with_naive`.
    """
    lowest, highest = series.training_range
    described = {}
    for level, interval in intervals.items():
        # four digits: errors are known less well
        half_width = [float(f"{width:.4g}") for width in interval.half_width]
        coverage = round(float(interval.coverage.mean()), 4)
        described[str(level)] = {"half_width": half_width, "coverage": coverage}
    return {
        "series": series.name,
        "lowest": lowest,
        "highest": highest,
        "transform": asdict(series.transform) if series.transform else None,
        "spacing": series.spacing,
        "least_history": least_history,
        "prediction_intervals": described,
        "naive": naive,
    }


def measure_errors(forecasts: Array, backtest: Backtest, horizons: list[int]) -> ForecastErrors:
    """Return errors of forecasts `(B, n)`, one step ahead and as means over each horizon."""
    measured: ForecastErrors = {}
    for kind, errors in backtest.measure_steps(forecasts).items():
        measured[f"one_step_{kind}"] = errors[:, 0]
        for horizon in horizons:
            measured[f"{kind}_{horizon}"] = errors[:, :horizon].mean(axis=1)
    return measured


def _average_errors(
    errors: ForecastErrors, chosen: Items | slice = slice(None)
) -> dict[str, float]:
    """Return the scores: means over all forecasts, or over chosen ones."""
    return {name: float(values[chosen].mean()) for name, values in errors.items()}


def score_forecasts(forecasts: Array, backtest: Backtest, horizons: list[int]) -> dict[str, float]:
    """Return the scores of forecasts `(B, n)` of a backtest."""
    return _average_errors(measure_errors(forecasts, backtest, horizons))


def name_ranked_score(scores: Mapping[str, Any], horizon: int) -> str:
    """Return the name of the score over a horizon by which forecasters are ranked.

    It is the mean absolute scaled error where there is one, which a few large errors do not decide,
    or else the mean squared error.
    """
    mase = f"mase_{horizon}"
    return mase if mase in scores else f"mse_{horizon}"


def name_metrics(scores: Mapping[str, Any]) -> dict[str, str]:
    """Return the names in the metrics file, with the names of the same scores in scores.json."""
    short, long = scores["horizon_short"], scores["horizon_long"]
    return {
        "mse_short": f"mse_{short}",  # the shortest horizon that test and validation share
        "mse_long": f"mse_{long}",  # the longest
        "ratio_to_baseline": "ratio_to_baseline",  # of mse_long or mase; below 1 is better
        "mase": f"mase_{long}",
        "smape": f"smape_{long}",
        "owa": "owa",
        "walkthrough_mse": "walkthrough_mse",  # of the test with which a walk-through ends
    }


def choose_forecaster_metrics(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the content of the metrics file: the scores that people compare.

    scores.json holds all scores, named by horizon: `mse_49`, `mse_500`. DVC prints one column per
    number of a metrics file, so it has at most five, with the same names for all series.
    """
    names = name_metrics(scores)
    return {metric: scores[name] for metric, name in names.items() if name in scores}


def write_scores(
    metrics: Path, folder: Path, scores: Mapping[str, Any], forecast_info: Mapping[str, Any]
) -> None:
    """Write the metrics file of a forecaster, and scores.json and forecast_info.json to a folder.

    Both folders are made.
    """
    metrics.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(metrics, choose_forecaster_metrics(scores))
    write_json(folder / "scores.json", scores)
    write_json(folder / "forecast_info.json", forecast_info)


def write_errors(
    path: Path, by_forecaster: Mapping[str, ForecastErrors], names: list[str] | None = None
) -> None:
    """Write errors.csv: one row per forecaster and phase, origin or series of a panel."""
    rows: list[list[str | int | float]] = []
    scores: list[str] = []
    for forecaster, errors in by_forecaster.items():
        scores = list(errors)
        for phase, values in enumerate(zip(*errors.values(), strict=True)):
            rows.append([forecaster, names[phase] if names else phase, *values])
    labels = ("forecaster", "series" if names else "phase")
    write_table(path, [*labels, *scores], rows)


def read_errors(path: Path) -> dict[str, ForecastErrors]:
    """Read what `write_errors` wrote, by forecaster."""
    rows_of: dict[str, Rows] = {}
    for row in read_table(path):
        rows_of.setdefault(row["forecaster"], []).append(row)
    by_forecaster: dict[str, ForecastErrors] = {}
    for forecaster, rows in rows_of.items():
        scores = [*rows[0]][2:]  # after the labels
        by_forecaster[forecaster] = {
            score: np.array([float(row[score]) for row in rows]) for score in scores
        }
    return by_forecaster
