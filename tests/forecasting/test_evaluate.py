import math
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.forecasting import score_baselines
from stages.forecasting.assessment import (
    ForecastingEvaluationParams,
    PredictionInterval,
    check_scores,
    draw_backtests,
    read_errors,
    score_forecasts,
)
from stages.forecasting.evaluate import REMEDY, evaluate, main, make_forecast_info
from stages.forecasting.forecasters import write_state
from stages.forecasting.series import Backtest, write_series
from stages.forecasting.signals import GeneratedParams, draw_segments, sample_signal
from stages.forecasting.train import ForecasterParams, train
from stages.shared.checkpoints import write_model
from stages.shared.errors import InputError
from stages.shared.intervals import find_batch_interval
from stages.shared.json_files import read_json
from stages.shared.yaml_files import format_yaml, parse_yaml
from tests.forecasting.entries import SINE, make_generated, make_observed, params_of, split_file

OFFICIAL = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))
SHORT = {
    **OFFICIAL["evaluate_forecasters"],
    "horizons": [49, 500],
    "phases": 4,
    "bootstrap": {"resamples": 20, "seed": 0},
}


def params_of_series(name="integer_starts", **changes):
    return GeneratedParams.model_validate({**OFFICIAL["generated_series"][name], **changes})


def make_series(name="integer_starts", **changes):
    return make_generated(params_of_series(name, **changes), name)


def draw(seed, horizon=10, **changes):
    series = make_series(**changes)
    return series.backtest("validation", context=40, horizon=horizon, phases=64, seed=seed)


def test_test_and_validation_phases_are_disjoint_and_from_training_too():
    seeds = (
        OFFICIAL["evaluate_forecasters"]["seed"],
        OFFICIAL["evaluate_forecasters"]["validation_seed"],
    )
    drawn = {"starts": {"count": 64, "below": 2 * math.pi}, "seed": seeds[0]}

    test, validation = (draw(seed).contexts[:, 0] for seed in seeds)
    trained = draw_segments(params_of_series("random_phases", **drawn))[1][:, 0]

    assert len(np.intersect1d(test, validation)) == 0
    assert len(np.intersect1d(test, trained)) == 0


def test_noise_is_in_the_context_and_not_in_the_targets():
    clean, noisy = draw(7, 20), draw(7, 20, noise=0.1)

    assert np.std(noisy.contexts - clean.contexts) == pytest.approx(0.1, rel=0.1)
    assert np.array_equal(noisy.targets, clean.targets)


@pytest.fixture
def times(monkeypatch):
    """The times at which backtests sample signals, as they are drawn."""
    drawn = []

    def note(params, times):
        drawn.append(times)
        return sample_signal(params, times)

    monkeypatch.setattr("stages.forecasting.series.sample_signal", note)
    return drawn


SHAPE = {"context": 4, "horizon": 3, "phases": 8, "seed": 1}


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("name", ["drifting_sine", "period_40", "mackey_glass"])
def test_a_generated_series_is_forecast_after_training(name, split, times):
    series = make_series(name)

    series.backtest(split, **SHAPE)

    last = max(series.windows.times.max(), series.windows.test_times.max(initial=0.0))
    assert times[0].min() >= last


def test_a_chaotic_series_is_tested_where_neither_training_nor_validation_was(times):
    series = make_series("mackey_glass")

    series.backtest("validation", **SHAPE | {"horizon": 9})
    series.backtest("test", **SHAPE, before=9)

    validation, test = times
    spread = series.params.spread
    assert validation.max() <= series.windows.times.max() + spread + 2.0 * (4 + 9)  # a step of 2
    assert test.min() >= series.windows.times.max() + spread + 2.0 * (4 + 9)


def test_the_test_of_a_chaotic_series_lies_behind_the_longest_validation(times):
    series = make_series("mackey_glass")
    params = ForecastingEvaluationParams(**SHORT)

    draw_backtests(series, params)

    longest = params.context + max(params.validation_horizons)
    assert times[1].min() >= series.windows.times.max() + series.params.spread + 2.0 * longest


def test_scores_average_the_steps_of_each_horizon():
    targets = np.zeros((2, 4))
    off_by_growing = targets + np.arange(1, 5)

    scores = score_forecasts(off_by_growing, Backtest(targets, targets), [2, 4])

    assert scores == pytest.approx(
        {"one_step_mse": 1, "mse_2": (1 + 4) / 2, "mse_4": (1 + 4 + 9 + 16) / 4}
    )


