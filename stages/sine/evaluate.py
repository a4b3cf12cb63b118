"""Score one sine forecaster beside simple baselines: data/trained/ -> data/evaluated/<model>/.

Run by DVC as `python -m stages.sine.evaluate MODEL TRAINED WINDOWS OUT`.
"""

import csv
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from stages.shared.bundle import read_model
from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.json_files import write_json
from stages.shared.params import Params, read_params
from stages.shared.threads import use_one_thread
from stages.sine.baselines import copy_period, fit_autoregression, hold_last
from stages.sine.signals import SeriesParams, sample_signal

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Forecaster = Callable[[Array, int], Array]  # history (B, K) and horizon n -> (B, n)
NUM_PERIODS = 16  # over which phases are drawn: a whole number, so that none is favoured
NUM_DRAWN = 3  # forecasts kept for the figures
DRAWN_STEPS = 500
FITTED_SEGMENTS = 2000  # most that AR(p) is fitted to: enough for it, whatever a series' length


class EvaluateParams(Params):
    """Section `evaluate_sine` of params.yaml."""

    phases: int = Field(gt=0)  # random starting points of the free runs
    context: int = Field(gt=0)  # true samples that a forecaster sees before it runs free
    horizons: list[int] = Field(min_length=1)  # steps of the free runs, on the test phases
    validation_horizons: list[int] = Field(min_length=1)
    seed: int = Field(ge=0)  # of the test phases
    validation_seed: int = Field(ge=0)
    document_steps: int = Field(gt=0)  # of the one-point and continuation tests
    document_seed: int = Field(ge=0)  # of the start that the one-point test draws
    ar_orders: list[int] = Field(min_length=1)  # of which validation chooses the best


@dataclass(frozen=True)
class DocumentTest:
    """The test of the walk-through: n steps after the last sample that the network was given."""

    times: Array  # (n + 1,), the first of the given sample
    truth: Array  # (n + 1,), the given sample first
    forecast: Array  # (n,)

    @property
    def mse(self) -> float:
        """Mean squared error of the forecast."""
        return float(np.mean((self.forecast - self.truth[1:]) ** 2))


@dataclass(frozen=True)
class FreeRuns:
    """Contexts `(B, K)`, with their noise, and the noise-free samples `(B, n)` after them."""

    contexts: Array
    truths: Array


def wrap_network(model: nn.Module, state: Any = None) -> Forecaster:
    """The network as a function of arrays."""
    dtype = next(model.parameters()).dtype

    def forecast(history: Array, horizon: int) -> Array:
        with torch.inference_mode():
            samples = torch.from_numpy(history).to(dtype)
            return model.forecast(samples, horizon, state).double().numpy()

    return forecast


def read_state(path: Path) -> Any:
    """The hidden state carried out of training; None where none was carried."""
    parts = torch.from_numpy(np.load(path)).unbind(0)
    return parts if len(parts) > 1 else next(iter(parts), None)


def forecast_one_point(
    forecast: Forecaster, windows: Arrays, series: SeriesParams, params: EvaluateParams
) -> DocumentTest:
    """Free run from the first sample of one of the first three segments."""
    start = np.random.default_rng(params.document_seed).integers(min(3, len(windows["inputs"])))
    steps = min(params.document_steps, windows["targets"].shape[1])
    given, following = windows["inputs"][start, :1], windows["targets"][start, :steps]
    times = windows["times"][start, 0] + series.time_step * np.arange(-1, steps)
    truth = np.concatenate([given, following], dtype=np.float64)
    return DocumentTest(times, truth, forecast(given[None], steps)[0])


def forecast_continuation(
    forecast: Forecaster, windows: Arrays, series: SeriesParams, params: EvaluateParams
) -> DocumentTest:
    """Free run from the last sample of training, with the state carried to it."""
    steps = np.arange(params.document_steps + 1)
    times = windows["times"][-1, -1] + series.time_step * steps
    forecasts = forecast(windows["targets"][-1:, -1:], params.document_steps)
    return DocumentTest(times, sample_signal(series, times), forecasts[0])


def forecast_recursive(
    forecast: Forecaster, windows: Arrays, series: SeriesParams, params: EvaluateParams
) -> DocumentTest:
    """Forecast the held-out end of the series from the last window before it."""
    history = np.concatenate([windows["inputs"][-1:, 1:], windows["targets"][-1:]], axis=1)
    times = np.concatenate([windows["times"][-1], windows["test_times"]])
    truth = np.concatenate([history[0, -1:], windows["test"]], dtype=np.float64)
    return DocumentTest(times, truth, forecast(history, len(windows["test"]))[0])


DOCUMENT_TESTS = {
    "one_point": forecast_one_point,
    "continuation": forecast_continuation,
    "recursive": forecast_recursive,
}


def draw_free_runs(
    series: SeriesParams, params: EvaluateParams, seed: int, horizon: int, after: float = 0.0
) -> FreeRuns:
    """Signals from random phases; they start after a time, that of the last training sample."""
    generator = np.random.default_rng([seed, 0xE7A1])  # never the stream of a training seed
    starts = after + generator.uniform(0, NUM_PERIODS * series.longest_period, params.phases)
    times = starts[:, None] + series.time_step * np.arange(params.context + horizon)
    signal = sample_signal(series, times)
    contexts = signal[:, : params.context]
    noise = series.noise * generator.standard_normal(contexts.shape)
    return FreeRuns(contexts + noise, signal[:, params.context :])


