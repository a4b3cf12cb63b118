"""Many series in one file: how they are read, split, scored and learned from."""

import copy
import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch

from stages.forecasting.assessment import (
    Backtests,
    ForecastingEvaluationParams,
    add_owa,
    assess,
    read_errors,
)
from stages.forecasting.evaluate import evaluate
from stages.forecasting.evaluate import main as evaluate_main
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.generate_panel import GeneratedPanelParams, draw_panel
from stages.forecasting.observed import OBSERVED, CsvSeries, PanelParams, read_csv_panel
from stages.forecasting.plot import main as plot_main
from stages.forecasting.preprocess import collect_panel, main
from stages.forecasting.score_baselines import ForecastingBaselineParams, score_baselines
from stages.forecasting.score_baselines import main as score_main
from stages.forecasting.series import Backtest, measure_naive_errors, read_series, write_series
from stages.forecasting.train import main as train_main
from stages.forecasting.train import train
from stages.shared.errors import InputError
from stages.shared.json_files import read_json
from stages.shared.params import check_params
from tests.forecasting.entries import OFFICIAL, params_of, split_file

LONG = {
    "path": "data/series/a.csv",
    "id": "unique_id",
    "time": "ds",
    "column": "y",
    "season": 4,
    "horizon": 3,
}
WIDE = {"path": "data/series/a.csv", "time": "ds", "columns": "all", "season": 4, "horizon": 3}
SMALL = {"network": {"cell": "gru", "hidden": 4}, "members": 2, "iterations": 20, "batch": 8}


def read(folder, text, **changes):
    (folder / "a.csv").write_text(text, encoding="utf-8")
    params = PanelParams.model_validate({**LONG, **changes})
    return read_csv_panel(folder / "a.csv", params)


def make_panel(*lengths, **changes):
    generator = np.random.default_rng(0)
    series = {}
    for number, length in enumerate(lengths):
        times = np.arange(length, dtype=np.float64)
        samples = 10 * (number + 1) + np.sin(times * np.pi / 2) + generator.normal(0, 0.1, length)
        series[f"s{number}"] = CsvSeries(samples, times)
    return collect_panel("mine", PanelParams.model_validate({**LONG, **changes}), series)


def evaluation_of(panel):
    params = {**OFFICIAL["evaluate_forecasters"], "bootstrap": {"resamples": 50, "seed": 0}}
    return ForecastingEvaluationParams.model_validate(params).adapt(panel)


def score(panel, names):
    params = {**OFFICIAL["forecasting_baselines"], "panel_names": names}
    return score_baselines(
        panel, ForecastingBaselineParams.model_validate(params), evaluation_of(panel)
    )


@pytest.mark.parametrize(
    "rows",
    [
        ["a,1,1", "a,2,2", "a,3,3", "b,1,4", "b,2,5", "b,3,6"],
        ["a,1,1", "b,1,4", "a,2,2", "b,2,5", "a,3,3", "b,3,6"],
        ["a,3,3", "a,2,2", "a,1,1", "b,3,6", "b,2,5", "b,1,4"],
    ],
    ids=["one below the other", "by time", "the newest first"],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_of_a_long_file_may_be_in_any_order(tmp_path, rows, separator):
    dated = [re.sub(r",(\d),", r",2020-0\1-01,", row) for row in rows]
    text = "\n".join(["unique_id,ds,y", *dated]).replace(",", separator)

    panel, messages = read(tmp_path, text)

    assert {name: series.samples.tolist() for name, series in panel.items()} == {
        "a": [1, 2, 3],
        "b": [4, 5, 6],
    }
    assert panel["a"].continue_times(1) == ["2020-04-01"]
    assert messages == []


def test_each_series_has_times_and_a_length_of_its_own(tmp_path):
    text = "unique_id,ds,y\nb,1,3\nb,2,4\nb,3,5\na,7,1\na,8,2\n"

    panel, _ = read(tmp_path, text)

    assert [*panel] == ["b", "a"]  # as the file begins them
    assert panel["a"].continue_times(2) == ["9", "10"]
    assert panel["b"].continue_times(1) == ["4"]


def test_columns_of_a_wide_file_are_series(tmp_path):
    text = "ds,a,b\n2020-01-01,1,\n2020-02-01,2,5\n2020-03-01,3,6\n"

    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    panel, messages = read_csv_panel(tmp_path / "a.csv", PanelParams.model_validate(WIDE))

    assert {name: series.samples.tolist() for name, series in panel.items()} == {
        "a": [1, 2, 3],
        "b": [5, 6],
    }
    assert "series 'b': 1 empty rows at the ends are left out" in messages[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unique_id,ds,y\na,1,1\na,1,2\n", "series 'a', line 3: this time is not after"),
        (
            "unique_id,ds,y\na,1,1\na,2,2\na,3,2\na,5,2\n",
            "series 'a', line 5: this time is 2 later",
        ),
        ("unique_id,ds,y\na,1,1\na,2,x\n", "line 3: 'x' is not a number"),
        ("id,ds,y\na,1,1\n", "no column unique_id (id, ds, y)"),
        ("unique_id,ds,y\na,1,\na,2,\n", "series 'a' has no number"),
    ],
)
def test_errors_name_the_series_and_the_line(tmp_path, text, said):
    with pytest.raises(InputError, match=r"line|column|number") as raised:
        read(tmp_path, text)

    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**LONG, "columns": ["a"]}, "id and column of a long file, or columns of a wide one"),
        ({"path": "data/a.csv", "id": "i", "season": 1, "horizon": 1}, "id and column"),
        ({**LONG, "window": 4}, "observed_series.x.window is not a known key"),
        ({"path": "data/a.csv", "columns": "al", "season": 1, "horizon": 1}, "x.columns"),
    ],
)
def test_an_entry_is_of_a_long_or_of_a_wide_file(entry, said):
    with pytest.raises(InputError) as raised:
        check_params(entry, OBSERVED, "observed_series.x")

    assert said in str(raised.value)


