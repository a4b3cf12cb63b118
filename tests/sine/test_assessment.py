from pathlib import Path

import numpy as np
import pytest

from stages.shared.yaml_files import parse_yaml
from stages.sine.assessment import EvaluateParams, assess, draw_questions, measure_lead
from stages.sine.free_runs import measure_phases
from tests.sine.entries import series_of, windows_of

SECTION = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))["evaluate_sine"]
PARAMS = EvaluateParams.model_validate(
    {**SECTION, "phases": 3, "horizons": [2, 4], "validation_horizons": [2]}
)


def draw():
    return draw_questions(
        windows_of("carried_rnn"), "integer_starts", series_of("carried_rnn"), PARAMS
    )


def test_an_interval_lies_around_its_score():
    scores = assess(lambda history, horizon: history[:, :horizon], draw(), PARAMS).scores

    for score in ("one_step_mse", "free_run_mse_2", "free_run_mse_4"):
        interval = scores["intervals"][score]
        assert interval["low"] < scores[score] < interval["high"]


def test_the_errors_of_the_phases_average_to_the_scores():
    questions = draw()

    assessment = assess(lambda history, horizon: history[:, :horizon], questions, PARAMS)

    by_hand = (questions.test.contexts[:, :2] - questions.test.truths[:, :2]) ** 2
    np.testing.assert_allclose(assessment.errors["free_run_mse_2"], by_hand.mean(axis=1))
    assert assessment.scores["free_run_mse_2"] == pytest.approx(by_hand.mean())


def test_every_forecaster_is_asked_the_same():
    first, second = draw(), draw()

    forecasts = np.zeros((3, 4))
    errors = [measure_phases(forecasts, questions.test, [4]) for questions in (first, second)]
    assert errors[0]["free_run_mse_4"].tolist() == errors[1]["free_run_mse_4"].tolist()


def score_on_validation(mse):
    return {"validation": {"free_run_mse_2": mse}}


def test_a_lead_is_over_the_baseline_that_validation_prefers_and_above_zero_where_errors_are_less():
    baselines = {"good": score_on_validation(0.1), "lucky": score_on_validation(0.2)}
    errors = {
        "good": {"free_run_mse_2": np.array([1.0, 2.0, 4.0])},
        "lucky": {"free_run_mse_2": np.array([0.0, 0.0, 0.0])},
    }

    lead = measure_lead({"free_run_mse_2": np.array([0.75, 1.75, 3.75])}, baselines, errors, PARAMS)

    assert lead == {"free_run_mse_2": {"over": "good", "low": 0.25, "high": 0.25}}
