"""Series as people bring them, from samples to what `srn forecast` says of the best baseline."""

import numpy as np
import pytest

from stages.cli.forecast import history_problem
from stages.forecasting.assessment import ForecastingEvaluationParams
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.score_baselines import ForecastingBaselineParams, score_baselines
from tests.forecasting.entries import OFFICIAL, split_file

ENTRY = {"window": 14, "horizons": [1, 5], "season": 7, "test_share": 0.2, "transform": "auto"}


def score(samples, **changes):
    """The best baseline of a series, and the series."""
    series = split_file(np.asarray(samples, dtype=np.float64), **{**ENTRY, **changes})
    params = ForecastingBaselineParams.model_validate(OFFICIAL["forecasting_baselines"])
    evaluation = ForecastingEvaluationParams.model_validate(OFFICIAL["evaluate_forecasters"])
    return score_baselines(series, params, evaluation.adapt(series)), series


def make_trend(length=120):
    noise = np.random.default_rng(0).normal(0, 4, length)
    days = np.arange(length)
    return 100 + 3 * days + 10 * np.sin(2 * np.pi * days / 7) + noise


def test_a_forecast_of_a_growing_file_from_its_end_is_not_rejected():
    samples = make_trend()

    scored, series = score(samples)

    assert series.transform.differences
    assert history_problem(samples, None, scored.forecast_info) is None
    assert "is not what" in history_problem(samples[::-1] ** 3, None, scored.forecast_info)
    forecast = wrap_model(scored.model)(samples[None], 5)[0]
    assert (forecast > samples[-14:].mean()).all()
    assert scored.forecast_info["naive"]["verdict"] == "ahead"


def test_no_model_is_ahead_of_the_last_value_of_a_random_walk_and_this_is_recorded():
    walk = 50 + np.random.default_rng(3).normal(size=400).cumsum()

    scored, _ = score(walk, season=1)

    assert scored.forecast_info["naive"] == {
        "baseline": "hold_last",
        "verdict": "within the noise",
    }


def test_a_series_that_hardly_ever_changes_is_forecast_by_its_last_value():
    samples = np.full(120, 5.0)
    samples[100] = 6.0

    scored, _ = score(samples)

    assert wrap_model(scored.model)(samples[None], 5).tolist() == [[5.0] * 5]
    assert scored.forecast_info["naive"]["verdict"] == "within the noise"


def test_counts_are_forecast_above_their_floor():
    counts = np.random.default_rng(0).poisson(0.4, 120).astype(float)

    scored, series = score(counts, floor=0.0)

    origins = series.backtest("test", context=60, horizon=5, phases=1, seed=0).histories
    assert (wrap_model(scored.model)(origins, 5) >= 0).all()
    assert scored.forecast_info["transform"]["floor"] == 0


def test_three_years_of_months_get_five_months_ahead_from_few_origins(capsys):
    scored, _ = score(make_trend(36), season=12)

    assert "3 origins for a horizon of 5: scores have wide intervals" in capsys.readouterr().out
    assert scored.scores["hold_last"]["origins"] == 3  # which stands beside the score


def test_five_years_of_months_get_a_year_ahead():
    scored, _ = score(make_trend(60), window=13, season=12, horizons=[12], test_share=0.25)

    assert np.isfinite(scored.scores[scored.best]["mase_12"])


@pytest.mark.parametrize("odd", [1e5, -999.0])
def test_baselines_are_scored_despite_an_outlier(odd):
    samples = make_trend()
    samples[70] = odd

    scored, _ = score(samples)

    assert np.isfinite(scored.scores[scored.best]["mase_5"])
