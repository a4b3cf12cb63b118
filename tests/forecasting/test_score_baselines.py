import json
from pathlib import Path

import numpy as np
import pytest

from stages.forecasting.assessment import ForecastingEvaluationParams, read_errors
from stages.forecasting.baselines import make_linear
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.score_baselines import (
    ForecastingBaselineParams,
    fit_baseline,
    main,
    score_baselines,
)
from stages.forecasting.series import write_series
from stages.forecasting.signals import GeneratedParams
from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml, parse_yaml
from stages.tracking.served_models.loader import Forecaster
from tests.forecasting.entries import make_generated, split_file
from tests.shell import PROJECT

OFFICIAL = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))
NAMES = OFFICIAL["forecasting_baselines"]["names"]
OF_SINES = [*NAMES, *OFFICIAL["forecasting_baselines"]["periodic_names"]]
SHORT = {"horizons": [49, 500], "phases": 4, "bootstrap": {"resamples": 20, "seed": 0}}


def params_of_series(name, **changes):
    return GeneratedParams.model_validate({**OFFICIAL["generated_series"][name], **changes})


def score(name, series=None, context=40, **changes):
    series = make_generated(series or params_of_series(name), name)
    params = ForecastingBaselineParams.model_validate(
        {**OFFICIAL["forecasting_baselines"], **changes}
    )
    section = {**OFFICIAL["evaluate_forecasters"], **SHORT, "context": context}
    evaluation = ForecastingEvaluationParams.model_validate(section)
    return score_baselines(series, params, evaluation)


@pytest.mark.parametrize("name", ["integer_starts", "half_periods", "period_40"])
def test_linear_recurrences_follow_a_clean_sine(name):
    scores = score(name).scores

    assert list(scores) == OF_SINES
    for baseline in ("ar2", "ar_best", "ridge", "sinusoid"):
        assert scores[baseline]["mse_500"] < 1e-9
        assert scores[baseline]["walkthrough_mse"] < 1e-9
    assert scores["predict_zero"]["mse_500"] == pytest.approx(0.5, abs=0.02)


def test_baselines_of_the_recursive_test_are_those_of_the_walk_through():
    scores = score("period_40").scores

    assert scores["predict_zero"]["walkthrough_mse"] == pytest.approx(0.5, abs=1e-3)  # its variance
    assert scores["copy_period"]["walkthrough_mse"] < 1e-9  # it holds nothing that training lacks


def test_a_chaotic_series_has_all_baselines_but_the_sinusoid():
    series = params_of_series("mackey_glass", starts={"count": 8, "apart": 500.0})

    scores = score("mackey_glass", series).scores

    assert list(scores) == NAMES
    assert all(scores[name]["mse_500"] > 1e-3 for name in NAMES)  # nothing linear does


def test_a_season_is_what_copying_repeats():
    by_season = score("integer_starts", params_of_series("integer_starts", season=2.0))
    by_period = score("integer_starts")

    season, period = by_season.scores["copy_period"], by_period.scores["copy_period"]
    assert season["one_step_mse"] > 100 * period["one_step_mse"]


def test_every_baseline_has_its_interval_and_its_validation():
    scores = score("integer_starts").scores

    for name in OF_SINES:
        assert set(scores[name]["intervals"]) == {
            "one_step_mse",
            "mse_49",
            "mse_500",
        }
        assert "mse_500" in scores[name]["validation"]


def test_the_ratio_of_a_baseline_is_to_the_best_on_validation():
    scores = score(
        "noisy_sine", params_of_series("noisy_sine", starts={"count": 8, "below": 6.28})
    ).scores

    best = min(scores.values(), key=lambda of_one: of_one["validation"]["mse_500"])
    assert best["ratio_to_baseline"] == 1.0
    zero = scores["predict_zero"]
    assert zero["ratio_to_baseline"] == pytest.approx(zero["mse_500"] / best["mse_500"])
    assert zero["validation"]["ratio_to_baseline"] > 1


def test_under_noise_a_sinusoid_of_the_amplitude_of_training_is_chosen():
    noisy = params_of_series("noisy_sine", starts={"count": 16, "below": 6.28})

    scored = score("noisy_sine", noisy)

    # σ²/K for the phase alone, twice as much with the amplitude: 0.3²/40 = 0.00225
    assert scored.scores["sinusoid"]["fixed_amplitude"] == 1
    assert scored.scores["sinusoid"]["validation"]["mse_500"] < 0.5 * 0.3**2 / 4
    assert scored.best == "sinusoid"


