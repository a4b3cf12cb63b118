"""What decides which model is best."""

import pytest

from stages.shared.errors import InputError
from stages.tracking.ranking import Ranking, find_ranking


def test_forecasters_are_compared_by_the_longest_free_run_of_their_validation():
    validation = {"one_step_mse": 0.1, "free_run_mse_5": 0.2, "free_run_mse_11": 0.3}
    scores = {"data": "sunspots", "free_run_mse_22": 0.4, "validation": validation}

    ranking = find_ranking("sine", scores)

    assert ranking == Ranking("validation/free_run_mse_11", "free_run_mse_11", -1)


def test_surnames_are_compared_by_macro_f1():
    assert find_ranking("surnames", {}) == Ranking("validation/macro_f1", "macro_f1", 1)


def test_a_model_without_free_runs_cannot_be_compared():
    with pytest.raises(InputError, match="a model of sunspots has no free run on validation"):
        find_ranking("sine", {"data": "sunspots", "validation": {"one_step_mse": 0.1}})
