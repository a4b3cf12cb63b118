import numpy as np
import pytest

from stages.sine.baselines import copy_period, fit_autoregression, hold_last


def test_baselines_by_hand():
    history = np.array([[0.0, 1.0, 2.0, 3.0]])

    assert hold_last(history, 3).tolist() == [[3, 3, 3]]
    assert copy_period(history, 5, lag=3).tolist() == [[1, 2, 3, 1, 2]]


def test_two_coefficients_are_exact_on_a_clean_sine():
    times = np.arange(60) * 0.3
    samples = np.sin(times)[None]

    forecast = fit_autoregression(samples[:, :30], 2)(samples[:, :30], 30)

    np.testing.assert_allclose(forecast, samples[:, 30:], atol=1e-9)


def test_autoregression_finds_the_coefficients_that_made_a_series():
    samples = [1.0, 0.5]
    for _ in range(50):
        samples.append(0.9 * samples[-1] - 0.5 * samples[-2])
    made = np.array([samples])

    following = fit_autoregression(made, 2)(np.array([[1.0, 2.0]]), 1)

    assert following[0, 0] == pytest.approx(0.9 * 2 - 0.5 * 1)
