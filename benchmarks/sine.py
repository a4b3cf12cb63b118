"""Section `sine`: how soon a forecaster is as good as asked."""

import math
from functools import partial
from statistics import median

import torch
from torch import nn

from benchmarks.clock import alternate, time_call
from benchmarks.data import Bench, make_windows
from benchmarks.published import windowed_lstm
from benchmarks.table import Row, at_least, at_most, say_seconds
from benchmarks.trial import Scores, run_trial, tabulate_trial
from benchmarks.updates import WARM_UP, Program, make_surname_program
from stages.shared.bundle import build_network
from stages.shared.fit import make_update, seed_everything
from stages.shared.params import read_params
from stages.sine.evaluate import (
    EvaluateParams,
    draw_free_runs,
    forecast_recursive,
    score_free_runs,
    wrap_network,
)
from stages.sine.signals import SeriesParams
from stages.sine.train import Arrays, OneStepLoss, SineParams, draw_windows, train

# Largest share of 1 S3, and largest errors.
GOALS: dict[str, tuple[float, Scores]] = {
    "closed_loop_rnn": (0.015, {"free_run_mse_49": 1e-3}),
    "long_memory_rnn": (0.11, {"free_run_mse_5000": 1e-4}),
}
QUICK = ["closed_loop_rnn"]
FAST_LSTM = "windowed_lstm_fast"
TIMES_SOONER = 20  # that it has S4's error before S4's recipe has
FINAL_MSE = 1e-6  # of its document test, after L-BFGS


def measure(bench: Bench) -> list[Row]:
    """One row a forecaster."""
    s3 = make_surname_program(bench)
    s3.literal(WARM_UP)
    names = QUICK if bench.quick else GOALS
    return [*(measure_free_run(name, s3, bench) for name in names), measure_fast_lstm(bench)]


def train_entry(name: str, windows: Arrays) -> nn.Module:
    """Train an entry of `sine` whole."""
    params = read_params(f"sine.{name}", SineParams).model_copy(update={"print_every": None})
    return train(params, windows, name).model


def measure_free_run(name: str, s3: Program, bench: Bench) -> Row:
    """Training time, and the error of free runs from phases that training never saw."""
    series_name = read_params(f"sine.{name}.series", str)
    trial = run_trial(partial(train_entry, name, make_windows(series_name)), s3, bench)
    params = read_params("evaluate_sine", EvaluateParams)
    series = read_params(f"generate_sine.{series_name}", SeriesParams)
    runs = draw_free_runs(series, params, params.seed, max(params.horizons))
    scores, _ = score_free_runs(wrap_network(trial.model), runs, params.horizons)
    share, bounds = GOALS[name]
    goals = [at_most(metric, scores[metric], bound) for metric, bound in bounds.items()]
    return tabulate_trial(name, trial, share, scores, goals)


def measure_fast_lstm(bench: Bench) -> Row:
    """How much sooner it has S4's document MSE than S4's recipe."""
    windows = make_windows(read_params(f"sine.{FAST_LSTM}.series", str))
    bound = windowed_lstm.forecast(windowed_lstm.train().model, windowed_lstm.make_series())
    time_until(math.inf, windows)  # the first update pays for what PyTorch imports late
    reached: list[tuple[float, int]] = []
    pairs = alternate(
        lambda: reached.append(time_until(bound, windows)), windowed_lstm.train, bench.repeats
    )
    sooner = [s4 / ours for (ours, _), (_, s4) in zip(reached, pairs, strict=True)]
    final = score_document(train_entry(FAST_LSTM, windows), windows)
    return Row(
        f"{FAST_LSTM}, until it has S4's document MSE",
        f"{say_seconds(median(ours for ours, _ in reached))} ({reached[-1][1]} updates)",
        f"{say_seconds(median(s4 for _, s4 in pairs))} (S4's literal recipe)",
        sooner,
        quality=f"document_mse {bound:.2g}, in the end {final:.2g}",
        goals=[
            at_least("times sooner", median(sooner), TIMES_SOONER),
            at_most("final document_mse", final, FINAL_MSE),
        ],
    )


def score_document(model: nn.Module, windows: Arrays) -> float:
    """S4's own test: the end of the series, forecast recursively from the window before it."""
    series = read_params(
        f"generate_sine.{read_params(f'sine.{FAST_LSTM}.series', str)}", SeriesParams
    )
    params = read_params("evaluate_sine", EvaluateParams)
    return forecast_recursive(wrap_network(model), windows, series, params).mse


def time_until(bound: float, windows: Arrays) -> tuple[float, int]:
    """Train the fast LSTM until its document MSE is within the bound.

    Returns:
        seconds of the updates alone, infinite if it never is, and the number of updates.
    """
    params = read_params(f"sine.{FAST_LSTM}", SineParams)
    seed_everything(params)
    model = build_network(params.architecture, params.network, FAST_LSTM)
    update = make_update(model, OneStepLoss(model, carry_state=False), params)
    inputs, targets = (torch.from_numpy(windows[key]) for key in ("inputs", "targets"))
    seconds = 0.0
    for iteration, chosen in enumerate(draw_windows(params, len(inputs)), start=1):
        pair = inputs[chosen], targets[chosen]
        seconds += time_call(partial(update, pair, True))
        if score_document(model, windows) <= bound:
            return seconds, iteration
    return math.inf, params.iterations
