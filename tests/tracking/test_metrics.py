"""The names of scores."""

from stages.tracking.metrics import list_labels, list_scores, shorten

METRICS = {
    "data": "half_periods",
    "one_step_mse": 0.1,
    "validation": {"one_step_mse": 0.2},
    "intervals": {"one_step_mse": {"low": 0.05, "high": 0.15}},
}


def test_a_score_is_named_by_its_path():
    assert list_scores(METRICS) == {"one_step_mse": 0.1, "validation/one_step_mse": 0.2}


def test_the_data_are_a_label_and_no_score():
    assert list_labels(METRICS) == {"data": "half_periods"}


def test_errors_that_charts_would_show_as_zero_are_given_by_their_logarithm_too():
    assert shorten({"validation/free_run_mse_500": 1.23456e-20, "accuracy": 0.846025}) == {
        "validation/free_run_mse_500": 1.235e-20,
        "validation/log10_free_run_mse_500": -19.908,
        "accuracy": 0.846,
    }


def test_an_error_of_zero_has_no_logarithm():
    assert shorten({"one_step_mse": 0.0}) == {"one_step_mse": 0.0}
