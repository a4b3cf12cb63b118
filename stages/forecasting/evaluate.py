"""Score one forecaster beside the baselines: data/trained/ -> data/evaluated/.

Run by DVC as `python stages/run.py forecasting.evaluate MODEL TRAINED WINDOWS BASELINES METRICS
OUT`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from stages.forecasting.assessment import (
    Backtests,
    ForecastErrors,
    ForecastingEvaluationParams,
    add_owa,
    add_ratios,
    assess,
    check_scores,
    compare_with_naive,
    draw_backtests,
    make_forecast_info,
    measure_forecast_improvement,
    read_errors,
    write_errors,
    write_scores,
)
from stages.forecasting.forecasters import State, find_shortest_history, read_state, wrap_model
from stages.forecasting.series import AnySeries, Array, ForecastFunction, read_series
from stages.shared.checkpoints import read_model
from stages.shared.command import run_as_command
from stages.shared.json_files import read_baselines
from stages.shared.params import read_params
from stages.shared.reproducible import make_reproducible

REMEDY = "train at a lower rate"


@dataclass(frozen=True)
class _Evaluation:
    """Result of an evaluation."""

    scores: dict[str, Any]  # nested: on the test, `intervals`, `validation`
    errors: ForecastErrors  # on the test phases
    forecasts: dict[str, NDArray[Any]]  # a few of them, for the figures
    forecast_info: dict[str, Any]  # of `make_forecast_info`
    block: int  # that of the backtest
    names: list[str] | None  # of the series of a panel


def evaluate(
    model: nn.Module, state: State | None, series: AnySeries, params: ForecastingEvaluationParams
) -> _Evaluation:
    """Score a forecaster; the same model, series and params give the same scores.

    Args:
        model: a trained forecaster.
        state: hidden state after the last update, for the test of the walk-through alone.
        series: series of the training, with its params.
        params: params of the evaluation.

    Raises:
        InputError: if a score is not finite.
    """
    backtests = draw_backtests(series, params)
    walkthrough_scores, walkthrough_arrays = _score_walkthrough(wrap_model(model, state), backtests)
    shortest = find_shortest_history(model)
    assessment = assess(wrap_model(model), backtests, params, whole_history=shortest > 0)
    scores = {"data": series.name, **walkthrough_scores, **assessment.scores}
    if params.split != "test":
        scores = {"data": series.name, **assessment.scores, "split": params.split}
    check_scores(scores, REMEDY)
    forecast_info = make_forecast_info(
        series, max(params.context, shortest), assessment.prediction_intervals
    )
    test = backtests.test
    forecasts, steps = test.examples
    kept = {
        **walkthrough_arrays,
        "test_contexts": test.contexts[forecasts],
        "test_targets": test.targets[forecasts, steps],
        "test_forecasts": assessment.forecasts[forecasts, steps],
        "test_half_widths": (assessment.prediction_intervals[80].of_test * test.scale)[forecasts],
        "step": np.array(series.spacing or 1.0),
    }
    if test.names is not None:
        kept["names"] = np.array(test.names[forecasts])
    return _Evaluation(scores, assessment.errors, kept, forecast_info, test.block, test.names)


def _score_walkthrough(
    forecast: ForecastFunction, backtests: Backtests
) -> tuple[dict[str, float], dict[str, Array]]:
    """Return scores of the walk-through's own test, and the arrays of its figure."""
    tests, drawn = backtests.walkthroughs, backtests.drawn
    if not tests:
        return {}, {}
    predictions = [forecast(test.history[None], test.steps)[0] for test in tests]
    pairs = zip(tests, predictions, strict=True)
    errors = [test.measure_mse(prediction) for test, prediction in pairs]
    scores = {"walkthrough_mse": errors[drawn]}
    if len(errors) > 1:
        scores["walkthrough_mse_all_starts"] = float(np.mean(errors))
    return scores, {
        "walkthrough_times": np.stack([test.times for test in tests]),
        "walkthrough_targets": np.stack([test.targets for test in tests]),
        "walkthrough_forecasts": np.stack(predictions),
        "walkthrough_drawn": np.array(drawn),
    }


def main(name: str, trained: str, windows: str, baselines: str, metrics: str, out: str) -> None:
    """Write metrics, scores, errors, a few forecasts and the forecast info of a model."""
    series = read_series(Path(windows))
    params = read_params("evaluate_forecasters", ForecastingEvaluationParams).adapt(series)
    make_reproducible()
    model = read_model(Path(trained))
    state = read_state(Path(trained) / "state.npy")
    evaluation = evaluate(model, state, series, params)
    baseline_scores = read_baselines(Path(baselines))
    baseline_errors = read_errors(Path(baselines) / "errors.csv")
    scores = add_ratios(evaluation.scores, baseline_scores)
    scores = add_owa(scores, evaluation.errors, baseline_scores, baseline_errors, params)
    scores["improvement"] = measure_forecast_improvement(
        evaluation.errors, baseline_scores, baseline_errors, params, evaluation.block
    )
    evaluation.forecast_info["naive"] = compare_with_naive(
        evaluation.errors, baseline_scores, baseline_errors, params, evaluation.block
    )
    folder = Path(out)
    write_scores(Path(metrics), folder, scores, evaluation.forecast_info)
    write_errors(folder / "errors.csv", {name: evaluation.errors}, evaluation.names)
    np.savez(folder / "forecasts.npz", allow_pickle=False, **evaluation.forecasts)
    coverage = evaluation.forecast_info["prediction_intervals"]["80"]["coverage"]
    print(f"{name}: {coverage:.0%} of the test lie in the prediction interval for 80 %")


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
