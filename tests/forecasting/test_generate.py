import math

import numpy as np
import pytest

from stages.forecasting.generate import main, write_segments
from stages.forecasting.preprocess import read_segments
from stages.forecasting.signals import (
    FIXED_POINT,
    TICK,
    GeneratedParams,
    draw_segments,
    integrate,
    sample_signal,
)
from stages.shared.errors import InputError
from stages.shared.params import check_params
from stages.shared.yaml_files import format_yaml

SINE = {
    "points": 50,
    "span": 10.0,
    "starts": {"count": 10, "apart": 1.0},
    "period": 2 * math.pi,
}


def series(**changes):
    return GeneratedParams.model_validate({**SINE, **changes})


def test_a_segment_is_the_walk_through_linspace_to_the_last_bit():
    times, values = draw_segments(series())

    assert np.array_equal(times[3], np.linspace(3, 13, 50))
    np.testing.assert_allclose(values[3], np.sin(np.linspace(3, 13, 50)), atol=1e-14)


def test_windows_of_half_periods_follow_each_other():
    times, values = draw_segments(
        series(points=21, span=math.pi, starts={"count": 100, "apart": math.pi})
    )

    np.testing.assert_allclose(times[1:, 0], times[:-1, -1])
    np.testing.assert_allclose(
        values[7], np.sin(np.linspace(7 * math.pi, 8 * math.pi, 21)), atol=1e-12
    )


def test_the_long_series_is_the_published_one_up_to_its_float32_rounding():
    _, values = draw_segments(
        series(
            points=800,
            span=None,
            step=1.0,
            starts={"count": 1, "apart": 0.0},
            period=40 * math.pi / 3.1416,
        )
    )

    np.testing.assert_allclose(values[0], np.sin(np.arange(800) * 2 * 3.1416 / 40), atol=1e-10)


def test_a_series_is_read_as_it_was_written(tmp_path):
    times, values = draw_segments(series(noise=0.1))
    write_segments(tmp_path / "s.csv", times, values)

    read_times, read_values = read_segments(tmp_path / "s.csv")

    assert np.array_equal(read_times, times)
    assert np.array_equal(read_values, values)


def test_a_table_has_one_row_a_sample(tmp_path):
    two = series(points=3, span=2.0, starts={"count": 2, "apart": 5.0})
    write_segments(tmp_path / "s.csv", *draw_segments(two))

    rows = (tmp_path / "s.csv").read_text(encoding="utf-8").splitlines()

    assert rows[0] == "segment,t,y"
    assert [row.rsplit(",", 1)[0] for row in rows[1:]] == [
        "0,0.0",
        "0,1.0",
        "0,2.0",
        "1,5.0",
        "1,6.0",
        "1,7.0",
    ]


def test_noise_and_random_starts_come_from_the_seed():
    noisy = {"noise": 0.1, "starts": {"count": 4, "below": 6.0}}

    first, again, other = (draw_segments(series(**noisy, seed=s)) for s in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_drifting_sine_runs_ahead_and_behind():
    clean = draw_segments(series())[1]
    drifting = draw_segments(series(drift=1.0, drift_period=30.0))[1]

    assert np.abs(clean - drifting).max() > 0.5


def test_a_trend_is_added_to_the_season():
    yearly = series(points=25, span=24.0, period=12.0, trend=0.5, starts={"count": 2, "apart": 6.0})

    times, values = draw_segments(yearly)

    # a quarter of the period after time 0 the sine is 1, three quarters after it -1
    assert times[0, [0, 3, 9, 15]].tolist() == [0.0, 3.0, 9.0, 15.0]
    np.testing.assert_allclose(values[0, [0, 3, 9, 15]], [0.0, 2.5, 3.5, 8.5], atol=1e-12)
    np.testing.assert_allclose(values[1, 3], -1 + 4.5)  # at time 9 as well


def test_a_trend_is_added_to_a_chaotic_series():
    times = np.array([0.0, 100.0])

    level, rising = (sample_signal(series(**CHAOS, trend=t), times) for t in (0.0, 0.01))

    np.testing.assert_allclose(rising - level, [0.0, 1.0], atol=1e-12)


CHAOS = {"period": None, "delay": 17.0}


def test_a_series_with_a_delay_solves_its_equation():
    lag = 170
    x = integrate(lag, 5000)

    past, slopes = x[:-lag], np.gradient(x, TICK)[lag:]
    expected = 0.2 * past / (1 + past**10) - 0.1 * x[lag:]

    np.testing.assert_allclose(slopes[1:-1], expected[1:-1], atol=2e-4)


def test_a_constant_series_without_chaos_decays_to_its_fixed_point():
    x = integrate(10, 10_000)  # a delay of 1: below the one where swings begin

    assert x[0] == 1.2
    assert x[-1] == pytest.approx(FIXED_POINT, abs=1e-6)


def test_a_chaotic_series_does_not_depend_on_the_requested_start():
    times = np.arange(0, 500.0)

    whole, late = (sample_signal(series(**CHAOS), t) for t in (times, times[300:]))

    assert np.array_equal(whole[300:], late)
    assert np.all(np.abs(whole) < 1)
    assert whole.std() > 0.1


def test_a_chaotic_series_is_this_one_to_the_last_bit():
    values = sample_signal(series(**CHAOS), np.array([-1e6, 0.0, 1000.0]))

    assert [value.hex() for value in values.tolist()] == [
        "0x1.9999999999998p-3",  # 1.2 - 1, the constant history
        "-0x1.be9acceed8b10p-5",
        "-0x1.269cecdcbf350p-2",
    ]


def test_the_start_of_a_chaotic_series_is_limited():
    with pytest.raises(InputError, match="lower its starts"):
        draw_segments(series(**CHAOS, starts={"count": 2, "apart": 1e9}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": 1.0}, "one of step and span"),
        ({"delay": 17.0}, "one of period and delay"),
        ({**CHAOS, "drift": 1.0, "drift_period": 9.0}, "no phase that drifts"),
        ({"starts": {"count": 3}}, "one of apart and below"),
        ({"drift": 1.0}, "drift and drift_period go together"),
        ({"shape": "square"}, "shape is not a known key"),
        ({"period": 0.0}, "period"),
        ({"window": 3}, "window and test_points go together"),
        ({"window": 50, "test_points": 0}, "nothing of segments of 50 samples: lower them"),
        ({"window": 1, "test_points": 49}, "nothing of segments of 50 samples: lower them"),
    ],
)
def test_invalid_generated_series_are_rejected(changes, reason):
    with pytest.raises(InputError, match=reason):
        check_params({**SINE, **changes}, GeneratedParams, "params.yaml: generated_series.x")


def test_the_same_params_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(format_yaml({"generated_series": {"a": SINE}}))

    main("a", "one/a.csv")
    main("a", "two/a.csv")

    assert (tmp_path / "one/a.csv").read_bytes() == (tmp_path / "two/a.csv").read_bytes()
