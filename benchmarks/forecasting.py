"""Section `forecasting`: how soon a forecaster reaches the errors of its goals."""

from functools import partial
from statistics import median
from typing import Any

from benchmarks.clock import alternate
from benchmarks.data import Bench, make_series
from benchmarks.published import windowed_lstm
from benchmarks.table import Row, at_least, at_most, format_seconds
from benchmarks.trial import Scores, run_trial, tabulate_trial
from benchmarks.updates import WARM_UP, Program, make_surname_program
from stages.forecasting.assessment import ForecastingEvaluationParams
from stages.forecasting.evaluate import evaluate
from stages.forecasting.series import Series
from stages.forecasting.train import ForecasterParams, TrainedForecaster, train
from stages.shared.params import read_params

# Largest share of the published surname program's time, and largest errors.
GOALS: dict[str, tuple[float, Scores]] = {
    "closed_loop_rnn": (0.015, {"mse_49": 1e-3}),
    "long_memory_rnn": (0.11, {"mse_5000": 1e-4}),
}
QUICK = ["closed_loop_rnn"]
FAST_LSTM = "windowed_lstm_fast"
MOST_MSE = 1e-6  # of its walk-through test; the published recipe has 0.0089


def measure(bench: Bench) -> list[Row]:
    """One row per forecaster."""
    published = make_surname_program(bench)
    published.literal(WARM_UP)
    rows = []
    for name in QUICK if bench.quick else GOALS:
        rows.append(measure_closed_loop(name, published, bench))
    rows.append(measure_fast_lstm(bench))
    return rows


def train_entry(name: str, series: Series) -> TrainedForecaster:
    """Train an entry of `forecasters` whole."""
    return train(read_params(f"forecasters.{name}", ForecasterParams), series, name)


def score_entry(name: str, trained: TrainedForecaster, series: Series) -> dict[str, Any]:
    """What evaluate_forecasters writes of it."""
    params = read_params("evaluate_forecasters", ForecastingEvaluationParams)
    return evaluate(trained.model.eval(), trained.state, series, params).scores


def measure_closed_loop(name: str, published: Program, bench: Bench) -> Row:
    """Training time, and the error of closed-loop forecasts after the end of training."""
    series = make_series(read_params(f"forecasters.{name}.series", str))
    trial = run_trial(partial(train_entry, name, series), published, bench)
    scores = score_entry(name, trial.trained, series)
    share, bounds = GOALS[name]
    goals = [at_most(score, scores[score], bound) for score, bound in bounds.items()]
    return tabulate_trial(name, trial.turns, share, goals)


def measure_fast_lstm(bench: Bench) -> Row:
    """Time and error of our recipe beside the published one, both whole."""
    series = make_series(read_params(f"forecasters.{FAST_LSTM}.series", str))
    published = windowed_lstm.train()
    bound = windowed_lstm.forecast(published.model, windowed_lstm.make_series())
    trained = train_entry(FAST_LSTM, series)
    mse = score_entry(FAST_LSTM, trained, series)["walkthrough_mse"]
    turns = alternate(partial(train_entry, FAST_LSTM, series), windowed_lstm.train, bench.repeats)
    return Row(
        FAST_LSTM,
        format_seconds(median(turns.ours)),
        f"{format_seconds(median(turns.reference))} (windowed_lstm, the literal recipe)",
        turns.speed_ups,
        quality=f"walkthrough_mse {mse:.2g}, literal {bound:.2g}",
        goals=[
            at_least("times faster", median(turns.speed_ups), 1.0),
            at_most("walkthrough_mse", mse, MOST_MSE),
        ],
    )
