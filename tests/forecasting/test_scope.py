"""The interval holds the middle errors of validation, and the scope says what was trained on."""

import numpy as np

from stages.forecasting.scope import describe_scope, fit_prediction_interval, measure_coverage
from stages.forecasting.series import Backtest
from stages.forecasting.signals import GeneratedParams
from tests.forecasting.entries import SINE, make_generated, make_observed


def make_backtest(targets):
    return Backtest(np.zeros((len(targets), 1)), targets)


def test_four_fifths_of_the_errors_lie_in_the_interval_of_their_step():
    targets = np.arange(11.0)[:, None] * [1, 10]
    interval = fit_prediction_interval(np.zeros((11, 2)), make_backtest(targets))

    assert interval.tolist() == [[1, 10], [9, 90]]
    np.testing.assert_allclose(
        measure_coverage(interval, np.zeros((11, 2)), make_backtest(targets)).mean(), 9 / 11
    )


def test_the_share_of_an_origin_counts_steps_as_far_as_the_interval_goes():
    interval = np.array([[-1.0, -1.0], [1.0, 1.0]])
    backtest = make_backtest(np.array([[0.0, 5.0, 99.0], [0.0, 0.5, 99.0]]))

    assert measure_coverage(interval, np.zeros((2, 3)), backtest).tolist() == [0.5, 1]


def test_the_scope_of_a_file_is_that_of_its_training_part_in_its_units():
    samples = [10, 12, 11, 13, 12, 99, 98, 97, 96, 95]
    times = 1700 + 2 * np.arange(10.0)
    series = make_observed(samples, num_train=5, num_validation=2, times=times, time="t")

    scope = describe_scope(series, 40, np.zeros((2, 3)), 0.75)

    assert (scope.series, scope.lowest, scope.highest) == ("mine", 10, 13)
    assert (scope.spacing, scope.least_history, scope.coverage) == (2, 40, 0.75)
    assert scope.band == {"low": [0, 0, 0], "high": [0, 0, 0]}


def test_a_file_without_times_has_no_spacing():
    series = make_observed(np.arange(10.0), num_train=5, num_validation=2)

    assert describe_scope(series, 40, np.zeros((2, 3)), 1.0).spacing is None


def test_a_generated_series_has_its_step_and_range():
    series = make_generated(GeneratedParams.model_validate(SINE | {"step": 1.5}))

    scope = describe_scope(series, 40, np.zeros((2, 3)), 1.0)

    assert (scope.spacing, scope.lowest, scope.highest) == (1.5, -1, 1)
