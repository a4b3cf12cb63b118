import numpy as np
import pytest
import torch
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.theta import ThetaModel

from stages.forecasting.baselines import (
    fit_autoregression,
    fit_direct,
    fit_ets,
    fit_sinusoid,
    fit_theta,
    make_linear,
)
from stages.forecasting.forecasters import wrap_model


def test_baselines_by_hand():
    history = np.array([[0.0, 1.0, 2.0, 3.0]])

    assert wrap_model(make_linear([[0.0]]))(history, 2).tolist() == [[0, 0]]
    assert wrap_model(make_linear([[1.0]]))(history, 3).tolist() == [[3, 3, 3]]
    assert wrap_model(make_linear(np.eye(3)))(history, 5).tolist() == [[1, 2, 3, 1, 2]]


def test_two_coefficients_are_exact_on_a_clean_sine():
    times = np.arange(60) * 0.3
    samples = np.sin(times)[None]

    forecast = wrap_model(fit_autoregression(samples[:, :30], 2))(samples[:, :30], 30)

    np.testing.assert_allclose(forecast, samples[:, 30:], atol=1e-9)


def test_autoregression_finds_the_coefficients_that_made_a_series():
    samples = [1.0, 0.5]
    for _ in range(50):
        samples.append(0.9 * samples[-1] - 0.5 * samples[-2])
    made = np.array([samples])

    following = wrap_model(fit_autoregression(made, 2))(np.array([[1.0, 2.0]]), 1)

    assert following[0, 0] == pytest.approx(0.9 * 2 - 0.5 * 1)


def test_a_direct_forecast_is_exact_on_a_clean_sine_over_many_blocks():
    times = np.arange(200) * 0.3
    samples = np.sin(times)[None]

    model = fit_direct(samples[:, :100], context=6, block=4, penalty=0.0)
    forecast = wrap_model(model)(samples[:, :100], 99)

    assert forecast.shape == (1, 99)
    np.testing.assert_allclose(forecast, samples[:, 100:199], atol=1e-9)


def test_a_penalty_pulls_a_direct_forecast_to_the_mean():
    samples = 3 + np.sin(np.arange(60) * 0.5)[None]

    forecast = wrap_model(fit_direct(samples, context=4, block=2, penalty=1e6))(samples, 6)

    np.testing.assert_allclose(forecast, samples.mean(), atol=0.2)


def test_ridge_by_hand():
    # one sample tells the next; x = -1, 1 and y = 2x: w = Σxy / (Σx² + N·penalty) = 4 / (2 + 2)
    samples = np.array([[-1.0, -2.0], [1.0, 2.0]])

    model = fit_direct(samples, context=1, block=1, penalty=1.0)
    forecast = wrap_model(model)(np.array([[3.0]]), 2)

    assert forecast.tolist() == [[pytest.approx(3.0), pytest.approx(3.0)]]


PERIOD = 2 * np.pi / 0.3  # samples of make_sine


def make_sine(num_samples, phases, noise=0.0):
    """One row per phase: 2 sin(0.3 t + phase), under noise."""
    angles = 0.3 * np.arange(num_samples) + np.array(phases)[:, None]
    return 2 * np.sin(angles) + noise * np.random.default_rng(0).standard_normal(angles.shape)


@pytest.mark.parametrize("has_fixed_amplitude", [False, True])
@pytest.mark.parametrize("history", [5, 40])
def test_a_sinusoid_is_exact_on_a_clean_sine_of_any_phase(has_fixed_amplitude, history):
    model = fit_sinusoid(make_sine(60, [0.0, 1.0]), 0.98 * PERIOD, has_fixed_amplitude)
    samples = make_sine(2000, np.linspace(0, 6, 13))

    forecast = wrap_model(model)(samples[:, :history], 2000 - history)

    assert model.frequency.item() == pytest.approx(0.3, rel=1e-12)
    assert model.amplitude.item() == pytest.approx(2.0, rel=1e-12)
    np.testing.assert_allclose(forecast, samples[:, history:], atol=1e-8)


def test_a_sinusoid_takes_the_amplitude_of_the_history_or_that_of_training():
    of_history, of_training = (
        wrap_model(fit_sinusoid(make_sine(60, [0.0]), PERIOD, is_fixed)) for is_fixed in (0, 1)
    )
    larger = 3 * make_sine(100, np.linspace(0, 6, 13))

    history = larger[:, :42]  # two periods, so that phase and amplitude are apart
    np.testing.assert_allclose(of_history(history, 58), larger[:, 42:], atol=1e-8)
    np.testing.assert_allclose(of_training(history, 58), larger[:, 42:] / 3, atol=0.02)


