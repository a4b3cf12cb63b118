"""A column of a CSV file in, the samples that follow and their prediction interval out."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.cli.forecast import history_problem, main
from stages.forecasting.baselines import make_linear
from stages.forecasting.forecasters import describe_model
from stages.models.transformed_forecaster import TransformedForecaster
from stages.shared.checkpoints import read_model, write_model
from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.shared.model_config import read_config
from stages.shared.tables import read_table
from tests.pipeline import edit_params
from tests.shell import call_srn
from tests.workspace import FORECAST_INFO, take_results


def forecast(**options):
    main(Path("series.csv"), **{"column": "y", "out": Path("out.csv"), **options})


def write_history(folder, samples, name="series.csv"):
    rows = "\n".join(f"{step / 2},{sample}" for step, sample in enumerate(samples))
    (folder / name).write_text(f"t,y\n{rows}\n", encoding="utf-8")


def make_sine(length):
    return [math.sin(step / 2) for step in range(length)]


def test_it_writes_the_forecast_in_its_intervals_and_a_picture(workspace):
    write_history(workspace, make_sine(30))

    options = "--column y --out out.csv --time t --series integer_starts --horizon 4 --level 80 90"
    said = call_srn(workspace, "forecast", "series.csv", *options.split()).stdout

    rows = read_table(workspace / "out.csv")
    assert [row["t"] for row in rows] == ["15", "15.5", "16", "16.5"]
    for level in ("80", "90"):
        half_widths = FORECAST_INFO["prediction_intervals"][level]["half_width"]
        for row, half in zip(rows, half_widths, strict=False):
            assert float(row[f"low_{level}"]) == pytest.approx(float(row["y"]) - half)
            assert float(row[f"high_{level}"]) == pytest.approx(float(row["y"]) + half)
    assert rows[3]["low_80"] == rows[3]["high_90"] == ""  # no error was measured so far ahead
    assert (workspace / "out.png").read_bytes().startswith(b"\x89PNG")
    assert "prediction interval for 80 %: covered 75% of the test" in said
    assert "compared with hold_last, a naive forecast: within the noise" in said
    assert "no errors were measured more than 3 steps ahead" in said
    described = read_json(workspace / "out.json")
    assert described["coverage"] == {"80": 0.75, "90": 0.85}
    assert (described["steps"], described["steps_with_intervals"]) == (4, 3)


def test_a_forecast_is_not_written_through_links(workspace):
    write_history(workspace, make_sine(30))
    (workspace / "theirs").write_text("theirs", encoding="utf-8")
    outs = [workspace / f"out.{ending}" for ending in ("csv", "json", "png")]
    for out in outs:
        out.symlink_to("theirs")

    forecast(series="integer_starts")

    assert (workspace / "theirs").read_text(encoding="utf-8") == "theirs"
    assert [out.is_symlink() for out in outs] == [False, False, False]


def test_a_forecast_goes_as_far_as_the_intervals(workspace):
    write_history(workspace, make_sine(30))

    forecast(series="integer_starts")

    assert len(read_table(workspace / "out.csv")) == 3


def test_a_named_model_forecasts(workspace, capsys):
    history = make_sine(20)
    write_history(workspace, history)
    model = read_model(workspace / "data/trained/windowed_lstm_fast")
    with torch.no_grad():
        [expected] = model.forecast(torch.tensor([history]), 3).tolist()

    forecast(model="windowed_lstm_fast", horizon=3)

    rows = read_table(workspace / "out.csv")
    assert [float(row["y"]) for row in rows] == pytest.approx(expected, rel=1e-6)
    assert capsys.readouterr().out.startswith(
        "windowed_lstm_fast of the workspace, as it was scored"
    )


def test_a_history_outside_the_training_range_is_rejected_unless_forced(workspace):
    write_history(workspace, [20 + 5 * math.sin(step / 7) for step in range(30)])
    reason = "from 15.7892 to 25 is not what .* integer_starts lies between -1 and 1; --force"

    with pytest.raises(InputError, match=reason):
        forecast(series="integer_starts")
    assert not (workspace / "out.csv").exists()
    forecast(series="integer_starts", force=True)

    assert (workspace / "out.csv").exists()


@pytest.mark.parametrize(
    ("length", "spacing", "reason"),
    [
        (19, None, "a history of 19 samples is too short: the model was scored after 20"),
        (20, 1.0, "samples 1 apart are not what the model was scored on: 0.5 apart"),
        (20, 0.51, None),  # as months differ
        (20, None, None),
    ],
)
def test_history_and_spacing_are_compared_with_the_training(length, spacing, reason):
    history = torch.tensor(make_sine(length)).numpy()

    assert history_problem(history, spacing, FORECAST_INFO) == reason


def test_neither_a_forecast_nor_its_interval_goes_below_the_floor(workspace):
    folder = workspace / "data/trained/carried_rnn"
    units = {"mean": 0.5, "std": 1.0, "log": False, "differences": [], "floor": 0.25}
    transformed = TransformedForecaster([read_model(folder)], **units)
    write_model(folder, describe_model(transformed, read_config(folder).network), transformed)
    details = workspace / "data/evaluated/details/forecasting/carried_rnn"
    write_json(details / "forecast_info.json", FORECAST_INFO | {"transform": units})
    stages = [f"{verb}_forecaster@carried_rnn" for verb in ("train", "evaluate", "plot")]
    take_results(workspace, *stages)
    write_history(workspace, [0.5 + 0.5 * sample for sample in make_sine(30)])

    forecast(model="carried_rnn", levels=[90], force=True)

    rows = read_table(workspace / "out.csv")
    assert all(float(row["y"]) >= 0.25 and float(row["low_90"]) >= 0.25 for row in rows)
    assert float(rows[2]["low_90"]) == 0.25  # 2 below the forecast, without a floor


def test_without_a_series_it_lists_the_series(workspace):
    write_history(workspace, make_sine(30))

    with pytest.raises(InputError, match="name the series: --series integer_starts, "):
        forecast()


def test_a_series_without_a_model_is_rejected(workspace):
    write_history(workspace, make_sine(30))

    known = "integer_starts, period_40"
    with pytest.raises(
        InputError,
        match=f"no model of sunspots: train one by `make repro`, or choose one of {known}",
    ):
        forecast(series="sunspots")


def test_the_leaderboard_of_the_surnames_is_no_series(workspace):
    write_history(workspace, make_sine(30))

    with pytest.raises(InputError, match="surnames is not a series"):
        forecast(series="surnames")


def test_a_model_that_is_named_does_not_come_from_mlflow(workspace):
    write_history(workspace, make_sine(30))

    with pytest.raises(InputError, match="--from-mlflow takes a champion: name its --series"):
        forecast(model="carried_rnn", from_mlflow=True)


def test_the_best_baseline_forecasts_as_any_model(workspace):
    samples = [math.sin(step) for step in range(33)]
    write_history(workspace, samples[:30])

    forecast(model="period_40_baseline")

    written = [float(row["y"]) for row in read_table(workspace / "out.csv")]
    assert written == pytest.approx(samples[30:], abs=1e-6)


def test_a_surname_model_cannot_forecast(workspace):
    write_history(workspace, make_sine(30))

    with pytest.raises(
        InputError, match="no model surname_gru of forecasting: choose one of carried_rnn"
    ):
        forecast(model="surname_gru")


def test_a_model_of_a_file_takes_and_gives_the_units_of_the_file(workspace):
    folder = workspace / "data/trained/carried_rnn"
    model = read_model(folder)
    units = {"mean": 20.0, "std": 5.0, "log": False, "differences": [], "floor": None}
    transformed = TransformedForecaster([model], **units)
    config = describe_model(transformed, read_config(folder).network)
    write_model(folder, config, transformed)
    forecast_info = workspace / "data/evaluated/details/forecasting/carried_rnn/forecast_info.json"
    write_json(forecast_info, FORECAST_INFO | {"transform": units})
    stages = [f"{verb}_forecaster@carried_rnn" for verb in ("train", "evaluate", "plot")]
    take_results(workspace, *stages)
    standardised = make_sine(20)
    write_history(workspace, [20 + 5 * sample for sample in standardised])
    with torch.no_grad():
        [expected] = model.forecast(torch.tensor([standardised]).double(), 3).tolist()

    forecast(model="carried_rnn")

    forecasts = [float(row["y"]) for row in read_table(workspace / "out.csv")]
    assert forecasts == pytest.approx([20 + 5 * sample for sample in expected], rel=1e-5)


SALES = {
    "path": "data/series/sales.csv",
    "id": "unique_id",
    "time": "ds",
    "column": "y",
    "season": 2,
    "horizon": 3,
}


@pytest.fixture
def panel(workspace):
    """Three series from one file, and a model of them that repeats their last season."""
    rows = [
        f"{name},2020-{month:02},{level + 4 * (month % 2)}"
        for name, level, first in (
            ("small", 1, 1),
            ("large", 1000, 3),
            ("young", 7, 9),
            ("new", 7, 12),
        )
        for month in range(first, 13)
    ]
    text = "\n".join(["unique_id,ds,y", *rows])
    (workspace / "data/series/sales.csv").write_text(text, encoding="utf-8")

    def edit(params):
        params["observed_series"]["sales"] = SALES
        params["forecasters"]["carried_rnn"]["architecture"] = "linear_forecaster"

    edit_params(workspace, edit)
    model = make_linear(np.eye(2))
    write_model(workspace / "data/trained/carried_rnn", describe_model(model), model)
    forecast_info = FORECAST_INFO | {"series": "sales", "least_history": 2, "spacing": None}
    details = workspace / "data/evaluated/details/forecasting/carried_rnn"
    write_json(details / "forecast_info.json", forecast_info)
    stages = [f"{verb}_forecaster@carried_rnn" for verb in ("train", "evaluate", "plot")]
    take_results(workspace, *stages)
    return workspace


def test_all_series_of_a_file_are_forecast_into_one(panel, capsys):
    main(model="carried_rnn", as_scored=True)

    every = read_table(panel / "data/series/sales_forecast.csv")
    rows, unsure = every[:6], every[6:]
    assert [row["unique_id"] for row in rows] == 3 * ["small"] + 3 * ["large"]
    assert [row["unique_id"] for row in unsure] == 3 * ["young"]  # no such series was scored
    assert {row["low_80"] + row["high_80"] for row in unsure} == {""}
    assert [row["ds"] for row in rows[:3]] == ["2021-01", "2021-02", "2021-03"]
    assert [float(row["y"]) for row in rows] == [5, 1, 5, 1004, 1000, 1004]
    # in units of the mean change: of these series from month to month, since no season changes
    assert [float(row["high_80"]) - float(row["y"]) for row in rows] == 2 * [1, 2, 4]
    assert (panel / "data/series/sales_forecast.png").read_bytes().startswith(b"\x89PNG")
    assert "1 series are too short to be forecast: new" in capsys.readouterr().out
    described = read_json(panel / "data/series/sales_forecast.json")
    assert (described["num_series"], described["left_out"]) == (3, ["new"])
    assert described["without_interval"] == ["young"]
    assert (described["first"], described["last"]) == ("2021-01", "2021-03")


def test_the_columns_of_intervals_are_there_where_no_series_has_one(panel):
    text = "unique_id,ds,y\na,2020-01,1\na,2020-02,2\na,2020-03,3\n"
    (panel / "young.csv").write_text(text, "utf-8")

    main(Path("young.csv"), model="carried_rnn", as_scored=True, levels=[80, 90])

    lines = (panel / "young_forecast.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "unique_id,ds,y,low_80,high_80,low_90,high_90"
    assert lines[1] == "a,2020-04,2.0,,,,"


def test_a_file_of_short_series_alone_is_not_forecast(panel):
    (panel / "short.csv").write_text("unique_id,ds,y\na,2020-01,1\nb,2020-01,2\n", "utf-8")

    with pytest.raises(InputError, match="all series are too short"):
        main(Path("short.csv"), model="carried_rnn", as_scored=True)


def test_a_generated_series_has_no_file_of_its_own(workspace):
    with pytest.raises(
        InputError, match="integer_starts is not a series from a file: name a CSV file"
    ):
        main(series="integer_starts")
