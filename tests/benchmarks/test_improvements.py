import numpy as np
import pytest

from benchmarks.improvements import (
    Improvement,
    count_drawn,
    find_improvements,
    format_improvement,
)
from stages.shared.intervals import BootstrapParams, describe_difference

PARAMS = BootstrapParams(resamples=400, seed=0)


ONE = (1, 1)  # a split with one training
SEEDS = (1, 5)


def average(values):
    """A measure: the mean of the chosen values `(trainings, items)`."""
    table = np.atleast_2d(values)
    return lambda items, trainings: {"mean": float(table[np.ix_(trainings[0], items)].mean())}


def test_an_improvement_is_the_mean_difference_over_all_items_with_a_paired_interval():
    strata = np.array([0, 0, 1])

    improvement = find_improvements(
        average([9, 1, 5]), average([8, 1, 4]), strata, (ONE, ONE), PARAMS, "ridge"
    )["mean"]

    assert improvement.baseline == "ridge"
    assert improvement.difference == pytest.approx(2 / 3)
    assert improvement.interval == pytest.approx(
        {"low": 1 / 3, "high": 1}
    )  # 0, 1 or 2 times the first


def test_an_improvement_averages_all_trainings_and_its_interval_resamples_them():
    trainings = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])

    improvement = find_improvements(
        average(trainings), average([0.5]), np.zeros(1, dtype=int), (SEEDS, ONE), PARAMS, "ridge"
    )["mean"]

    assert improvement.difference == 1.5
    assert improvement.interval == {"low": -0.5, "high": 3.5}  # twice the first or the last: 1/25


def test_trainings_are_resampled_separately_for_each_split():
    drawn = []

    def note(items, trainings):
        drawn.append(trainings.tolist())
        return {"mean": 0.0}

    find_improvements(
        note, average([0.0]), np.zeros(1, dtype=int), ((2, 5), ONE), PARAMS, "tfidf_svc"
    )

    everything, *resamples = drawn
    assert everything == [[0, 1, 2, 3, 4]] * 2
    assert any(first != second for first, second in resamples)


@pytest.mark.parametrize(("trainings", "drawn"), [(1, 1), (2, 1), (3, 1), (5, 2), (30, 27)])
def test_a_resample_has_fewer_trainings_than_there_are_but_at_least_one(trainings, drawn):
    assert count_drawn(trainings) == drawn


def test_trainings_that_differ_by_their_seeds_alone_are_seldom_ahead_or_behind():
    generator = np.random.default_rng(0)
    verdicts = []
    for _ in range(100):
        trainings = generator.standard_normal((5, 1))
        improvement = find_improvements(
            average(trainings), average([0.0]), np.zeros(1, dtype=int), (SEEDS, ONE), PARAMS, "zero"
        )["mean"]
        verdicts.append(describe_difference(improvement.interval) != "within the noise")

    assert np.mean(verdicts) < 0.1


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.011, 0.039, "+0.025 [+0.011, +0.039] ridge: ahead"),
        (-0.011, 0.061, "+0.025 [-0.011, +0.061] ridge: within the noise"),
    ],
)
def test_an_improvement_is_printed_with_its_size_and_verdict(low, high, text):
    assert format_improvement(Improvement("ridge", 0.025, {"low": low, "high": high})) == text