def test_series_that_are_too_short_are_named_and_left_out(capsys):
    panel = make_panel(20, 12, 11, 30)

    assert panel.series_names == ["s0", "s1", "s3"]
    said = capsys.readouterr().out
    assert "1 series have fewer than 12 samples, neither trained on nor scored: s2 (11)" in said


def test_a_file_of_short_series_alone_is_rejected():
    with pytest.raises(InputError, match="no series has the 12 samples"):
        make_panel(11, 5)


def test_the_last_samples_are_the_test_and_those_before_validation():
    panel = make_panel(20, 30)

    training = panel.training
    validation, test = (
        panel.backtest(split, context=1, horizon=3, phases=1, seed=0)
        for split in ("validation", "test")
    )

    assert [len(samples) for samples in training] == [14, 24]
    for row, samples in enumerate(panel.samples):
        assert test.targets[row].tolist() == samples[-3:].tolist()
        assert validation.targets[row].tolist() == samples[-6:-3].tolist()
        history = test.histories[row]
        assert history[~np.isnan(history)].tolist() == samples[:-3].tolist()
    hidden = panel.hide_test().backtest("validation", context=1, horizon=3, phases=1, seed=0)
    assert (hidden.targets == validation.targets).all()
    assert max(len(samples) for samples in panel.hide_test().samples) == 27


def test_a_panel_is_read_as_it_was_written(tmp_path):
    panel = make_panel(20, 30, floor=0.5)

    write_series(tmp_path / "mine.npz", panel)

    for with_params in (True, False):
        again = read_series(tmp_path / "mine.npz", with_params)
        assert (again.params == panel.params) == with_params
        assert again.series_names == panel.series_names
        assert (again.season, again.horizon, again.floor) == (4, 3, 0.5)
        for mine, theirs in zip(panel.samples, again.samples, strict=True):
            assert mine.tolist() == theirs.tolist()


def test_errors_are_those_of_the_competitions():
    backtest = Backtest(
        contexts=np.zeros((2, 1)),
        targets=np.array([[10.0, 20.0], [0.0, 4.0]]),
        naive_error=np.array([[2.0], [1.0]]),
        names=["a", "b"],
    )

    errors = backtest.measure_steps(np.array([[10.0, 30.0], [0.0, 2.0]]))

    assert errors["mase"].tolist() == [[0, 5], [0, 2]]
    assert errors["smape"] == pytest.approx(np.array([[0, 200 * 10 / 50], [0, 200 * 2 / 6]]))


def test_errors_are_scaled_by_the_change_from_season_to_season():
    seasonal, flat, zero = np.tile([1.0, 5.0], 5) + np.arange(10), np.full(8, 3.0), np.zeros(8)

    assert measure_naive_errors([seasonal, flat, zero], 2).tolist() == [2, 3, 1]


