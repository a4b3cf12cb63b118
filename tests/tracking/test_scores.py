"""The names of scores."""

from stages.tracking.leaderboards import list_labels, list_metrics, list_scores, shorten

METRICS = {
    "data": "half_periods",
    "one_step_mse": 0.1,
    "validation": {"one_step_mse": 0.2},
    "intervals": {"one_step_mse": {"low": 0.05, "high": 0.15}},
}


def test_a_score_is_named_by_its_path():
    assert list_scores(METRICS) == {"one_step_mse": 0.1, "validation/one_step_mse": 0.2}


def test_each_score_has_one_name_in_mlflow():
    scores = {
        "data": "sunspots",
        "horizon_short": 5,
        "horizon_long": 11,
        "one_step_mse": 0.1,
        "mse_5": 0.2,
        "mse_11": 0.3,
        "mse_22": 0.4,
        "mase_5": 0.5,
        "mase_11": 0.6,
        "validation": {"one_step_mse": 0.9, "mse_5": 0.7, "mse_11": 0.8, "mase_11": 0.9},
        "intervals": {"mse_22": {"low": 0.3, "high": 0.5}, "mase_5": {"low": 0.4, "high": 0.6}},
        "walkthrough_mse": 1.0,
        "origins": 67,
    }

    assert list_metrics(scores) == {
        "details/horizon_short": 5,
        "details/horizon_long": 11,
        "details/origins": 67,
        "test/one_step_mse": 0.1,
        "test/mse_short": 0.2,
        "test/mse_long": 0.3,
        "test/mse_22": 0.4,
        "test/mase_5": 0.5,
        "test/mase": 0.6,
        "test/walkthrough_mse": 1.0,
        "validation/one_step_mse": 0.9,
        "validation/mse_short": 0.7,
        "validation/mse_long": 0.8,
        "validation/mase": 0.9,
    }


def test_the_data_are_a_label_and_no_score():
    assert list_labels(METRICS) == {"data": "half_periods"}


def test_a_ratio_of_errors_is_given_by_its_logarithm_too():
    assert shorten({"test/ratio_to_baseline": 0.0123456, "test/mse_500": 1.23456e-20}) == {
        "test/ratio_to_baseline": 0.01235,
        "test/log10_ratio_to_baseline": -1.908,
        "test/mse_500": 1.235e-20,
    }


def test_an_error_by_which_a_search_decides_is_given_by_its_logarithm_too():
    assert shorten({"validation/mse_500": 0.01, "validation/mse_49": 0.01}, "mse_500") == {
        "validation/mse_500": 0.01,
        "validation/log10_mse_500": -2.0,
        "validation/mse_49": 0.01,
    }


def test_an_error_of_zero_has_no_logarithm():
    assert shorten({"mse_500": 0.0}, "mse_500") == {"mse_500": 0.0}
