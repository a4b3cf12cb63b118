"""The scores of forecasters that people compare."""

from stages.forecasting.metrics import choose_forecaster_metrics

GENERATED = {
    "data": "waves",
    "horizon_short": 49,
    "horizon_long": 500,
    "walkthrough_mse": 0.5,
    "walkthrough_mse_all_starts": 0.6,
    "one_step_mse": 0.1,
    "mse_49": 0.2,
    "mse_500": 0.3,
    "mse_5000": 0.4,
    "ratio_to_baseline": 2.0,
    "intervals": {"mse_49": {"low": 0.1, "high": 0.3}},
    "validation": {"mse_49": 0.7, "mse_500": 0.8, "ratio_to_baseline": 3.0},
}
OF_A_FILE = {
    "data": "sunspots",
    "horizon_short": 5,
    "horizon_long": 11,
    "mse_5": 0.2,
    "mse_11": 0.3,
    "mase_5": 0.8,
    "mase_11": 0.9,
    "ratio_to_baseline": 2.0,
}


def test_a_generated_series_has_the_error_of_its_walk_through():
    assert choose_forecaster_metrics(GENERATED) == {
        "mse_short": 0.2,
        "mse_long": 0.3,
        "ratio_to_baseline": 2.0,
        "walkthrough_mse": 0.5,
    }


def test_a_series_from_a_file_has_its_scaled_error():
    assert choose_forecaster_metrics(OF_A_FILE) == {
        "mse_short": 0.2,
        "mse_long": 0.3,
        "ratio_to_baseline": 2.0,
        "mase": 0.9,
    }
