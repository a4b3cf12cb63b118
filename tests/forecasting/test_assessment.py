from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from stages.cli.__main__ import _make_parser
from stages.forecasting.assessment import (
    LEVELS,
    ForecastingEvaluationParams,
    add_ratios,
    assess,
    choose_forecaster_metrics,
    compare_with_naive,
    draw_backtests,
    fit_prediction_intervals,
    measure_errors,
    measure_forecast_improvement,
    read_errors,
    write_errors,
)
from stages.forecasting.series import Backtest
from stages.shared.yaml_files import parse_yaml
from tests.forecasting.entries import make_observed, series_of

SECTION = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))["evaluate_forecasters"]
PARAMS = ForecastingEvaluationParams.model_validate(
    {**SECTION, "phases": 3, "horizons": [2, 4], "validation_horizons": [2]}
)


def draw():
    return draw_backtests(series_of("carried_rnn"), PARAMS)


def test_an_interval_lies_around_its_score():
    scores = assess(lambda history, horizon: history[:, :horizon], draw(), PARAMS).scores

    for score in ("one_step_mse", "mse_2", "mse_4"):
        interval = scores["intervals"][score]
        assert interval["low"] < scores[score] < interval["high"]


def test_the_errors_of_the_phases_average_to_the_scores():
    backtests = draw()

    assessment = assess(lambda history, horizon: history[:, :horizon], backtests, PARAMS)

    by_hand = (backtests.test.contexts[:, :2] - backtests.test.targets[:, :2]) ** 2
    np.testing.assert_allclose(assessment.errors["mse_2"], by_hand.mean(axis=1))
    assert assessment.scores["mse_2"] == pytest.approx(by_hand.mean())


def test_every_forecaster_has_the_same_backtests():
    first, second = draw(), draw()

    forecasts = np.zeros((3, 4))
    errors = [measure_errors(forecasts, backtests.test, [4]) for backtests in (first, second)]
    assert errors[0]["mse_4"].tolist() == errors[1]["mse_4"].tolist()


def score_on_validation(mse):
    return {"validation": {"mse_2": mse}}


def test_an_improvement_is_over_the_baseline_that_validation_prefers_and_above_zero_if_better():
    baselines = {"good": score_on_validation(0.1), "lucky": score_on_validation(0.2)}
    errors = {
        "good": {"mse_2": np.array([1.0, 2.0, 4.0])},
        "lucky": {"mse_2": np.array([0.0, 0.0, 0.0])},
    }
    own = {"mse_2": np.array([0.75, 1.75, 3.75])}

    improvement = measure_forecast_improvement(own, baselines, errors, PARAMS)

    assert improvement == {"mse_2": {"baseline": "good", "low": 0.25, "high": 0.25}}


def score_over_4_steps(test, validation):
    return {"horizon_long": 4, "mse_4": test, "validation": {"mse_4": validation}}


BASELINES = {"good": score_over_4_steps(2.0, 0.5), "lucky": score_over_4_steps(0.1, 8.0)}


def test_the_ratio_is_to_the_error_of_the_baseline_that_validation_prefers():
    scores = add_ratios(score_over_4_steps(0.5, 1.0), BASELINES)

    assert scores["ratio_to_baseline"] == 0.25  # 0.5 / 2
    assert scores["validation"]["ratio_to_baseline"] == 2.0  # 1 / 0.5


def test_the_best_baseline_has_a_ratio_of_one():
    scores = add_ratios(BASELINES["good"], BASELINES)

    assert scores["ratio_to_baseline"] == scores["validation"]["ratio_to_baseline"] == 1.0


def test_there_is_no_ratio_to_an_error_of_zero():
    scores = add_ratios(score_over_4_steps(0.5, 1.0), {"exact": score_over_4_steps(0.0, 0.5)})

    assert "ratio_to_baseline" not in scores
    assert scores["validation"]["ratio_to_baseline"] == 2.0


