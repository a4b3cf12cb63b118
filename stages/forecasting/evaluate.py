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
    EvaluateParams,
    Queries,
    assess,
    check_scores,
    compare_with_baselines,
    draw_queries,
)
from stages.forecasting.forecast_errors import ForecastErrors, read_errors, write_errors
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.metrics import choose_metrics
from stages.forecasting.scope import Scope, describe_scope, write_scope
from stages.forecasting.series import Forecaster, Series, read_series
from stages.forecasting.state import State, read_state
from stages.shared.checkpoints import read_model
from stages.shared.command import run_as_command
from stages.shared.json_files import read_baselines, write_json
from stages.shared.params import read_params
from stages.shared.reproducible import make_reproducible

Array = NDArray[np.float64]

REMEDY = "train at a lower rate"


@dataclass(frozen=True)
class Evaluation:
    """What evaluation gives."""

    scores: dict[str, Any]  # nested: on the test, `intervals`, `validation`
    errors: ForecastErrors  # on the test phases
    forecasts: dict[str, NDArray[Any]]  # a few of them, for the figures
    scope: Scope
    block: int  # neighbouring errors that belong together


def evaluate(
    model: nn.Module, state: State | None, series: Series, params: EvaluateParams
) -> Evaluation:
    """Score a forecaster; the same model, series and params give the same scores.

    Args:
        model: what was trained.
        state: that its training carried out, which only the walk-through's test starts from.
        series: what it was trained on, with its params.
        params: what is measured.

    Raises:
        InputError: a score is not finite.
    """
    queries = draw_queries(series, params)
    walkthrough_scores, predictions = score_walkthrough(wrap_model(model, state), queries)
    assessment = assess(series.restore_units(wrap_model(model)), queries, params)
    scores = {"data": series.name, **walkthrough_scores, **assessment.scores}
    if params.split != "test":
        scores = {"data": series.name, **assessment.scores, "split": params.split}
    check_scores(scores, REMEDY)
    scope = describe_scope(series, params.context, assessment.interval, assessment.coverage)
    backtest = queries.test
    forecasts, steps = backtest.examples
    kept = {
        **predictions,
        "free_context": backtest.contexts[forecasts],
        "free_truth": backtest.targets[forecasts, steps],
        "free_forecast": assessment.forecasts[forecasts, steps],
        "step": np.array(scope.spacing or 1.0),
    }
    return Evaluation(scores, assessment.errors, kept, scope, backtest.block)


def score_walkthrough(
    forecast: Forecaster, queries: Queries
) -> tuple[dict[str, float], dict[str, Array]]:
    """The walk-through's own test: its scores, and for the figures the one that it draws."""
    tests, drawn = queries.walkthroughs, queries.drawn
    if not tests:
        return {}, {}
    predictions = [forecast(test.history[None], test.steps)[0] for test in tests]
    errors = [
        test.measure_mse(prediction) for test, prediction in zip(tests, predictions, strict=True)
    ]
    scores = {"walkthrough_mse": errors[drawn]}
    if len(errors) > 1:
        scores["walkthrough_mse_all_starts"] = float(np.mean(errors))
    return scores, {
        "walkthrough_times": tests[drawn].times,
        "walkthrough_truth": tests[drawn].targets,
        "walkthrough_forecast": predictions[drawn],
    }


def main(name: str, trained: str, windows: str, baselines: str, metrics: str, out: str) -> None:
    """Write the file `metrics`, and scores.json, errors.csv, forecasts.npz and scope.json."""
    series = read_series(Path(windows))
    params = read_params("evaluate_forecasters", EvaluateParams).adapt(series)
    make_reproducible()
    model = read_model(Path(trained))
    state = read_state(Path(trained) / "state.npy")
    evaluation = evaluate(model, state, series, params)
    scores = compare_with_baselines(
        evaluation.scores,
        evaluation.errors,
        read_baselines(Path(baselines)),
        read_errors(Path(baselines) / "errors.csv"),
        params,
        evaluation.block,
    )
    folder = Path(out)
    for made in (folder, Path(metrics).parent):
        made.mkdir(parents=True, exist_ok=True)
    write_json(Path(metrics), choose_metrics(scores))
    write_json(folder / "scores.json", scores)
    write_errors(folder / "errors.csv", {name: evaluation.errors})
    np.savez(folder / "forecasts.npz", allow_pickle=False, **evaluation.forecasts)
    write_scope(folder, evaluation.scope)
    print(f"{name}: {evaluation.scope.coverage:.0%} of the test lie in the band meant for 80 %")


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
