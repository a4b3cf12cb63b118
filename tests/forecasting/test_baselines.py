import numpy as np
import pytest

from stages.forecasting.baselines import copy_period, fit_autoregression, fit_direct, hold_last


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


def test_a_direct_forecast_is_exact_on_a_clean_sine_over_many_blocks():
    times = np.arange(200) * 0.3
    samples = np.sin(times)[None]

    forecast = fit_direct(samples[:, :100], context=6, block=4, penalty=0.0)(samples[:, :100], 99)

    assert forecast.shape == (1, 99)
    np.testing.assert_allclose(forecast, samples[:, 100:199], atol=1e-9)


def test_a_penalty_pulls_a_direct_forecast_to_the_mean():
    samples = 3 + np.sin(np.arange(60) * 0.5)[None]

    forecast = fit_direct(samples, context=4, block=2, penalty=1e6)(samples, 6)

    np.testing.assert_allclose(forecast, samples.mean(), atol=0.2)


def test_ridge_by_hand():
    # one sample tells the next; x = -1, 1 and y = 2x: w = Σxy / (Σx² + N·penalty) = 4 / (2 + 2)
    samples = np.array([[-1.0, -2.0], [1.0, 2.0]])

    forecast = fit_direct(samples, context=1, block=1, penalty=1.0)(np.array([[3.0]]), 2)

    assert forecast.tolist() == [[pytest.approx(3.0), pytest.approx(3.0)]]
