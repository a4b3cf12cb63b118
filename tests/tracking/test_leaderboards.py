"""What decides which model is best."""

from stages.tracking.leaderboards import Ranking, find_ranking


def test_forecasters_are_compared_by_the_error_over_the_long_horizon_of_validation():
    validation = {"one_step_mse": 0.1, "mse_5": 0.2, "mse_11": 0.3}
    scores = {"horizon_long": 11, "mse_11": 0.4, "mse_22": 0.5, "validation": validation}

    ranking = find_ranking("forecasting", scores)

    assert ranking == Ranking("validation/mse_11", "mse_11", -1, 11)


def test_surnames_are_compared_by_macro_f1():
    ranking = find_ranking("surnames", {})

    assert ranking == Ranking("validation/macro_f1", "macro_f1", 1)
