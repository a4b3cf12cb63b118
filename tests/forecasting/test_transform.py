import numpy as np
import pytest
import torch

from stages.forecasting.baselines import make_linear
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.observed import CsvSeries
from stages.forecasting.preprocess import split_series
from stages.forecasting.transform import TransformParams, fit_transform
from stages.shared.errors import InputError
from tests.forecasting.entries import params_of_file, split_file

TRENDED = np.array([1.0, 2.0, 4.0, 7.0, 11.0, 16.0])  # steps of 1, 2, 3, 4, 5


def fit(samples, floor=None, **params):
    return fit_transform(np.asarray(samples), TransformParams(**params), floor)


def test_differences_are_taken_one_after_the_other_and_standardised():
    steps = fit(TRENDED, difference=[1])
    steps_of_steps = fit([*TRENDED, 100.0], difference=[1, 1]).apply(TRENDED)

    assert (steps.mean, steps.num_lost) == (3, 1)
    assert steps.apply(TRENDED)[2] == 0  # its third step is the mean
    assert np.ptp(steps_of_steps) == 0  # 1 each


def test_a_forecast_continues_from_the_last_samples():
    history = TRENDED[None]
    no_change = make_linear([[0.0]])  # the mean of the transformed training part

    def forecast(**params):
        return wrap_model(fit(TRENDED, **params).undo(no_change))(history, 3)[0]

    assert forecast(difference=[1]).tolist() == [19, 22, 25]  # 3 more each
    by_two = forecast(difference=[2])  # 3, 5, 7, 9 on average 6 more than two before
    assert by_two.tolist() == [17, 22, 23]
    np.testing.assert_allclose(
        forecast(log=True, difference=[1]), 16 * 16 ** np.array([0.2, 0.4, 0.6])
    )  # five steps from 1 to 16


@pytest.mark.parametrize("params", [{}, {"log": True}, {"difference": [1, 3]}])
@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_a_perfect_forecaster_stays_perfect_after_any_transform(params, horizon):
    samples = np.random.default_rng(0).uniform(1, 2, 30).cumsum()
    history, future = samples[:20], samples[20:][:horizon]
    transform = fit(history, **params)

    class Known(torch.nn.Module):
        def forecast(self, given, steps):
            assert given.shape == (1, 20 - transform.num_lost)
            return torch.tensor(transform.apply(samples))[None, given.shape[1] :][:, :steps]

    forecast = wrap_model(transform.undo(Known()))(history[None], horizon)

    np.testing.assert_allclose(forecast, future[None])


def test_no_forecast_goes_below_the_floor():
    falling = fit([9.0, 7.0, 6.0, 3.0], floor=0.0, difference=[1])  # 2 less each

    forecast = wrap_model(falling.undo(make_linear([[0.0]])))(np.array([[9.0, 3.0]]), 3)

    assert forecast.tolist() == [[1, 0, 0]]


def test_what_has_no_logarithm_or_no_difference_is_an_error_with_the_numbers():
    logarithm = fit([1.0, 2.0], log=True)
    step = fit(TRENDED, difference=[1, 2])

    with pytest.raises(InputError, match="has -3, which has no logarithm"):
        logarithm.apply(np.array([1.0, -3.0]))
    with pytest.raises(InputError, match=r"more than 3 samples, .* not 3"):
        step.apply(TRENDED[:3])


def test_a_straight_line_is_continued():
    line = np.arange(9.0)

    forecast = wrap_model(fit(line, difference=[1]).undo(make_linear([[0.0]])))(line[None], 3)

    assert forecast.tolist() == [[9, 10, 11]]


def test_auto_takes_a_logarithm_and_the_season_of_a_series_that_grows_with_it():
    months = np.arange(120)
    noise = np.random.default_rng(0).normal(0, 0.01, 120)
    air = np.exp(0.02 * months + 0.3 * np.sin(months * np.pi / 6) + noise)

    chosen = split_file(air, window=24, horizons=[6], season=12, transform="auto").transform

    assert chosen.log
    assert 12 in chosen.differences


def test_auto_leaves_a_stationary_series_unchanged():
    generator = np.random.default_rng(0)
    samples = np.zeros(400)
    for t in range(2, 400):
        samples[t] = 1.6 * samples[t - 1] - 0.8 * samples[t - 2] + generator.normal()

    chosen = split_file(samples, window=12, horizons=[8], season=1, transform="auto").transform

    assert chosen.describe() == "none"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("none", TransformParams()),
        ("log", TransformParams(log=True)),
        ({"difference": [1, 12]}, TransformParams(difference=[1, 12])),
        ("auto", None),
    ],
)
def test_a_transform_is_named_or_spelled_out(given, meant):
    assert params_of_file(transform=given).transform == meant


def test_a_transform_that_a_file_does_not_allow_names_file_and_entry():
    params = params_of_file(transform="log")
    samples = np.append(np.arange(1.0, 40.0), 0.0)

    with pytest.raises(InputError, match=r"data/series/a.csv: 0 has .* observed_series.mine.trans"):
        split_series("mine", params, CsvSeries(samples, np.arange(40.0)))
