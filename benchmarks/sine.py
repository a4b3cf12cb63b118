"""Section `sine`: how soon a forecaster is as good as asked."""

from functools import partial
from statistics import median
from typing import Any

from benchmarks.clock import alternate
from benchmarks.data import Bench, make_windows, read_series
from benchmarks.published import windowed_lstm
from benchmarks.table import Row, at_least, at_most, say_seconds
from benchmarks.trial import Scores, run_trial, tabulate_trial
from benchmarks.updates import WARM_UP, Program, make_surname_program
from stages.shared.params import read_params
from stages.sine.evaluate import EvaluateParams, evaluate
from stages.sine.train import SineParams, Trained, train
from stages.sine.windows import Windows

# Largest share of the published surname program's time, and largest errors.
GOALS: dict[str, tuple[float, Scores]] = {
    "closed_loop_rnn": (0.015, {"free_run_mse_49": 1e-3}),
    "long_memory_rnn": (0.11, {"free_run_mse_5000": 1e-4}),
}
QUICK = ["closed_loop_rnn"]
FAST_LSTM = "windowed_lstm_fast"
SHORT_ADAM, SHORT_LBFGS = 40, 10  # updates that are enough for the published error
TIMES_FASTER = 20  # than the published recipe
WHOLE_MSE = 1e-6  # of its document test, after the recipe of params.yaml


def measure(bench: Bench) -> list[Row]:
    """One row a forecaster."""
    published = make_surname_program(bench)
    published.literal(WARM_UP)
    rows = []
    for name in QUICK if bench.quick else GOALS:
        rows.append(measure_free_run(name, published, bench))
    rows.append(measure_fast_lstm(bench))
    return rows


def train_entry(name: str, windows: Windows) -> Trained:
    """Train an entry of `sine` whole."""
    return train(read_params(f"sine.{name}", SineParams), windows, name)


def score_entry(name: str, trained: Trained, windows: Windows) -> dict[str, Any]:
    """What evaluate_sine writes of it."""
    series_name = read_params(f"sine.{name}.series", str)
    params = read_params("evaluate_sine", EvaluateParams)
    model, state = trained.model.eval(), trained.state
    return evaluate(model, state, windows, series_name, read_series(series_name), params).metrics


def measure_free_run(name: str, published: Program, bench: Bench) -> Row:
    """Training time, and the error of free runs after the end of training."""
    windows = make_windows(read_params(f"sine.{name}.series", str))
    trial = run_trial(partial(train_entry, name, windows), published, bench)
    metrics = score_entry(name, trial.trained, windows)
    share, bounds = GOALS[name]
    goals = [at_most(metric, metrics[metric], bound) for metric, bound in bounds.items()]
    return tabulate_trial(name, trial.turns, share, goals)


def measure_fast_lstm(bench: Bench) -> Row:
    """How much sooner a short recipe of ours has the published document MSE."""
    params = read_params(f"sine.{FAST_LSTM}", SineParams)
    windows = make_windows(params.series)
    published = windowed_lstm.train()
    bound = windowed_lstm.forecast(published.model, windowed_lstm.make_series())
    short = shorten_recipe(params)
    short_mse = score_entry(FAST_LSTM, train(short, windows, FAST_LSTM), windows)["document_mse"]
    whole_mse = score_entry(FAST_LSTM, train_entry(FAST_LSTM, windows), windows)["document_mse"]
    turns = alternate(lambda: train(short, windows, FAST_LSTM), windowed_lstm.train, bench.repeats)
    return Row(
        f"{FAST_LSTM}, a recipe of {SHORT_ADAM} + {SHORT_LBFGS} updates",
        say_seconds(median(turns.ours)),
        f"{say_seconds(median(turns.reference))} (windowed_lstm, the literal recipe)",
        turns.speed_ups,
        quality=f"document_mse {short_mse:.2g}, literal {bound:.2g}, whole recipe {whole_mse:.2g}",
        goals=[
            at_least("times faster", median(turns.speed_ups), TIMES_FASTER),
            at_most("document_mse", short_mse, bound),
            at_most("document_mse of the whole recipe", whole_mse, WHOLE_MSE),
        ],
    )


def shorten_recipe(params: SineParams) -> SineParams:
    """Just long enough for the published quality."""
    assert params.refine is not None  # by L-BFGS, as in params.yaml
    refine = params.refine.model_copy(update={"iterations": SHORT_LBFGS})
    return params.model_copy(update={"iterations": SHORT_ADAM, "refine": refine})
