import subprocess

import numpy as np
import pytest

from benchmarks import real_series
from benchmarks.real_series import (
    GOALS,
    Entry,
    draw_test,
    forecast_with_autoregression,
    forecast_with_champion,
    join_validation,
    make_environment,
    make_series,
    measure_mase,
    summarise,
    summarise_intervals,
)
from stages.shared.errors import InputError

ENTRY = Entry(season=4, window=8, horizon=4)
SAMPLES = np.tile([0.0, 1.0, 2.0, 1.0], 25)  # it changes by 1 from each sample to the next


def test_every_origin_of_the_last_fifth_is_forecast():
    test = draw_test(make_series("made", SAMPLES, ENTRY))

    assert test.targets.shape == (17, 4)  # the last 20 samples
    assert test.targets[0].tolist() == SAMPLES[80:84].tolist()
    assert test.contexts[0].tolist() == SAMPLES[72:80].tolist()


def test_a_sample_that_is_missing_is_an_error():
    with pytest.raises(InputError, match=r"made has no number at \[99\] of 100 samples"):
        make_series("made", np.append(SAMPLES[:-1], np.nan), ENTRY)


def test_mase_is_the_error_in_steps_of_the_training_part():
    test = draw_test(make_series("made", SAMPLES, ENTRY))

    assert measure_mase(test.targets, test) == 0
    assert measure_mase(test.targets - 0.5, test) == pytest.approx(0.5)


@pytest.mark.parametrize("spoil", [lambda of: of[1:], lambda of: of * np.nan])
def test_a_forecast_that_is_missing_is_an_error(spoil):
    test = draw_test(make_series("made", SAMPLES, ENTRY))

    with pytest.raises(InputError, match=r"have to be \(17, 4\) finite numbers"):
        measure_mase(spoil(test.targets), test)


def test_the_champion_is_fitted_again_before_the_test_and_as_good_as_the_series_allows():
    noise = 0.3 * np.random.default_rng(0).standard_normal(100)
    series = make_series("made", 10 * SAMPLES + noise, ENTRY)
    test = draw_test(series)

    name, forecasts, coverage = forecast_with_champion(series)

    assert name not in ("predict_zero", "hold_last")
    assert 0 <= coverage <= 1
    assert measure_mase(forecasts, test) < 0.1
    assert measure_mase(forecast_with_autoregression(series), test) < 0.1


def test_ratios_are_averaged_geometrically_and_the_worst_is_named():
    ratios = [
        {"AR(p)": 0.5, "AutoETS": 0.5, "AutoTheta": 1.0, "AutoARIMA": 1.0},
        {"AR(p)": 1.4, "AutoETS": 2.0, "AutoTheta": 0.8, "AutoARIMA": 1.0},
    ]

    rows = summarise(ratios)

    assert rows[1].ours == "1.000, geometric mean of 2 series"  # of 1/2 and 2
    assert rows[1].quality == "worst 2.00"
    assert [goal.is_met for row in rows for goal in row.goals] == [False, False, True, True]
    assert [goal.bound for goal in rows[0].goals] == [1.3]
    assert {*GOALS} < {*ratios[0]}


def test_what_a_model_is_fitted_to_again_ends_where_the_test_begins():
    series = make_series("made", SAMPLES, ENTRY)

    longer = join_validation(series)

    assert longer.num_train == series.find_origin("test")
    assert longer.transform.describe() == series.transform.describe()


def test_intervals_are_summarised_by_their_mean_and_by_how_many_are_near():
    row = summarise_intervals([0.8, 0.85, 0.5, 0.75])

    assert row.ours == "mean coverage 72%"
    assert row.quality == "70 to 90 % on 3 of 4 series"
    assert [goal.is_met for goal in row.goals] == [True, True, False]


@pytest.mark.slow
def test_an_environment_whose_installation_failed_is_not_used(tmp_path, monkeypatch):
    requirements = tmp_path / "libraries.txt"
    requirements.write_text("./missing", encoding="utf-8")
    monkeypatch.setattr(real_series, "LIBRARIES", tmp_path / "libraries")
    monkeypatch.setattr(real_series, "REQUIREMENTS", requirements)

    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError):
            make_environment()