def train_briefly(model):
    params = ForecasterParams.model_validate(
        {**OFFICIAL["forecasters"][model], "iterations": 3, "refine": None}
    )
    series = make_series(params.series)
    return series, train(params, series, model)


@pytest.mark.parametrize("model", ["carried_rnn", "lagged_rnn", "windowed_lstm_fast"])
def test_every_model_is_scored_beside_the_baselines(model, tmp_path, monkeypatch):
    series, trained = train_briefly(model)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(format_yaml({**OFFICIAL, "evaluate_forecasters": SHORT}))
    windows_path = f"{series.name}.npz"
    write_series(Path(windows_path), series)
    write_model(Path("trained"), trained.config, trained.model)
    write_state(Path("trained/state.npy"), trained.state)
    score_baselines.main(windows_path, "best", "baselines", "best.json", "details")

    main(model, "trained", windows_path, "baselines", "metrics.json", "evaluated")

    scores = read_json(Path("evaluated/scores.json"))
    assert scores["data"] == series.name
    assert {"walkthrough_mse", "one_step_mse", "mse_500"} <= scores.keys()
    assert scores["intervals"].keys() == {"one_step_mse", "mse_49", "mse_500"}
    assert "mse_500" in scores["validation"]
    assert scores["improvement"].keys() == {"mse_49", "mse_500"}
    assert scores["improvement"]["mse_500"]["high"] < 0  # linear recurrences are exact
    assert read_json(Path("metrics.json")) == {
        "mse_short": scores["mse_49"],
        "mse_long": scores["mse_500"],
        "ratio_to_baseline": scores["ratio_to_baseline"],
        "walkthrough_mse": scores["walkthrough_mse"],
    }


def test_the_errors_of_a_model_are_of_the_phases_that_baselines_have(tmp_path, monkeypatch):
    series, trained = train_briefly("carried_rnn")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(format_yaml({**OFFICIAL, "evaluate_forecasters": SHORT}))
    write_series(Path("integer_starts.npz"), series)
    torch.nn.init.zeros_(trained.model.head.weight)  # so that it forecasts nothing but zeros
    torch.nn.init.zeros_(trained.model.head.bias)
    write_model(Path("trained"), trained.config, trained.model)
    write_state(Path("trained/state.npy"), trained.state)
    score_baselines.main("integer_starts.npz", "best", "baselines", "best.json", "details")

    main("carried_rnn", "trained", "integer_starts.npz", "baselines", "metrics.json", "evaluated")

    own = read_errors(Path("evaluated/errors.csv"))["carried_rnn"]
    zeros = read_errors(Path("baselines/errors.csv"))["predict_zero"]
    assert {name: values.tolist() for name, values in own.items()} == {
        name: values.tolist() for name, values in zeros.items()
    }


def test_the_same_model_and_data_give_the_same_scores():
    series, trained = train_briefly("carried_rnn")
    given = (trained.model, trained.state, series)

    first = evaluate(*given, ForecastingEvaluationParams(**SHORT))
    second = evaluate(*given, ForecastingEvaluationParams(**SHORT))

    assert first.scores == second.scores


def test_the_one_point_test_is_also_averaged_over_its_starts():
    series, trained = train_briefly("carried_rnn")
    given = (trained.model, trained.state, series)

    scores = []
    for seed in range(20):
        section = {**SHORT, "phases": 1, "walkthrough_seed": seed}
        scores.append(evaluate(*given, ForecastingEvaluationParams(**section)).scores)

    by_start = {metrics["walkthrough_mse"] for metrics in scores}
    assert len(by_start) == 3  # starts 0, 1 and 2
    assert scores[0]["walkthrough_mse_all_starts"] == pytest.approx(sum(by_start) / 3)


def test_the_recursive_test_has_one_start():
    series, trained = train_briefly("windowed_lstm")
    given = (trained.model, trained.state, series)

    metrics = evaluate(*given, ForecastingEvaluationParams(**SHORT)).scores

    assert "walkthrough_mse_all_starts" not in metrics


def test_while_recipes_are_chosen_the_test_phases_change_nothing():
    series, trained = train_briefly("carried_rnn")
    given = (trained.model, trained.state, series)

    scores = []
    for seed in (1, 2):
        section = {**SHORT, "split": "validation", "seed": seed, "walkthrough_seed": seed}
        scores.append(evaluate(*given, ForecastingEvaluationParams(**section)).scores)

    assert scores[0] == scores[1]
    assert scores[0]["split"] == "validation"
    assert scores[0]["mse_500"] == scores[0]["validation"]["mse_500"]
    assert "walkthrough_mse" not in scores[0]


