import numpy as np
import pytest

from stages.cli.__main__ import _make_parser
from stages.forecasting.assessment import LEVELS, fit_prediction_intervals


def test_an_interval_is_the_quantile_of_the_absolute_errors_of_each_step():
    errors = np.array([1.0, -2, 3, -4, 5, -6, 7, -8, 9])[:, None] * [1, 10]

    fitted = fit_prediction_intervals(errors, errors[:4], is_rolling=False)

    assert fitted[80].half_width.tolist() == [8, 80]  # the eighth of 9 + 1
    assert fitted[50].half_width.tolist() == [5, 50]
    assert fitted[99].half_width.tolist() == [9, 90]
    assert fitted[80].coverage.tolist() == [1, 1, 1, 1]


def test_coverage_counts_as_many_steps_as_validation_has():
    validation = np.full((9, 2), 1.0)
    test = np.array([[0.5, 5.0, 99.0], [0.5, 0.5, 99.0]])

    fitted = fit_prediction_intervals(validation, test, is_rolling=False)

    assert fitted[80].coverage.tolist() == [0.5, 1]


def test_a_forecast_is_given_only_errors_whose_targets_lie_before_it():
    generator = np.random.default_rng(0)
    validation, test = generator.normal(size=(20, 3)), generator.normal(size=(15, 3))
    changed = test.copy()
    for origin, step in np.ndindex(test.shape):
        if origin + step >= 8:  # at the eighth origin, the targets from there on
            changed[origin, step] *= 100

    first = fit_prediction_intervals(validation, test, is_rolling=True)
    second = fit_prediction_intervals(validation, changed, is_rolling=True)

    for level in LEVELS:
        np.testing.assert_array_equal(first[level].of_test[:9], second[level].of_test[:9])
    assert (first[80].of_test[10] != second[80].of_test[10]).any()
    assert (second[80].half_width > first[80].half_width).all()


def test_intervals_adapt_to_their_nominal_coverage():
    generator = np.random.default_rng(0)
    validation = generator.normal(size=(50, 2))
    test = generator.normal(size=(600, 2)) * np.linspace(1, 20, 600)[:, None]  # ever worse

    rolling = fit_prediction_intervals(validation, test, is_rolling=True)
    fixed = fit_prediction_intervals(validation, test, is_rolling=False)

    assert fixed[80].coverage.mean() < 0.4
    for level in (50, 80, 90):
        assert rolling[level].coverage.mean() == pytest.approx(level / 100, abs=0.05)


def test_a_higher_level_is_never_narrower():
    generator = np.random.default_rng(1)

    fitted = fit_prediction_intervals(
        generator.normal(size=(12, 4)), generator.normal(size=(30, 4)), is_rolling=True
    )

    widths = np.array([fitted[level].half_width for level in LEVELS])
    assert (np.diff(widths, axis=0) >= 0).all()


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_can_be_requested(level):
    call = _make_parser().parse_args(["forecast", "a.csv", "--level", str(level)])

    assert call.levels == [level]
