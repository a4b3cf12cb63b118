import numpy as np
import pytest

from benchmarks.improvements import Improvement, find_improvements, say_improvement
from stages.shared.intervals import BootstrapParams

PARAMS = BootstrapParams(resamples=400, seed=0)


def average(values):
    """A measure: the mean of the chosen values."""
    return lambda chosen: {"mean": float(np.array(values)[chosen].mean())}


def test_a_lead_is_the_difference_of_all_items_and_its_paired_interval():
    strata = np.array([0, 0, 1])

    improvement = find_improvements(
        average([9, 1, 5]), average([8, 1, 4]), strata, PARAMS, "ridge"
    )["mean"]

    assert improvement.baseline == "ridge"
    assert improvement.difference == pytest.approx(2 / 3)
    assert improvement.interval == pytest.approx(
        {"low": 1 / 3, "high": 1}
    )  # 0, 1 or 2 times the first


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.011, 0.039, "+0.025 [+0.011, +0.039] ridge: ahead"),
        (-0.011, 0.061, "+0.025 [-0.011, +0.061] ridge: within the noise"),
    ],
)
def test_a_lead_says_how_large_and_whether_it_is_one(low, high, text):
    assert say_improvement(Improvement("ridge", 0.025, {"low": low, "high": high})) == text