def test_naive2_has_an_owa_of_1_and_all_baselines_are_ranked():
    panel = make_panel(20, 24, 30, 30)

    scored = score(panel, ["copy_period", "naive2", "theta", "ets", "combination"])

    assert scored.scores["naive2"]["owa"] == 1
    assert scored.scores["naive2"]["validation"]["owa"] == 1
    interval = scored.scores["theta"]["intervals"]["owa"]
    assert interval["low"] <= scored.scores["theta"]["owa"] <= interval["high"]
    mean = np.mean([scored.scores[name]["smape_3"] for name in ("theta", "ets")])
    assert scored.scores["combination"]["smape_3"] <= mean + 1e-9
    assert scored.scores["combination"]["num_series"] == 4
    assert scored.names == panel.series_names


@pytest.mark.parametrize("sample", [lambda t: 10.0 + t % 4, lambda t: 3.0, lambda t: 0.0])
def test_series_that_repeat_exactly_have_scores_without_owa(sample):
    panel = make_panel(30, 30)
    repeating = [np.array([sample(t) for t in range(30)]) for _ in panel.samples]

    scored = score(dataclasses.replace(panel, samples=repeating), ["naive2", "theta"])

    assert scored.scores["naive2"]["mase_3"] == pytest.approx(0, abs=1e-12)
    assert "owa" not in scored.scores["theta"] and "owa" not in scored.scores["naive2"]


def test_scores_of_one_series_have_no_owa():
    scores = {"horizon_long": 2, "mase_2": 1.0}

    assert add_owa(scores, {}, {"naive2": {}}, {}, evaluation_of(make_panel(20))) == scores


def test_a_network_learns_from_all_series_and_twice_gives_the_same_weights():
    panel = make_panel(40, 30, 24)
    params = params_of("shop_sales_gru", series="mine", **SMALL)

    trained, again = (train(params, panel, "mine") for _ in range(2))

    weights = trained.model.state_dict()
    assert all(
        torch.equal(value, again.model.state_dict()[name]) for name, value in weights.items()
    )
    assert len(trained.model.members) == 2
    assert trained.config.network["members"][0]["network"]["horizon"] == 3
    assert trained.curves.iteration == [10, 20]
    scores = evaluate(trained.model, None, panel, evaluation_of(panel)).scores
    assert scores["num_series"] == 3
    assert scores["mase_3"] < 2


def test_the_test_is_not_learned_from():
    panel = make_panel(40, 30)
    other = make_panel(40, 30)
    for samples in other.samples:
        samples[-6:] = 1e6
    params = params_of("shop_sales_gru", series="mine", **SMALL)

    weights, others = (train(params, of, "mine").model.state_dict() for of in (panel, other))

    assert all(torch.equal(value, others[name]) for name, value in weights.items())


def test_histories_of_any_length_are_forecast_together():
    panel = make_panel(40, 30, 24)
    params = params_of("shop_sales_gru", series="mine", **SMALL)
    forecaster = wrap_model(train(params, panel, "mine").model)
    test = panel.backtest("test", context=1, horizon=3, phases=1, seed=0)

    together = forecaster(test.histories, 3)

    for row, samples in enumerate(panel.samples):
        assert together[row] == pytest.approx(forecaster(samples[None, :-3], 3)[0], rel=1e-6)


def test_prediction_intervals_are_in_units_of_each_series():
    panel = make_panel(40, 30)
    large = collect_panel(
        "mine",
        panel.entry,
        {
            name: CsvSeries(1000 * samples, np.arange(len(samples), dtype=np.float64))
            for name, samples in zip(panel.series_names, panel.samples, strict=True)
        },
    )
    ranges = []
    for of in (panel, large):
        ranges.append(score(of, ["copy_period", "naive2"]).forecast_info["prediction_intervals"])

    assert ranges[0] == ranges[1]


@pytest.mark.parametrize(
    ("model", "series", "said"),
    [
        ("shop_sales_gru", split_file(np.arange(40.0)), "learns from many series"),
        ("sunspots_rnn", make_panel(20), "has many series"),
    ],
)
def test_an_architecture_that_does_not_fit_is_named(model, series, said):
    with pytest.raises(InputError, match=said):
        train(params_of(model), series, model)


