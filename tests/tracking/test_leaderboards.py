"""What decides which model is best."""

from stages.tracking.leaderboards import Ranking, find_ranking, read_leaderboard
from stages.tracking.run_specs import read_models
from tests.workspace import BASELINE_ERROR, SCORES


def test_forecasters_are_compared_by_the_error_over_the_long_horizon_of_validation():
    validation = {"one_step_mse": 0.1, "mse_5": 0.2, "mse_11": 0.3}
    scores = {"horizon_long": 11, "mse_11": 0.4, "mse_22": 0.5, "validation": validation}

    ranking = find_ranking("forecasting", scores)

    assert ranking == Ranking("validation/mse_11", "mse_11", -1, 11)


def test_surnames_are_compared_by_macro_f1():
    ranking = find_ranking("surnames", {})

    assert ranking == Ranking("validation/macro_f1", "macro_f1", 1)


def test_the_best_baseline_of_a_series_is_ranked_beside_its_networks(workspace):
    ranked = read_leaderboard("integer_starts", read_models())

    errors = {found.model.name: found.validation for found in ranked}
    networks = {name: SCORES[name] for name in ("carried_rnn", "windowed_lstm_fast")}
    assert errors == networks | {"integer_starts_baseline": BASELINE_ERROR}
    assert [found.is_network for found in ranked] == [True, True, False]