def test_the_long_horizon_is_the_longest_that_test_and_validation_have():
    scored = assess(lambda history, horizon: history[:, :horizon], draw(), PARAMS).scores

    assert (scored["horizon_short"], scored["horizon_long"]) == (2, 2)  # validation lacks 4


def test_horizons_of_which_validation_has_none_are_rejected():
    with pytest.raises(ValidationError, match="have none in common"):
        ForecastingEvaluationParams.model_validate(
            {**SECTION, "horizons": [2], "validation_horizons": [4]}
        )


def test_all_scores_are_kept_beside_the_ratio():
    scores = {**score_over_4_steps(0.5, 1.0), "horizon_short": 2, "mse_2": 0.25, "data": "waves"}

    extended = add_ratios(scores, BASELINES)

    assert extended == {
        **scores,
        "ratio_to_baseline": 0.25,
        "validation": {"mse_4": 1.0, "ratio_to_baseline": 2.0},
    }


def test_an_improvement_over_a_baseline_of_the_same_errors_is_zero():
    errors = {"mse_2": np.array([0.25, 0.25])}

    improvement = measure_forecast_improvement(
        errors, {"good": score_on_validation(0.1)}, {"good": errors}, PARAMS
    )

    assert improvement == {"mse_2": {"baseline": "good", "low": 0.0, "high": 0.0}}


def test_mase_is_the_absolute_error_by_that_of_repeating_the_last_sample_in_training():
    samples = np.array([0.0, 2, 4, 6, 0, 0, 9])  # training changes by 2 a step
    observed = make_observed(samples, num_train=4, num_validation=2)
    backtest = observed.backtest("validation", context=4, horizon=2, phases=1, seed=0)

    errors = measure_errors(np.array([[1.0, -3.0]]), backtest, [2])

    assert errors["one_step_mse"].tolist() == [1]
    assert errors["mse_2"].tolist() == [5]
    assert errors["one_step_mase"].tolist() == [0.5]
    assert errors["mase_2"].tolist() == [1]  # (1 + 3) / 2 / 2


def test_errors_are_read_as_they_were_written(tmp_path):
    errors = {
        "ar2": {"one_step_mse": np.array([0.1, 1e-300]), "mse_49": np.array([1 / 3, 2.0])},
        "ridge": {"one_step_mse": np.array([0.3, 0.0]), "mse_49": np.array([5.0, 6.0])},
    }

    write_errors(tmp_path / "errors.csv", errors)

    read = read_errors(tmp_path / "errors.csv")
    assert list(read) == ["ar2", "ridge"]
    for name, scores in errors.items():
        for score, values in scores.items():
            assert read[name][score].tolist() == values.tolist()


def make_backtest(targets):
    return Backtest(np.zeros((len(targets), 1)), targets)


@pytest.mark.parametrize(
    ("errors", "verdict"),
    [([0.1] * 40, "ahead"), ([2.0] * 40, "behind"), ([0.5, 1.5] * 20, "within the noise")],
)
def test_a_forecaster_is_compared_with_the_better_naive_baseline(errors, verdict):
    section = {**SECTION, "horizons": [2], "validation_horizons": [2]}
    params = ForecastingEvaluationParams.model_validate(section)
    scores = {
        "hold_last": {"validation": {"mse_2": 3.0}},
        "copy_period": {"validation": {"mse_2": 2.0}},
        "ridge": {"validation": {"mse_2": 0.1}},
    }
    naive_errors = {name: {"mse_2": np.ones(40)} for name in scores}

    compared = compare_with_naive({"mse_2": np.array(errors)}, scores, naive_errors, params, 2)

    assert compared == {"baseline": "copy_period", "verdict": verdict}


def test_without_naive_baselines_there_is_nothing_to_compare_with():
    params = ForecastingEvaluationParams.model_validate(SECTION)

    assert compare_with_naive({}, {"ridge": {}}, {}, params) is None


