"""The band holds the middle errors of validation, and the scope says what was trained on."""

import numpy as np

from stages.forecasting.free_runs import FreeRuns
from stages.forecasting.observed import ObservedParams
from stages.forecasting.preprocess import pair_observed, pair_series
from stages.forecasting.scope import cover, describe_scope, find_band
from stages.forecasting.series import ObservedSeries
from stages.forecasting.signals import GeneratedParams, draw_segments
from tests.forecasting.entries import FILE, SINE


def make_runs(truths):
    return FreeRuns(np.zeros((len(truths), 1)), truths)


def test_four_fifths_of_the_errors_lie_in_the_band_of_their_step():
    truths = np.arange(11.0)[:, None] * [1, 10]
    band = find_band(np.zeros((11, 2)), make_runs(truths))

    assert band.tolist() == [[1, 10], [9, 90]]
    np.testing.assert_allclose(cover(band, np.zeros((11, 2)), make_runs(truths)).mean(), 9 / 11)


def test_the_share_of_an_origin_counts_steps_as_far_as_the_band_goes():
    band = np.array([[-1.0, -1.0], [1.0, 1.0]])
    runs = make_runs(np.array([[0.0, 5.0, 99.0], [0.0, 0.5, 99.0]]))

    assert cover(band, np.zeros((2, 3)), runs).tolist() == [0.5, 1]


def test_the_scope_of_a_file_is_that_of_its_training_part_in_its_units():
    samples = np.array([10.0, 12, 11, 13, 12, 99, 98, 97, 96, 95])
    observed = ObservedSeries(samples, 1700 + 2 * np.arange(10.0), num_train=5, num_validation=2)
    windows = pair_observed(observed, window=3)
    params = ObservedParams.model_validate(FILE | {"time": "t"})

    scope = describe_scope("mine", params, windows, 40, np.zeros((2, 3)), 0.75)

    assert (scope.series, scope.lowest, scope.highest) == ("mine", 10, 13)
    assert (scope.spacing, scope.least_history, scope.coverage) == (2, 40, 0.75)
    assert scope.band == {"low": [0, 0, 0], "high": [0, 0, 0]}


def test_a_file_without_times_has_no_spacing():
    observed = ObservedSeries(np.arange(10.0), np.arange(10.0), num_train=5, num_validation=2)
    windows = pair_observed(observed, window=3)
    params = ObservedParams.model_validate(FILE)

    assert describe_scope("mine", params, windows, 40, np.zeros((2, 3)), 1.0).spacing is None


def test_a_generated_series_has_its_step_and_range():
    series = GeneratedParams.model_validate(SINE | {"step": 1.5})
    windows = pair_series(*draw_segments(series))

    scope = describe_scope("forecasting", series, windows, 40, np.zeros((2, 3)), 1.0)

    assert (scope.spacing, scope.lowest, scope.highest) == (1.5, -1, 1)