def test_noise_averages_out_of_a_sinusoid():
    phases = np.random.default_rng(1).uniform(0, 6.3, 400)
    clean, noisy = make_sine(101, phases), make_sine(101, phases, noise=0.5)
    model, fixed = (fit_sinusoid(noisy, PERIOD, is_fixed) for is_fixed in (False, True))

    errors = {}
    for length in (21, 84):  # one period and four
        for name, forecaster in (("own", model), ("fixed", fixed)):
            forecast = wrap_model(forecaster)(noisy[:, :length], 17)
            errors[name, length] = ((forecast - clean[:, length : length + 17]) ** 2).mean()

    # σ²/K for each number that is fitted to K samples
    assert model.frequency.item() == pytest.approx(0.3, abs=3e-4)
    for length in (21, 84):
        assert errors["own", length] == pytest.approx(2 * 0.5**2 / length, rel=0.15)
        assert errors["fixed", length] == pytest.approx(0.5**2 / length, rel=0.15)


def make_sales(trend, noise=0.3, length=240):
    """A trend and a season of 12, under noise."""
    times = np.arange(length)
    noises = noise * np.random.default_rng(0).standard_normal(length)
    return trend * times + 3 * np.sin(times * np.pi / 6) + noises


@pytest.mark.parametrize("trend", [0.0, 0.1])
def test_ets_forecasts_as_statsmodels_does_with_the_same_parameters(trend):
    samples = make_sales(trend)
    model = fit_ets(samples, 12)

    forecast = wrap_model(model)(samples[None], 24)[0]

    level, trend_state, seasons = model.fit_first_states(torch.from_numpy(samples[None]))
    states = {"initial_level": level.item(), "initial_seasonal": [s.item() for s in seasons]}
    options = {"seasonal": "add", "seasonal_periods": model.season}
    smoothing = dict(zip(("level", "trend", "season", "damping"), model.smoothing, strict=True))
    if model.has_trend:
        is_damped = smoothing["damping"] != 1
        options |= {"trend": "add", "damped_trend": bool(is_damped)}
        states["initial_trend"] = trend_state.item()
        if not is_damped:
            del smoothing["damping"]
    else:
        del smoothing["trend"], smoothing["damping"]
    theirs = ETSModel(samples, initialization_method="known", **options, **states)
    values = [value.item() for value in smoothing.values()]
    np.testing.assert_allclose(forecast, theirs.smooth(values).forecast(24), atol=1e-6)


def test_ets_finds_trend_and_season():
    samples = make_sales(trend=0.1, noise=0.05)

    forecast = wrap_model(fit_ets(samples[:200], 12))(samples[None, :200], 40)[0]

    np.testing.assert_allclose(forecast, samples[200:], atol=0.6)


@pytest.mark.parametrize("season", [1, 12])
def test_theta_forecasts_as_statsmodels_does(season):
    samples = make_sales(trend=0.1)

    forecast = wrap_model(fit_theta(samples, season))(samples[None], 24)[0]

    options = {"deseasonalize": season > 1, "use_test": False, "method": "additive"}
    theirs = ThetaModel(samples, period=season, **options).fit().forecast(24)
    np.testing.assert_allclose(forecast, theirs, atol=0.1)


@pytest.mark.parametrize("length", [24, 29, 36])
def test_a_season_goes_on_at_its_phase_wherever_the_history_begins(length):
    samples = make_sales(trend=0.0, noise=0.0)
    for model in (fit_ets(samples, 12), fit_theta(samples, 12)):
        forecast = wrap_model(model)(samples[None, 200 - length : 200], 12)[0]

        np.testing.assert_allclose(forecast, samples[200:212], atol=1e-2)


def test_a_history_that_is_too_short_is_named():
    for model in (
        make_linear(np.eye(4)),
        fit_ets(make_sales(0.0), 12),
        fit_theta(make_sales(0.0), 12),
        fit_sinusoid(make_sine(60, [0.0]), PERIOD, True),
    ):
        with pytest.raises(ValueError, match=rf"needs {model.shortest_history} samples, not 1"):
            wrap_model(model)(np.zeros((1, 1)), 2)