GENERATED = {
    "data": "waves",
    "horizon_short": 49,
    "horizon_long": 500,
    "walkthrough_mse": 0.5,
    "walkthrough_mse_all_starts": 0.6,
    "one_step_mse": 0.1,
    "mse_49": 0.2,
    "mse_500": 0.3,
    "mse_5000": 0.4,
    "ratio_to_baseline": 2.0,
    "intervals": {"mse_49": {"low": 0.1, "high": 0.3}},
    "validation": {"mse_49": 0.7, "mse_500": 0.8, "ratio_to_baseline": 3.0},
}
OF_A_FILE = {
    "data": "sunspots",
    "horizon_short": 5,
    "horizon_long": 11,
    "mse_5": 0.2,
    "mse_11": 0.3,
    "mase_5": 0.8,
    "mase_11": 0.9,
    "ratio_to_baseline": 2.0,
}


def test_a_generated_series_has_the_error_of_its_walk_through():
    assert choose_forecaster_metrics(GENERATED) == {
        "mse_short": 0.2,
        "mse_long": 0.3,
        "ratio_to_baseline": 2.0,
        "walkthrough_mse": 0.5,
    }


def test_a_series_from_a_file_has_its_scaled_error():
    assert choose_forecaster_metrics(OF_A_FILE) == {
        "mse_short": 0.2,
        "mse_long": 0.3,
        "ratio_to_baseline": 2.0,
        "mase": 0.9,
    }


def test_an_interval_is_the_quantile_of_the_absolute_errors_of_each_step():
    errors = np.array([1.0, -2, 3, -4, 5, -6, 7, -8, 9])[:, None] * [1, 10]

    fitted = fit_prediction_intervals(errors, errors[:4], is_rolling=False)

    assert fitted[80].half_width.tolist() == [8, 80]  # the eighth of 9 + 1
    assert fitted[50].half_width.tolist() == [5, 50]
    assert fitted[99].half_width.tolist() == [9, 90]
    assert fitted[80].coverage.tolist() == [1, 1, 1, 1]


def test_coverage_counts_as_many_steps_as_validation_has():
    validation = np.full((9, 2), 1.0)
    test = np.array([[0.5, 5.0, 99.0], [0.5, 0.5, 99.0]])

    fitted = fit_prediction_intervals(validation, test, is_rolling=False)

    assert fitted[80].coverage.tolist() == [0.5, 1]


def test_a_forecast_is_given_only_errors_whose_targets_lie_before_it():
    generator = np.random.default_rng(0)
    validation, test = generator.normal(size=(20, 3)), generator.normal(size=(15, 3))
    changed = test.copy()
    for origin, step in np.ndindex(test.shape):
        if origin + step >= 8:  # at the eighth origin, the targets from there on
            changed[origin, step] *= 100

    first = fit_prediction_intervals(validation, test, is_rolling=True)
    second = fit_prediction_intervals(validation, changed, is_rolling=True)

    for level in LEVELS:
        np.testing.assert_array_equal(first[level].of_test[:9], second[level].of_test[:9])
    assert (first[80].of_test[10] != second[80].of_test[10]).any()
    assert (second[80].half_width > first[80].half_width).all()


def test_intervals_adapt_to_their_nominal_coverage():
    generator = np.random.default_rng(0)
    validation = generator.normal(size=(50, 2))
    test = generator.normal(size=(600, 2)) * np.linspace(1, 20, 600)[:, None]  # ever worse

    rolling = fit_prediction_intervals(validation, test, is_rolling=True)
    fixed = fit_prediction_intervals(validation, test, is_rolling=False)

    assert fixed[80].coverage.mean() < 0.4
    for level in (50, 80, 90):
        assert rolling[level].coverage.mean() == pytest.approx(level / 100, abs=0.05)


def test_a_higher_level_is_never_narrower():
    generator = np.random.default_rng(1)

    fitted = fit_prediction_intervals(
        generator.normal(size=(12, 4)), generator.normal(size=(30, 4)), is_rolling=True
    )

    widths = np.array([fitted[level].half_width for level in LEVELS])
    assert (np.diff(widths, axis=0) >= 0).all()


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_can_be_requested(level):
    call = _make_parser().parse_args(["forecast", "a.csv", "--level", str(level)])

    assert call.levels == [level]
