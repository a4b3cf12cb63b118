"""Origins roll over a part of an observed series; errors are scaled by those of its training."""

import numpy as np

from stages.forecasting.forecast_errors import measure_errors, read_errors, write_errors
from tests.forecasting.entries import make_observed

TEN = make_observed(np.arange(10.0), num_train=4, num_validation=3)
ANY = {"phases": 1, "seed": 0}  # an observed series has no phases


def test_origins_roll_as_far_as_the_horizon_fits_into_their_part():
    backtest = TEN.backtest("validation", context=2, horizon=2, **ANY)

    assert backtest.contexts.tolist() == [[2, 3], [3, 4]]  # of training too: known by then
    assert backtest.targets.tolist() == [[4, 5], [5, 6]]  # never of the test
    assert backtest.block == 2


def test_the_last_origin_of_the_test_ends_with_the_file():
    backtest = TEN.backtest("test", context=3, horizon=1, **ANY)

    assert backtest.contexts.tolist() == [[4, 5, 6], [5, 6, 7], [6, 7, 8]]
    assert backtest.targets.tolist() == [[7], [8], [9]]


def test_mase_is_the_absolute_error_by_that_of_repeating_the_last_sample_in_training():
    samples = np.array([0.0, 2, 4, 6, 0, 0, 9])  # training changes by 2 a step
    observed = make_observed(samples, num_train=4, num_validation=2)
    backtest = observed.backtest("validation", context=4, horizon=2, **ANY)

    errors = measure_errors(np.array([[1.0, -3.0]]), backtest, [2])

    assert errors["one_step_mse"].tolist() == [1]
    assert errors["mse_2"].tolist() == [5]
    assert errors["one_step_mase"].tolist() == [0.5]
    assert errors["mase_2"].tolist() == [1]  # (1 + 3) / 2 / 2


def test_a_forecaster_of_standardised_samples_takes_and_gives_the_units_of_the_file():
    seen = []

    def hold(history, horizon):
        seen.append(history)
        return history[:, -1:].repeat(horizon, axis=1)

    series = make_observed([8, 12, 8, 12, 0, 0], num_train=4, num_validation=1)  # 10 ± 2
    forecast = series.restore_units(hold)

    assert forecast(np.array([[8.0, 14.0]]), 2).tolist() == [[14, 14]]
    assert seen[0].tolist() == [[-1, 2]]


def test_errors_are_read_as_they_were_written(tmp_path):
    errors = {
        "ar2": {"one_step_mse": np.array([0.1, 1e-300]), "mse_49": np.array([1 / 3, 2.0])},
        "ridge": {"one_step_mse": np.array([0.3, 0.0]), "mse_49": np.array([5.0, 6.0])},
    }

    write_errors(tmp_path / "errors.csv", errors)

    read = read_errors(tmp_path / "errors.csv")
    assert list(read) == ["ar2", "ridge"]
    for name, scores in errors.items():
        for score, values in scores.items():
            assert read[name][score].tolist() == values.tolist()