def test_a_generated_panel_is_the_same_twice_and_another_by_another_seed():
    entry = {"shops": 3, "shortest": 30, "longest": 40, "noise": 0.1, "seed": 0}

    first, second, other = (
        draw_panel(GeneratedPanelParams.model_validate({**entry, "seed": seed}))
        for seed in (0, 0, 1)
    )

    assert [samples.tolist() for samples in first] == [samples.tolist() for samples in second]
    assert first[0].tolist() != other[0].tolist()
    assert all(30 <= len(samples) <= 40 and (samples > 0).all() for samples in first)


def test_preprocessing_writes_a_panel_and_its_entry(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(json.dumps({"observed_series": {"mine": LONG}}))
    rows = [f"{name},{t},{t % 4 + 1}" for name in "ab" for t in range(20)]
    (tmp_path / "a.csv").write_text("unique_id,ds,y\n" + "\n".join(rows), encoding="utf-8")

    main("observed_series.mine", "a.csv", "out/mine.npz")

    panel = read_series(tmp_path / "out/mine.npz")
    assert panel.series_names == ["a", "b"]
    assert panel.entry.id_column == "unique_id"


@pytest.mark.parametrize(("season", "window", "patch"), [(1, 8, 3), (12, 18, 6), (168, 252, 84)])
def test_sizes_that_are_left_out_follow_from_the_season(season, window, patch):
    panel = make_panel(season + 30, season + 20, season=season)
    params = params_of("shop_sales_gru", series="mine", members=1, iterations=1)

    config = train(params, panel, "mine").config

    sizes = config.network
    assert (sizes["season"], sizes["horizon"]) == (season, 3)
    assert (sizes["window"], sizes["patch"]) == (window, patch)


def test_a_panel_of_more_windows_is_trained_by_more_updates():
    params = params_of("shop_sales_gru", series="mine", members=1, log_every=1)

    few, many = (train(params, panel, "mine") for panel in (make_panel(20), make_panel(3000)))

    assert len(few.curves.loss) == 100
    assert len(many.curves.loss) == round(2.6 * math.sqrt(3000 - 6 - 3 - 2))


def test_intervals_past_the_end_use_errors_of_validation_and_test():
    targets = {"validation": np.full((4, 1), 1.0), "test": np.full((4, 1), 3.0)}
    validation, test = (
        Backtest(np.zeros((4, 1)), of, naive_error=np.ones((4, 1)), names=[*"abcd"])
        for of in targets.values()
    )
    params = evaluation_of(make_panel(20, horizon=1))
    backtests = Backtests([], 0, validation, test)

    intervals = assess(lambda history, n: np.zeros((4, n)), backtests, params).prediction_intervals

    # the intervals of the test use errors of validation alone
    assert intervals[80].coverage.tolist() == [0, 0, 0, 0]
    assert intervals[80].half_width.tolist() == [3]


def test_a_model_of_a_panel_goes_from_its_rows_to_its_figures(tmp_path, monkeypatch):
    panel = make_panel(40, 30, 24)
    params = copy.deepcopy(OFFICIAL) | {
        "forecasters": {"net": OFFICIAL["forecasters"]["shop_sales_gru"] | SMALL}
    }
    params["forecasting_baselines"] |= {"panel_names": ["copy_period", "naive2"]}
    params["evaluate_forecasters"] |= {"bootstrap": {"resamples": 20, "seed": 0}}
    params["figures"] = {"dpi": 30}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(json.dumps(params), encoding="utf-8")
    write_series(tmp_path / "mine.npz", panel)

    train_main("net", "mine.npz", "net")
    score_main("mine.npz", "best", "baselines", "best.json", "best_details")
    evaluate_main("net", "net", "mine.npz", "baselines", "net.json", "details")
    plot_main("net", "details", "mine.npz", "baselines", "plotted")

    assert {"mase", "smape", "owa", "ratio_to_baseline"} == {*read_json(tmp_path / "net.json")}
    errors = read_errors(tmp_path / "details/errors.csv")["net"]
    assert len(errors["mase_3"]) == 3
    drawn = {path.stem for path in (tmp_path / "plotted").rglob("*.png")}
    assert {"forecast", "baselines", "split"} <= drawn
    # of a combination, which is not trained, `details` may not be empty: DVC takes that for missing
    assert (tmp_path / "plotted/details/split.png").exists()
