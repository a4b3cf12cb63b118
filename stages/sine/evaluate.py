"""Score one sine forecaster beside simple baselines: data/trained/ -> data/evaluated/<model>/.

Run by DVC as `python -m stages.sine.evaluate MODEL TRAINED WINDOWS OUT`.
"""

import math
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from stages.shared.arithmetic import prepare_arithmetic
from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.json_files import write_json
from stages.shared.networks import read_model
from stages.shared.params import Count, Name, Params, Seed, read_params
from stages.sine.baselines import copy_period, fit_autoregression, hold_last, predict_zero
from stages.sine.document_tests import DocumentTest, Kind, list_document_tests, sample_past
from stages.sine.forecasters import Forecaster, wrap_model
from stages.sine.free_runs import FreeRuns, draw_free_runs, score_forecasts
from stages.sine.signals import SeriesParams
from stages.sine.state import State, read_state
from stages.sine.windows import Windows, read_windows

Array = NDArray[np.float64]
Scores = dict[str, float]

NUM_DRAWN = 3  # forecasts kept for the figures
DRAWN_STEPS = 500
FITTED_SEGMENTS = 2000  # most that AR(p) is fitted to: enough for it, whatever a series' length


class EvaluateParams(Params):
    """Section `evaluate_sine` of params.yaml."""

    phases: Count  # random starting points of the free runs
    context: Count  # true samples that a forecaster sees before it runs free
    horizons: list[Count] = Field(min_length=1)  # steps of the free runs, on the test phases
    validation_horizons: list[Count] = Field(min_length=1)
    seed: Seed  # of the test phases
    validation_seed: Seed
    document_tests: dict[Name, Kind]  # how a walk-through ends, by series; default: one_point
    document_steps: Count  # of the one-point and continuation tests
    document_seed: Seed  # of the start that the one-point test draws
    ar_orders: list[Count] = Field(min_length=1)  # of which validation chooses the best


@dataclass(frozen=True)
class Evaluation:
    """What evaluation gives."""

    metrics: dict[str, Any]  # nested: scores on the test, `validation`, `baselines`
    forecasts: dict[str, NDArray[Any]]  # a few of them, for the figures


def fit_baselines(
    windows: Windows, series: SeriesParams, params: EvaluateParams, validation: FreeRuns
) -> tuple[dict[str, Forecaster], int]:
    """The baselines by name, and the order of AR(p) that validation chose.

    Raises:
        InputError: the context is too short for a period or for any of the orders.
    """
    num_segments = len(windows.inputs)
    thinned = slice(None, None, math.ceil(num_segments / FITTED_SEGMENTS))
    lasts = windows.targets[thinned, -1:]
    samples = np.concatenate([windows.inputs[thinned], lasts], axis=1, dtype=float)

    longest = min(samples.shape[1] - 1, params.context)
    orders = [order for order in params.ar_orders if order <= longest]
    # nearest whole number of samples; a chaotic series has no period
    lag = round((series.period or 0.0) / series.time_step)
    if not orders or params.context < max(2, lag):
        raise InputError(
            f"params.yaml: evaluate_sine.context ({params.context}) must reach a period ({lag} "
            f"samples) and one of ar_orders ({params.ar_orders}) must be shorter than it"
        )
    horizons = params.validation_horizons
    best_order, best_mse = 0, math.inf
    for order in orders:
        forecast = fit_autoregression(samples, order)
        scores = score_forecasts(forecast(validation.contexts, max(horizons)), validation, horizons)
        mse = scores[f"free_run_mse_{max(horizons)}"]
        if mse < best_mse:
            best_order, best_mse = order, mse
    baselines: dict[str, Forecaster] = {"predict_zero": predict_zero, "hold_last": hold_last}
    if series.period:
        baselines["copy_period"] = partial(copy_period, lag=lag)
    baselines["ar2"] = fit_autoregression(samples, 2)
    baselines["ar_best"] = fit_autoregression(samples, best_order)
    return baselines, best_order


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
        InputError: a score is not finite, or params that fit no baseline.
    """
    longest = max(params.validation_horizons)
    draw = partial(draw_free_runs, series, params.phases, params.context)
    after = windows.end
    validation = draw(after, longest, params.validation_seed)
    if series.delay:  # it never comes again: the test lies after all that validation saw
        after += series.spread + series.time_step * (params.context + longest)
    test = draw(after, max(params.horizons), params.seed)
    forecast = wrap_model(model)
    guesses = forecast(validation.contexts, longest)
    forecasts = forecast(test.contexts, max(params.horizons))

    kind = params.document_tests.get(series_name, "one_point")
    documents = list_document_tests(kind, windows, series, params.document_steps)
    drawn = int(np.random.default_rng(params.document_seed).integers(len(documents)))
    answers = answer_documents(wrap_model(model, state), documents)
    errors = [d.measure_mse(answer) for d, answer in zip(documents, answers, strict=True)]

    document_scores = {"document_mse": errors[drawn]}
    if len(errors) > 1:
        document_scores["document_mse_all_starts"] = float(np.mean(errors))

    baselines, order = fit_baselines(windows, series, params, validation)
    beside = score_baselines(baselines, documents[drawn], test, series, params)
    beside["ar_best"]["order"] = order
    metrics = {
        "data": series_name,
        **document_scores,
        **score_forecasts(forecasts, test, params.horizons),
        "validation": score_forecasts(guesses, validation, params.validation_horizons),
        "baselines": beside,
    }
    check_metrics(metrics)
    kept = keep_forecasts(documents[drawn], answers[drawn], test, forecasts, series.time_step)
    return Evaluation(metrics, kept)


def answer_documents(forecast: Forecaster, documents: list[DocumentTest]) -> list[Array]:
    """A forecast `(n,)` for each test, from what it gives."""
    return [forecast(document.history[None], document.steps)[0] for document in documents]


def score_baselines(
    baselines: dict[str, Forecaster],
    document: DocumentTest,
    test: FreeRuns,
    series: SeriesParams,
    params: EvaluateParams,
) -> dict[str, Scores]:
    """Test scores of each baseline; the document's test tells them the true samples before it."""
    past = sample_past(document, series, params.context)
    beside = {}
    for name, baseline in baselines.items():
        answer = baseline(past[None], document.steps)[0]
        forecasts = baseline(test.contexts, max(params.horizons))
        beside[name] = {
            "document_mse": document.measure_mse(answer),
            **score_forecasts(forecasts, test, params.horizons),
        }
    return beside


def check_metrics(metrics: dict[str, Any], prefix: str = "") -> None:
    """Refuse scores that say nothing.

    Raises:
        InputError: a score is not finite.
    """
    for name, value in metrics.items():
        if isinstance(value, dict):
            check_metrics(value, f"{prefix}{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{prefix}{name} is {value}: train at a lower rate in params.yaml")


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


def main(name: str, trained: str, windows: str, out: str) -> None:
    """Write metrics.json and forecasts.npz."""
    params = read_params("evaluate_sine", EvaluateParams)
    series_name = read_params(f"sine.{name}.series", str)
    series = read_params(f"generate_sine.{series_name}", SeriesParams)
    prepare_arithmetic()
    model = read_model(Path(trained))
    state = read_state(Path(trained) / "state.npy")
    given = read_windows(Path(windows))
    evaluation = evaluate(model, state, given, series_name, series, params)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", evaluation.metrics)
    np.savez(folder / "forecasts.npz", allow_pickle=False, **evaluation.forecasts)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
