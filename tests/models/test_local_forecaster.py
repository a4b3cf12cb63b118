"""Methods that are fitted to each history, and histories without their season."""

import numpy as np
import pytest
import torch
from statsmodels.tsa.forecasting.theta import ThetaModel

from stages.forecasting.baselines import make_linear
from stages.models.local_forecaster import LocalForecaster
from stages.models.seasonal_forecaster import SeasonalForecaster

MONTHS = np.arange(96.0)
SEASON = 1 + 0.3 * np.sin(2 * np.pi * MONTHS / 12)
NOISE = np.random.default_rng(0).normal(0, 1, (3, 96))


def forecast(model, *histories, horizon=12):
    return model.forecast(torch.tensor(np.stack(histories)), horizon).detach().numpy()


def test_theta_with_a_season_is_that_of_statsmodels():
    history = (100 + MONTHS + NOISE[0]) * SEASON

    ours = forecast(SeasonalForecaster([LocalForecaster("theta")], 12), history)

    theirs = ThetaModel(history, period=12, use_test=True, method="multiplicative").fit()
    assert ours[0] == pytest.approx(theirs.forecast(12).to_numpy(), rel=1e-6)


def test_exponential_smoothing_takes_a_trend_where_there_is_one():
    rising, level = 50 + 2 * MONTHS + NOISE[0], 50 + NOISE[1]

    up, flat = forecast(LocalForecaster("ets"), rising, level)

    assert up[-1] == pytest.approx(50 + 2 * 107, abs=4)
    assert flat == pytest.approx(50, abs=1)


@pytest.mark.parametrize("method", ["theta", "ets"])
@pytest.mark.parametrize("history", [[3.0] * 20, [0.0] * 20, [1.0, 2.0, 3.0], [1e9] * 3])
def test_a_history_without_a_change_or_with_few_samples_is_continued_by_its_last(method, history):
    assert (forecast(LocalForecaster(method), history) == history[-1]).all()


def test_the_size_of_a_series_does_not_matter():
    history = 50 + 2 * MONTHS + NOISE[0]

    small, large = forecast(LocalForecaster("ets"), 1e-6 * history, 1e6 * history)

    assert large == pytest.approx(1e12 * small, rel=1e-3)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (100 * SEASON, 100 * SEASON[:12]),  # it multiplies
        (50 * SEASON - 50, 50 * SEASON[:12] - 50),  # about 0, where it has to add
        (100 + 10 * NOISE[0], np.full(12, 100 + 10 * NOISE[0, -1])),  # none is significant
    ],
)
def test_the_last_sample_and_its_season_are_repeated(history, expected):
    naive2 = SeasonalForecaster([make_linear([[1.0]])], 12)

    assert forecast(naive2, history)[0] == pytest.approx(expected, abs=1e-6)


def test_an_odd_season_is_averaged_over_as_many_samples():
    sevens = 20 + 5 * np.tile([0.0, 0, 0, 0, 0, 1, 1], 10)

    again = forecast(SeasonalForecaster([make_linear([[1.0]])], 7), sevens, horizon=7)

    assert again[0] == pytest.approx(sevens[:7])


def test_no_forecast_is_below_the_floor():
    falling = 100 - MONTHS

    free, floored = (
        forecast(SeasonalForecaster([LocalForecaster("ets")], 1, floor), falling, horizon=24)
        for floor in (None, 0.0)
    )

    assert free.min() < -10
    assert floored.min() == 0
