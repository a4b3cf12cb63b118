import numpy as np
import pytest
import torch

from stages.models.global_forecaster import GlobalForecaster

TIMES = torch.arange(61, dtype=torch.float64)
SEASON = torch.tensor([1.3, 0.8, 0.9, 1.0], dtype=torch.float64)
POSITIVE = 100 * 1.01**TIMES * SEASON[(TIMES % 4).long()]


def make_model(season=4, seed=0):
    torch.manual_seed(seed)
    sizes = {"hidden": 5, "window": 8, "horizon": 6, "patch": 3, "stride": 2, "level": 2}
    model = GlobalForecaster("gru", season=season, **sizes)
    for parameter in (*model.head.parameters(), *model.skip.parameters()):
        torch.nn.init.normal_(parameter, std=0.1)  # it would repeat the level
    return model.eval()


def test_an_untrained_network_repeats_the_level_with_the_season():
    torch.manual_seed(0)
    model = GlobalForecaster("gru", hidden=5, window=8, horizon=6, season=4)
    history = POSITIVE[None] / 1.01**TIMES

    forecast = model.forecast(history, 9)

    following = 100 * SEASON[(torch.arange(61, 70) % 4)]
    torch.testing.assert_close(forecast, following[None], rtol=0.01, atol=0)


@pytest.mark.parametrize("sign", [1, -1])
@torch.inference_mode()
def test_forecasts_are_in_the_units_of_the_series(sign):
    model = make_model()
    history = torch.stack([POSITIVE, POSITIVE.flip(0)]) * sign

    forecast = model.forecast(history, 15)  # block by block

    torch.testing.assert_close(model.forecast(history * 1000, 15), forecast * 1000)
    torch.testing.assert_close(model.forecast(history[1:], 15), forecast[1:])
    torch.testing.assert_close(model.forecast(history, 4), forecast[:, :4])


@torch.inference_mode()
def test_a_longer_forecast_is_continued_from_the_forecast_before():
    model = make_model(season=1)
    normalised = model.normalise(POSITIVE[None])
    first, _ = model(normalised.samples[:, -8:], normalised.scale)
    window = torch.cat([normalised.samples, first], dim=1)[:, -8:]
    second, _ = model(window, normalised.scale)

    forecast = model.forecast(POSITIVE[None], 12)

    torch.testing.assert_close(forecast, torch.cat([first, second], dim=1).exp())


@torch.inference_mode()
def test_any_series_has_a_forecast():
    model = make_model()
    generator = np.random.default_rng(0)
    sparse = torch.from_numpy(generator.poisson(0.2, 61).astype(np.float64))
    rows = [torch.full((61,), 7.0), torch.zeros(61), sparse, POSITIVE - 120, 1e9 * POSITIVE]
    histories = torch.stack([row.double() for row in rows])

    for length in (1, 2, 3, 9, 10, 61):
        forecast = model.forecast(histories[:, :length], 20)
        assert forecast.shape == (5, 20) and forecast.dtype == torch.float64
        assert forecast.isfinite().all()
        torch.testing.assert_close(forecast[0], torch.full((20,), 7.0, dtype=torch.float64))
        assert not forecast[1].any()


def test_the_season_is_taken_out_where_there_is_one():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(61, generator=generator, dtype=torch.float64)
    histories = torch.stack([POSITIVE, (0.1 * noise).exp(), noise])

    normalised = make_model().normalise(histories)

    wanted = SEASON.log() - SEASON.log().mean()
    torch.testing.assert_close(normalised.seasons[0], wanted, rtol=0, atol=0.01)
    assert normalised.seasons[1:].abs().mean() < 0.02
    assert normalised.is_log.flatten().tolist() == [True, True, False]
    growth = normalised.samples[0].diff()  # of logarithms without their season
    torch.testing.assert_close(growth, torch.full_like(growth, np.log(1.01)), rtol=0, atol=0.02)


def test_a_noisy_season_is_shrunk():
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(200, 60, generator=generator, dtype=torch.float64)
    season = 0.2 * torch.tensor([1.0, 0.0, -1.0, 0.0, 1.0, 0.0, -1.0, 0.0, 1.0, -1.0, 1.0, -1.0])
    samples = noise + season.double().repeat(5)
    model = make_model(season=12)

    indices = model.normalise(samples.exp()).seasons
    found = indices[indices.any(dim=1)]

    assert len(found) > 190
    slope = (found @ season.double()) / season.double().square().sum()
    assert 0.75 < slope.mean() < 0.95


def test_a_season_may_be_odd():
    week = torch.tensor([5.0, 5.0, 5.0, 5.0, 6.0, 9.0, 8.0], dtype=torch.float64)

    seasons = make_model(season=7).normalise(week.repeat(8)[None]).seasons

    wanted = week.log() - week.log().mean()
    torch.testing.assert_close(seasons, wanted[None])


def test_a_size_that_is_wrong_is_an_error():
    with pytest.raises(ValueError, match=r"patch \(9\) and level \(1\): at most window \(8\)"):
        GlobalForecaster("gru", hidden=4, window=8, horizon=2, patch=9)
    with pytest.raises(ValueError, match=r"stride \(0\) and level \(1\) must be at least 1"):
        GlobalForecaster("gru", hidden=4, window=8, horizon=2, stride=0)
