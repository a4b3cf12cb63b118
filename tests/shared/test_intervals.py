import numpy as np
import pytest

from stages.shared.intervals import (
    BootstrapParams,
    bootstrap,
    bootstrap_difference,
    describe_difference,
    draw_resamples,
    find_batch_interval,
)

PARAMS = BootstrapParams(resamples=400, seed=0)
ALIKE = np.zeros(4, dtype=np.int64)


def average(values):
    """A measure: the mean of the chosen values."""
    return lambda chosen: {"mean": float(values[chosen].mean())}


def test_an_interval_leaves_out_a_fortieth_on_each_side():
    values = iter(np.random.default_rng(0).permutation(np.arange(1.0, 201.0)).tolist())
    params = BootstrapParams(resamples=200, seed=0)

    interval = bootstrap(lambda _: {"score": next(values)}, ALIKE, params)["score"]

    assert interval == {"low": 5, "high": 195}


def test_each_stratum_keeps_its_number_of_items():
    strata = np.array([1, 0, 1, 2, 1, 0])

    for chosen in draw_resamples(strata, PARAMS):
        assert np.bincount(strata[chosen]).tolist() == [2, 3, 1]


def test_items_are_drawn_with_replacement_and_alike_often():
    drawn = np.array(list(draw_resamples(ALIKE, PARAMS)))

    assert any(len(set(chosen)) < 4 for chosen in drawn.tolist())
    np.testing.assert_allclose(np.bincount(drawn.ravel()) / drawn.size, 1 / 4, atol=0.03)


def test_a_mean_of_a_coin_has_the_interval_of_the_binomial():
    heads = np.repeat([0.0, 1.0], 50)

    interval = bootstrap(average(heads), np.zeros(100, dtype=np.int64), PARAMS)["mean"]

    assert interval["low"] == pytest.approx(0.4, abs=0.02)  # 0.5 ± 1.96 · 0.05
    assert interval["high"] == pytest.approx(0.6, abs=0.02)


def test_items_that_are_alike_have_no_spread():
    intervals = bootstrap(average(np.full(4, 0.25)), ALIKE, PARAMS)

    assert intervals == {"mean": {"low": 0.25, "high": 0.25}}


def test_a_difference_is_paired():
    easy_and_hard = np.array([0.0, 10.0, 100.0, 1000.0])

    ahead = bootstrap_difference(
        average(easy_and_hard + 0.5), average(easy_and_hard), ALIKE, PARAMS
    )

    assert ahead == {"mean": {"low": 0.5, "high": 0.5}}


def test_the_seed_alone_decides_what_is_drawn():
    values = np.array([0.1, 0.2, 0.4, 0.8])

    first, again = (bootstrap(average(values), ALIKE, PARAMS) for _ in range(2))
    other = bootstrap(average(values), ALIKE, BootstrapParams(resamples=20, seed=1))

    assert first == again != other


def test_a_mean_of_batches_by_hand():
    # batches of 2 have means 1, 3 and 5: 3 ± t(2) · 2 / √3, where t(2) = 4.302653
    interval = find_batch_interval(np.array([0.0, 2.0, 3.0, 3.0, 4.0, 6.0]), block=1)

    half = pytest.approx(4.302653 * 2 / 3**0.5, rel=1e-5)
    assert (3 - interval["low"], interval["high"] - 3) == (half, half)


def test_few_values_make_two_batches():
    interval = find_batch_interval(np.array([1.0, 1.0, 2.0, 2.0]), block=10)

    assert interval["high"] - interval["low"] == pytest.approx(12.7062 * 1.0)  # 2 · t(1) · ½


def test_correlated_errors_have_wider_intervals_in_batches_than_one_by_one():
    shared = np.repeat([0.0, 1.0, 0.0, 1.0, 1.0, 0.0], 10)

    alone = bootstrap(average(shared), np.zeros(60, dtype=np.int64), PARAMS)["mean"]
    batches = find_batch_interval(shared, block=5)

    assert batches["high"] - batches["low"] > 1.5 * (alone["high"] - alone["low"])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.2, "ahead"),
        (-0.1, 0.2, "within the noise"),
        (0.0, 0.2, "within the noise"),
        (-0.2, 0.0, "within the noise"),
        (-0.2, -0.1, "behind"),
    ],
)
def test_only_an_interval_without_zero_is_ahead_or_behind(low, high, verdict):
    assert describe_difference({"low": low, "high": high}) == verdict