def score_free_runs(
    forecast: Forecaster, runs: FreeRuns, horizons: list[int]
) -> tuple[dict[str, float], Array]:
    """Mean squared errors one step ahead and over each horizon, and the forecasts."""
    forecasts = forecast(runs.contexts, max(horizons))
    errors = (forecasts - runs.truths[:, : max(horizons)]) ** 2
    scores = {"one_step_mse": float(errors[:, 0].mean())}
    for horizon in horizons:
        scores[f"free_run_mse_{horizon}"] = float(errors[:, :horizon].mean())
    return scores, forecasts


def make_baselines(
    windows: Arrays, series: SeriesParams, params: EvaluateParams, validation: FreeRuns
) -> tuple[dict[str, Forecaster], int]:
    """The baselines by name, and the order of AR(p) that validation chose."""
    thinned = slice(None, None, -(-len(windows["inputs"]) // FITTED_SEGMENTS))
    inputs, lasts = windows["inputs"][thinned], windows["targets"][thinned, -1:]
    samples = np.concatenate([inputs, lasts], axis=1, dtype=float)
    orders = [p for p in params.ar_orders if p < min(samples.shape[1], params.context + 1)]
    fitted = {order: fit_autoregression(samples, order) for order in orders}
    lag = round(series.period / series.time_step)  # nearest whole number of samples
    if not orders or params.context < max(2, lag):
        raise InputError(
            f"params.yaml: evaluate_sine.context ({params.context}) must reach a period ({lag} "
            f"samples) and one of ar_orders ({params.ar_orders}) must be shorter than it"
        )
    horizons = params.validation_horizons

    def validate(order: int) -> float:
        scores, _ = score_free_runs(fitted[order], validation, horizons)
        return scores[f"free_run_mse_{max(horizons)}"]

    best = min(orders, key=validate)
    return {
        "hold_last": hold_last,
        "copy_period": lambda history, horizon: copy_period(history, horizon, lag),
        "ar2": fit_autoregression(samples, 2),
        "ar_best": fitted[best],
    }, best


def join_metrics(
    document: DocumentTest,
    scores: dict[str, float],
    checks: dict[str, float],
    beside: dict[str, dict[str, float]],
) -> dict[str, float]:
    """All scores by the names under which DVC and MLflow show them.

    Raises:
        InputError: a score is not finite.
    """
    metrics = {
        "document_mse": document.mse,
        **scores,
        **{f"validation_{metric}": value for metric, value in checks.items()},
        **{f"{b}_{metric}": value for b, row in beside.items() for metric, value in row.items()},
    }
    if unfit := [metric for metric, value in metrics.items() if not math.isfinite(value)]:
        raise InputError(f"{', '.join(unfit)} not finite: train at a lower rate in params.yaml")
    return metrics


def main(name: str, trained: str, windows_path: str, out: str) -> None:
    """Write metrics.json, baselines.csv and forecasts.npz."""
    params = read_params("evaluate_sine", EvaluateParams)
    series_name = read_params(f"sine.{name}.series", str)
    document_test = read_params(f"sine.{name}.document_test", Literal[*DOCUMENT_TESTS])
    series = read_params(f"generate_sine.{series_name}", SeriesParams)
    with np.load(windows_path) as arrays:
        windows = dict(arrays)
    use_one_thread()
    model, state = read_model(Path(trained)), read_state(Path(trained) / "state.npy")

    document = DOCUMENT_TESTS[document_test](wrap_network(model, state), windows, series, params)
    longest = max(params.validation_horizons)
    end = float(max(windows["times"].max(), windows["test_times"].max(initial=0.0)))
    validation = draw_free_runs(series, params, params.validation_seed, longest, end)
    test = draw_free_runs(series, params, params.seed, max(params.horizons), end)
    network = wrap_network(model)
    checks, _ = score_free_runs(network, validation, params.validation_horizons)
    scores, forecasts = score_free_runs(network, test, params.horizons)
    baselines, order = make_baselines(windows, series, params, validation)
    beside = {b: score_free_runs(f, test, params.horizons)[0] for b, f in baselines.items()}
    metrics = join_metrics(document, scores, checks, beside)

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", {"data": series_name, **metrics, "ar_best_order": order})
    _write_table(folder / "baselines.csv", {name: scores, **beside})
    np.savez(
        folder / "forecasts.npz",
        document_times=document.times,
        document_truth=document.truth,
        document_forecast=document.forecast,
        free_context=test.contexts[:NUM_DRAWN],
        free_truth=test.truths[:NUM_DRAWN, :DRAWN_STEPS],
        free_forecast=forecasts[:NUM_DRAWN, :DRAWN_STEPS],
        step=series.time_step,
    )


def _write_table(path: Path, rows: dict[str, dict[str, float]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["forecaster", *next(iter(rows.values()))])
        table.writerows([forecaster, *row.values()] for forecaster, row in rows.items())


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
