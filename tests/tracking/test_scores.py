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


def test_each_score_has_one_name_in_mlflow_that_of_metrics_json_where_it_is_there():
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
        "validation": {"mse_5": 0.7, "mse_11": 0.8, "mase_11": 0.9},
    }

    assert list_metrics(scores) == {
        "horizon_short": 5,
        "horizon_long": 11,
        "one_step_mse": 0.1,
        "mse_short": 0.2,
        "mse_long": 0.3,
        "mse_22": 0.4,
        "mase_5": 0.5,
        "mase": 0.6,
        "validation/mse_short": 0.7,
        "validation/mse_long": 0.8,
        "validation/mase": 0.9,
    }


def test_the_data_are_a_label_and_no_score():
    assert list_labels(METRICS) == {"data": "half_periods"}


def test_errors_that_charts_would_show_as_zero_are_given_by_their_logarithm_too():
    assert shorten({"validation/mse_500": 1.23456e-20, "accuracy": 0.846025}) == {
        "validation/mse_500": 1.235e-20,
        "validation/log10_mse_500": -19.908,
        "accuracy": 0.846,
    }


def test_a_ratio_of_errors_is_given_by_its_logarithm_too():
    assert shorten({"ratio_to_baseline": 0.01}) == {
        "ratio_to_baseline": 0.01,
        "log10_ratio_to_baseline": -2.0,
    }


def test_an_error_of_zero_has_no_logarithm():
    assert shorten({"one_step_mse": 0.0}) == {"one_step_mse": 0.0}