def test_validation_chooses_order_and_penalty():
    noisy = params_of_series("noisy_sine", starts={"count": 8, "below": 6.28}, points=120)

    best = score("noisy_sine", noisy)

    for baseline, one_by_one in (("ar_best", "ar_orders"), ("ridge", "ridge_penalties")):
        errors = {}
        for value in OFFICIAL["forecasting_baselines"][one_by_one]:
            alone = score("noisy_sine", noisy, names=[baseline], **{one_by_one: [value]})
            errors[value] = alone.scores[baseline]["validation"]["mse_500"]
        chosen = best.scores[baseline]["order" if baseline == "ar_best" else "penalty"]
        assert errors[chosen] == min(errors.values())


def test_short_segments_leave_the_lower_orders_to_choose_from(capsys):
    scores = score("half_periods").scores

    assert scores["ar_best"]["order"] < 21
    assert scores["ridge"]["context"] + scores["ridge"]["block"] <= 21 // 2
    assert "AR orders above 16 are left out: a context has 20 samples" in capsys.readouterr().out


def test_an_order_beyond_the_context_is_rejected():
    with pytest.raises(InputError, match=r"AR\(64\) needs more .*context \(40\)"):
        score("random_phases", ar_orders=[2, 64])


def test_segments_that_allow_no_order_are_named():
    with pytest.raises(
        InputError, match=r"half_periods have 21 samples, too few for AR of order 32"
    ):
        score("half_periods", ar_orders=[32])


def test_a_series_without_a_season_has_nothing_to_copy():
    with pytest.raises(InputError, match="mackey_glass has neither period nor season"):
        score("mackey_glass", params_of_series("mackey_glass", season=None), names=["copy_period"])


def test_a_context_shorter_than_a_period_is_rejected():
    with pytest.raises(InputError, match=r"context \(20\) must reach a period of .*\(31 samples\)"):
        score("integer_starts", context=20, names=["copy_period"])


def test_a_diverging_baseline_is_left_out_and_reported(monkeypatch, capsys):
    exploding = make_linear([[1e300]])
    monkeypatch.setattr("stages.forecasting.score_baselines.make_linear", lambda weight: exploding)

    scored = score("integer_starts", names=["hold_last", "ar2"], periodic_names=[])

    assert [*scored.scores] == [scored.best] == ["ar2"]
    assert "integer_starts: hold_last is left out" in capsys.readouterr().out
    with pytest.raises(InputError, match="all baselines of integer_starts diverge"):
        score("integer_starts", names=["hold_last"], periodic_names=[])


def test_the_combination_of_a_file_is_the_mean_of_the_best_of_two_families():
    generator = np.random.default_rng(0)
    samples = np.arange(120.0) + 9 * np.sin(np.arange(120.0)) + generator.normal(size=120)
    series = split_file(samples, window=20, horizons=[2, 5], season=6, transform="auto")
    params = ForecastingBaselineParams.model_validate(OFFICIAL["forecasting_baselines"])
    section = {**OFFICIAL["evaluate_forecasters"], **SHORT}
    evaluation = ForecastingEvaluationParams.model_validate(section).adapt(series)

    scored = score_baselines(series, params, evaluation)

    chosen = scored.scores["combination"]
    for family, names in (("linear", ["ar2", "ar_best", "ridge"]), ("smoothing", ["ets", "theta"])):
        errors = {name: scored.scores[name]["validation"]["mse_5"] for name in names}
        assert chosen[family] == min(errors, key=errors.get)
    history = series.backtest("test", context=60, horizon=5, phases=1, seed=0).contexts
    members = [
        wrap_model(fit_baseline(chosen[family], series, chosen))(history, 5)
        for family in ("linear", "smoothing")
    ]
    both = wrap_model(fit_baseline("combination", series, chosen))(history, 5)
    np.testing.assert_allclose(both, np.mean(members, axis=0))


