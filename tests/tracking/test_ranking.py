"""What decides which model is best."""

import pytest

from stages.shared.errors import InputError
from stages.tracking.ranking import Ranking, compare_errors, find_ranking


def test_forecasters_are_compared_by_the_longest_free_run_of_their_validation():
    validation = {"one_step_mse": 0.1, "free_run_mse_5": 0.2, "free_run_mse_11": 0.3}
    scores = {"data": "sunspots", "free_run_mse_22": 0.4, "validation": validation}

    ranking = find_ranking("sine", scores)

    assert ranking == Ranking("validation/free_run_mse_11", "free_run_mse_11", -1)


def test_surnames_are_compared_by_macro_f1():
    assert find_ranking("surnames", {}) == Ranking("validation/macro_f1", "macro_f1", 1)


def test_a_model_without_free_runs_cannot_be_compared():
    with pytest.raises(InputError, match="a model of sunspots has no free run on validation"):
        find_ranking("sine", {"data": "sunspots", "validation": {"one_step_mse": 0.1}})


def score(validation, test):
    return {
        "data": "sunspots",
        "free_run_mse_11": test,
        "validation": {"free_run_mse_11": validation},
    }


BASELINES = {"hold_last": score(9.0, 1.0), "ridge": score(2.0, 4.0)}  # ridge: best on validation


@pytest.mark.parametrize(
    ("metrics", "validation", "test"),
    [
        (score(0.2, 40.0), -1.0, 1.0),
        (BASELINES["ridge"], 0.0, 0.0),
        (BASELINES["hold_last"], 0.653, -0.602),
    ],
)
def test_errors_are_compared_with_those_of_the_baseline_that_validation_prefers(
    metrics, validation, test
):
    compared = compare_errors(metrics, BASELINES)

    assert compared == {"validation/log10_vs_baseline": validation, "log10_vs_baseline": test}


def test_an_error_of_zero_has_no_order_of_magnitude():
    assert compare_errors(score(0.2, 0.0), BASELINES) == {"validation/log10_vs_baseline": -1.0}


def test_a_horizon_that_the_test_lacks_is_not_compared():
    metrics = {"data": "sunspots", "validation": {"free_run_mse_11": 0.2}}

    assert compare_errors(metrics, BASELINES) == {"validation/log10_vs_baseline": -1.0}


def test_without_baselines_nothing_is_compared():
    assert compare_errors(score(0.2, 0.4), {}) == {}
