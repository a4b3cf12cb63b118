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
    Questions,
    assess,
    check_scores,
    compare_with_baselines,
    draw_questions,
)
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.free_runs import FreeRuns, PhaseErrors
from stages.forecasting.metrics import choose_metrics
from stages.forecasting.observed import ObservedParams
from stages.forecasting.phase_errors import read_phase_errors, write_phase_errors
from stages.forecasting.scope import Scope, describe_scope, write_scope
from stages.forecasting.series import Forecaster, Windows, read_series, read_windows
from stages.forecasting.signals import GeneratedParams
from stages.forecasting.state import State, read_state
from stages.shared.arithmetic import prepare_arithmetic
from stages.shared.baselines import read_baselines
from stages.shared.errors import exit_on_input_error
from stages.shared.json_files import write_json
from stages.shared.networks import read_model
from stages.shared.params import read_params

Array = NDArray[np.float64]

NUM_DRAWN = 3  # forecasts kept for the figures
DRAWN_STEPS = 500
REMEDY = "train at a lower rate"


@dataclass(frozen=True)
class Evaluation:
    """What evaluation gives."""

    scores: dict[str, Any]  # nested: on the test, `intervals`, `validation`
    errors: PhaseErrors  # on the test phases
    forecasts: dict[str, NDArray[Any]]  # a few of them, for the figures
    scope: Scope
    block: int  # neighbouring errors that belong together


def evaluate(
    model: nn.Module,
    state: State | None,
    windows: Windows,
    series_name: str,
    series: GeneratedParams | ObservedParams,
    params: EvaluateParams,
) -> Evaluation:
    """Score a forecaster; the same model, windows and params give the same scores.

    Args:
        model: what was trained.
        state: that its training carried out, which only the walk-through's test starts from.
        windows: what it was trained on, and the end of the series that it was not.
        series_name: entry of generated_series or observed_series.
        series: that entry, by which the signal goes on after the windows.
        params: what is measured.

    Raises:
        InputError: a score is not finite.
    """
    questions = draw_questions(windows, series_name, series, params)
    walkthrough_scores, answer = score_walkthrough(wrap_model(model, state), questions)
    free = assess(wrap_model(model, scaling=windows.scaling), questions, params)
    scores = {"data": series_name, **walkthrough_scores, **free.scores}
    if params.split != "test":
        scores = {"data": series_name, **free.scores, "split": params.split}
    check_scores(scores, REMEDY)
    scope = describe_scope(series_name, series, windows, params.context, free.band, free.coverage)
    kept = {
        **answer,
        **keep_free_runs(questions.test, free.forecasts),
        "step": np.array(scope.spacing or 1.0),
    }
    return Evaluation(scores, free.errors, kept, scope, questions.test.block)


def score_walkthrough(
    forecast: Forecaster, questions: Questions
) -> tuple[dict[str, float], dict[str, Array]]:
    """The walk-through's own test: its scores, and for the figures the one that it asks."""
    tests, drawn = questions.walkthroughs, questions.drawn
    if not tests:
        return {}, {}
    answers = [forecast(test.history[None], test.steps)[0] for test in tests]
    errors = [test.measure_mse(answer) for test, answer in zip(tests, answers, strict=True)]
    scores = {"walkthrough_mse": errors[drawn]}
    if len(errors) > 1:
        scores["walkthrough_mse_all_starts"] = float(np.mean(errors))
    return scores, {
        "walkthrough_times": tests[drawn].times,
        "walkthrough_truth": tests[drawn].truth,
        "walkthrough_forecast": answers[drawn],
    }


def keep_free_runs(test: FreeRuns, forecasts: Array) -> dict[str, Array]:
    """What the figures show: the first phases, or origins of an observed series block by block."""
    chosen, steps = slice(NUM_DRAWN), slice(DRAWN_STEPS)
    if test.naive_error:
        chosen, steps = slice(None, None, test.block), slice(None)
    return {
        "free_context": test.contexts[chosen],
        "free_truth": test.truths[chosen, steps],
        "free_forecast": forecasts[chosen, steps],
    }


def main(name: str, trained: str, windows: str, baselines: str, metrics: str, out: str) -> None:
    """Write the file `metrics`, and scores.json, errors.csv, forecasts.npz and scope.json."""
    series = read_series(Path(windows))
    params = read_params("evaluate_forecasters", EvaluateParams).suit(series)
    prepare_arithmetic()
    model = read_model(Path(trained))
    state = read_state(Path(trained) / "state.npy")
    given = read_windows(Path(windows))
    evaluation = evaluate(model, state, given, Path(windows).stem, series, params)
    scores = compare_with_baselines(
        evaluation.scores,
        evaluation.errors,
        read_baselines(Path(baselines)),
        read_phase_errors(Path(baselines) / "errors.csv"),
        params,
        evaluation.block,
    )
    folder = Path(out)
    for made in (folder, Path(metrics).parent):
        made.mkdir(parents=True, exist_ok=True)
    write_json(Path(metrics), choose_metrics(scores))
    write_json(folder / "scores.json", scores)
    write_phase_errors(folder / "errors.csv", {name: evaluation.errors})
    np.savez(folder / "forecasts.npz", allow_pickle=False, **evaluation.forecasts)
    write_scope(folder, evaluation.scope)
    print(f"{name}: {evaluation.scope.coverage:.0%} of the test lie in the band meant for 80 %")


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