def test_scores_and_errors_are_written_as_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = {**OFFICIAL, "evaluate_forecasters": {**OFFICIAL["evaluate_forecasters"], **SHORT}}
    Path("params.yaml").write_text(format_yaml(params), encoding="utf-8")
    series = params_of_series("integer_starts")
    write_series(Path("integer_starts.npz"), make_generated(series, "integer_starts"))

    for folder in ("first", "second"):
        main("integer_starts.npz", f"{folder}/model", folder, f"{folder}/m.json", f"{folder}/best")

    scores = json.loads(Path("first/scores.json").read_text(encoding="utf-8"))
    assert list(scores) == ["data", *OF_SINES]
    assert scores["data"] == "integer_starts"
    errors = read_errors(Path("first/errors.csv"))
    assert list(errors) == OF_SINES
    assert errors["ar2"]["one_step_mse"].mean() == scores["ar2"]["one_step_mse"]
    best = min(OF_SINES, key=lambda name: scores[name]["validation"]["mse_500"])
    described = json.loads(Path("first/best/scores.json").read_text(encoding="utf-8"))
    assert described == {"data": "integer_starts", "baseline": best, **scores[best]}
    files = ["scores.json", "errors.csv", "m.json", "best/scores.json", "best/forecast_info.json"]
    for file in [*files, "model/weights.pt", "model/config.json"]:
        assert Path("first", file).read_bytes() == Path("second", file).read_bytes()


def test_baselines_of_a_file_are_fitted_to_its_training_part_and_scored_in_its_units():
    samples = 20 + 5 * np.sin(2 * np.pi * np.arange(160.0) / 16)  # 5 whole periods to train on
    shape = {"window": 20, "horizons": [2, 5], "season": 16}
    params = ForecastingBaselineParams.model_validate(OFFICIAL["forecasting_baselines"])
    series = split_file(samples, **shape)
    section = {**OFFICIAL["evaluate_forecasters"], **SHORT}
    evaluation = ForecastingEvaluationParams.model_validate(section).adapt(series)

    scored = score_baselines(series, params, evaluation)

    scores = scored.scores
    assert list(scores) == [*NAMES, "ets", "theta", "combination"]
    for baseline in ("copy_period", "ar2", "ar_best", "ridge"):
        assert scores[baseline]["mse_5"] < 1e-9
    assert scores["predict_zero"]["mse_5"] == pytest.approx(12.5, rel=0.1)  # 5² / 2
    assert "walkthrough_mse" not in scores["hold_last"]  # no walk-through is about a file


def test_an_order_beyond_the_window_of_a_file_is_left_out(capsys):
    samples = 20 + 5 * np.sin(np.arange(160.0))
    section = {**OFFICIAL["forecasting_baselines"], "names": ["ar_best"]}
    section |= {"observed_names": [], "ar_orders": [2, 9]}
    series = split_file(samples, window=4)
    evaluation = ForecastingEvaluationParams.model_validate(
        {**OFFICIAL["evaluate_forecasters"], **SHORT}
    )

    scored = score_baselines(
        series, ForecastingBaselineParams.model_validate(section), evaluation.adapt(series)
    )

    assert scored.scores["ar_best"]["order"] in (2, 3, 4)  # 3: a season
    assert "AR orders above 4 are left out: a context has 4 samples" in capsys.readouterr().out


def test_the_best_baseline_read_again_forecasts_as_it_was_scored(tmp_path, monkeypatch):
    samples = 20 + 5 * np.sin(2 * np.pi * np.arange(160.0) / 16)
    series = split_file(samples, window=20, horizons=[2, 5], season=16)
    monkeypatch.chdir(tmp_path)
    params = {**OFFICIAL, "evaluate_forecasters": {**OFFICIAL["evaluate_forecasters"], **SHORT}}
    Path("params.yaml").write_text(format_yaml(params), encoding="utf-8")
    write_series(Path("mine.npz"), series)

    main("mine.npz", "model", "baselines", "m.json", "best")

    files = {"weights": "model/weights.pt", "config": "model/config.json"}
    files |= {path.stem: str(path) for path in (PROJECT / "stages/models").glob("*_forecaster.py")}
    served = Forecaster(files | {"forecast_info": "best/forecast_info.json"})
    np.testing.assert_allclose(served.predict(samples[None, :100], 20)[0], samples[100:120])
