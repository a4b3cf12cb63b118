import numpy as np

from benchmarks.intervals import measure_coverage
from stages.shared.intervals import BootstrapParams
from stages.surnames.assessment import Predictions

PARAMS = BootstrapParams(resamples=100, seed=0)


def test_intervals_of_large_tests_cover_the_true_score_in_about_95_percent():
    languages = np.repeat([0, 1], 500)
    is_right = np.tile([True, True, True, False], 250)
    guesses = np.where(is_right, languages, 1 - languages)

    coverage = measure_coverage(
        Predictions(guesses, guesses), languages, np.array([100, 100]), 100, PARAMS
    )

    for score in ("accuracy", "macro_f1", "macro_f1_adjusted"):
        assert 0.9 < coverage[score] < 0.99


def test_intervals_of_a_language_with_few_names_have_lower_coverage():
    languages = np.repeat([0, 1], [20, 1000])
    guesses = np.where(np.arange(1020) % 10 == 0, 1 - languages, languages)
    guesses[:20] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1] * 2

    coverage = measure_coverage(
        Predictions(guesses, guesses), languages, np.array([2, 200]), 100, PARAMS
    )

    assert coverage["macro_f1"] < 0.9
