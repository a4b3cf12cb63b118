"""Score one sine forecaster beside the baselines: data/trained/ -> data/evaluated/<model>/.

Run by DVC as `python -m stages.sine.evaluate MODEL TRAINED WINDOWS BASELINES OUT`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from stages.shared.arithmetic import prepare_arithmetic
from stages.shared.baselines import read_baselines
from stages.shared.errors import exit_on_input_error
from stages.shared.json_files import write_json
from stages.shared.networks import read_model
from stages.shared.params import read_params
from stages.sine.assessment import (
    EvaluateParams,
    assess,
    check_metrics,
    draw_questions,
    measure_lead,
)
from stages.sine.document_tests import DocumentTest
from stages.sine.forecasters import wrap_model
from stages.sine.free_runs import Forecaster, FreeRuns, PhaseErrors
from stages.sine.phase_errors import read_phase_errors, write_phase_errors
from stages.sine.signals import SeriesParams
from stages.sine.state import State, read_state
from stages.sine.windows import Windows, read_windows

Array = NDArray[np.float64]

NUM_DRAWN = 3  # forecasts kept for the figures
DRAWN_STEPS = 500
REMEDY = "train at a lower rate"


@dataclass(frozen=True)
class Evaluation:
    """What evaluation gives."""

    metrics: dict[str, Any]  # nested: scores on the test, `intervals`, `validation`
    errors: PhaseErrors  # on the test phases
    forecasts: dict[str, NDArray[Any]]  # a few of them, for the figures


def evaluate(
    model: nn.Module,
    state: State | None,
    windows: Windows,
    series_name: str,
    series: SeriesParams,
    params: EvaluateParams,
) -> Evaluation:
    """Score a forecaster; the same model, windows and params give the same scores.

    Args:
        model: what was trained.
        state: that its training carried out, which only the document's test starts from.
        windows: what it was trained on, and the end of the series that it was not.
        series_name: entry of generate_sine.
        series: that entry, by which the signal goes on after the windows.
        params: what is measured.

    Raises:
        InputError: a score is not finite.
    """
    questions = draw_questions(windows, series_name, series, params)
    documents, drawn = questions.documents, questions.drawn
    answers = answer_documents(wrap_model(model, state), documents)
    errors = [d.measure_mse(answer) for d, answer in zip(documents, answers, strict=True)]
    document_scores = {"document_mse": errors[drawn]}
    if len(errors) > 1:
        document_scores["document_mse_all_starts"] = float(np.mean(errors))

    free = assess(wrap_model(model), questions, params)
    metrics = {"data": series_name, **document_scores, **free.scores}
    if params.split != "test":
        metrics = {"data": series_name, **free.scores, "split": params.split}
    check_metrics(metrics, REMEDY)
    kept = keep_forecasts(
        documents[drawn], answers[drawn], questions.test, free.forecasts, series.time_step
    )
    return Evaluation(metrics, free.errors, kept)


def answer_documents(forecast: Forecaster, documents: list[DocumentTest]) -> list[Array]:
    """A forecast `(n,)` for each test, from what it gives."""
    return [forecast(document.history[None], document.steps)[0] for document in documents]


def keep_forecasts(
    document: DocumentTest, answer: Array, test: FreeRuns, forecasts: Array, time_step: float
) -> dict[str, NDArray[Any]]:
    """What the figures show, by the name under which forecasts.npz holds it."""
    return {
        "document_times": document.times,
        "document_truth": document.truth,
        "document_forecast": answer,
        "free_context": test.contexts[:NUM_DRAWN],
        "free_truth": test.truths[:NUM_DRAWN, :DRAWN_STEPS],
        "free_forecast": forecasts[:NUM_DRAWN, :DRAWN_STEPS],
        "step": np.array(time_step),
    }


def main(name: str, trained: str, windows: str, baselines: str, out: str) -> None:
    """Write metrics.json, errors.csv and forecasts.npz."""
    params = read_params("evaluate_sine", EvaluateParams)
    series_name = read_params(f"sine.{name}.series", str)
    series = read_params(f"generate_sine.{series_name}", SeriesParams)
    prepare_arithmetic()
    model = read_model(Path(trained))
    state = read_state(Path(trained) / "state.npy")
    given = read_windows(Path(windows))
    evaluation = evaluate(model, state, given, series_name, series, params)
    beside = read_baselines(Path(baselines))
    their_errors = read_phase_errors(Path(baselines) / "errors.csv")
    lead = measure_lead(evaluation.errors, beside, their_errors, params)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", evaluation.metrics | {"lead": lead})
    write_phase_errors(folder / "errors.csv", {name: evaluation.errors})
    np.savez(folder / "forecasts.npz", allow_pickle=False, **evaluation.forecasts)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