def test_a_score_that_is_not_finite_is_named():
    with pytest.raises(InputError, match=r"validation\.one_step_mse is inf: train at a lower rate"):
        check_scores({"data": "x", "validation": {"one_step_mse": math.inf}}, REMEDY)


def evaluate_file(samples, horizons=(2, 5), **changes):
    """A network of two updates on a file."""
    series = split_file(samples, window=40, horizons=[*horizons])
    model = train(params_of("sunspots_rnn", iterations=2), series, "x").model
    params = ForecastingEvaluationParams.model_validate({**SHORT, **changes}).adapt(series)
    return evaluate(model, None, series, params)


SWING = 20 + 5 * np.sin(np.arange(120.0) / 7)


def test_a_file_is_scored_at_its_own_horizons_over_all_origins_of_its_test():
    evaluation = evaluate_file(SWING)

    scores = [f"{run}_{kind}" for kind in ("mse", "mase") for run in ("one_step",)]
    scores += [f"{kind}_{horizon}" for kind in ("mse", "mase") for horizon in (2, 5)]
    assert {*evaluation.scores["intervals"]} == {*scores}
    assert {*evaluation.scores["validation"]} == {*scores}
    assert {len(errors) for errors in evaluation.errors.values()} == {30 - 5 + 1}
    assert evaluation.forecast_info["least_history"] == 40
    interval = evaluation.forecast_info["prediction_intervals"]["80"]
    assert len(interval["half_width"]) == 5
    assert interval["coverage"] == pytest.approx(evaluation.scores["interval_coverage"], abs=1e-4)


def test_a_file_that_is_scored_one_step_ahead_is_a_rolling_origin_backtest_too():
    evaluation = evaluate_file(SWING, horizons=[1])

    assert evaluation.scores["origins"] == 30
    interval = find_batch_interval(evaluation.errors["mase_1"], block=1)
    assert evaluation.scores["intervals"]["mase_1"] == interval
    # Intervals adapt to the test: their width at the end is not that of its first forecast.
    [half_width] = evaluation.forecast_info["prediction_intervals"]["80"]["half_width"]
    first = evaluation.forecasts["test_half_widths"][0, 0]
    assert half_width != pytest.approx(first, rel=1e-3)


def test_scores_are_in_the_units_of_the_file_but_for_mase_and_coverage():
    plain, large = evaluate_file(SWING).scores, evaluate_file(10 * SWING + 3).scores

    assert large["mse_5"] == pytest.approx(100 * plain["mse_5"], rel=1e-3)
    assert large["mase_5"] == pytest.approx(plain["mase_5"], rel=1e-3)
    assert large["interval_coverage"] == pytest.approx(plain["interval_coverage"], abs=0.02)


def test_while_recipes_are_chosen_a_file_shows_nothing_of_its_test():
    changed = SWING.copy()
    changed[90:] *= 3

    metrics = [evaluate_file(samples, split="validation").scores for samples in (SWING, changed)]

    assert metrics[0] == metrics[1]
    assert metrics[0]["split"] == "validation"


def test_the_training_range_of_a_file_is_that_of_all_its_samples_transformed():
    samples = [8, 12, 8, 12, 10, 14, 10, 10, 10, 20]
    times = 1700 + 2 * np.arange(10.0)
    series = make_observed(samples, num_train=4, num_validation=2, times=times, time="t")

    interval = PredictionInterval(np.array([1.0, 2.00009]), np.zeros((2, 2)), np.array([0.5, 1.0]))

    assert make_forecast_info(series, 40, {80: interval}) == {
        "series": "mine",
        "lowest": -1,
        "highest": 5,  # 20, where training is 10 ± 2
        "transform": {"mean": 10, "std": 2, "log": False, "differences": [], "floor": None},
        "spacing": 2,
        "least_history": 40,
        "prediction_intervals": {"80": {"half_width": [1, 2], "coverage": 0.75}},
        "naive": None,
    }


def test_a_file_without_times_has_no_spacing():
    series = make_observed(np.arange(10.0), num_train=5, num_validation=2)

    assert make_forecast_info(series, 40, {})["spacing"] is None


def test_a_generated_series_has_its_step_and_range():
    series = make_generated(GeneratedParams.model_validate(SINE | {"step": 1.5}))

    described = make_forecast_info(series, 40, {})

    assert (described["spacing"], described["lowest"], described["highest"]) == (1.5, -1, 1)
