"""A column of a CSV file in, the samples that follow out."""

import pytest
import torch

from stages.commands import forecast
from stages.shared.errors import InputError
from stages.shared.networks import read_model
from stages.shared.tables import read_table
from tests.shell import run


def test_it_writes_csv_and_png(workspace):
    rows = "\n".join(f"{i},{i / 10}" for i in range(30))
    (workspace / "series.csv").write_text(f"t,y\n{rows}\n", encoding="utf-8")

    run(workspace, "python -m stages.commands.forecast series.csv y out.csv --horizon 4")

    lines = (workspace / "out.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "step,y"
    assert [line.split(",")[0] for line in lines[1:]] == ["30", "31", "32", "33"]
    assert (workspace / "out.png").read_bytes().startswith(b"\x89PNG")


def test_a_named_model_forecasts(workspace):
    (workspace / "series.csv").write_text("y\n0.5\n0.25\n", encoding="utf-8")
    model = read_model(workspace / "data/trained/windowed_lstm_fast")
    with torch.no_grad():
        [expected] = model.forecast(torch.tensor([[0.5, 0.25]]), 3).tolist()
    command = "python -m stages.commands.forecast series.csv y out.csv --horizon 3 --model"

    said = run(workspace, f"{command} windowed_lstm_fast")

    rows = read_table(workspace / "out.csv")
    assert [float(row["y"]) for row in rows] == pytest.approx(expected, rel=1e-6)
    assert said.startswith("windowed_lstm_fast of the workspace: ")


def test_a_surname_model_cannot_forecast(workspace):
    (workspace / "series.csv").write_text("y\n0.5\n", encoding="utf-8")
    command = "python -m stages.commands.forecast series.csv y out.csv --model surname_gru"

    said = run(workspace, command, check=False)

    assert said.splitlines() == [
        "error: dvc.lock has no model surname_gru of sine: choose of carried_rnn, "
        "windowed_lstm_fast"
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("t,z\n1,2\n", r"no column y \(t, z\)"),
        ("", "has no rows"),
        ("t,y\n1,high\n", "'high'"),
        ("t,y\n1,nan\n", "NaN"),
    ],
)
def test_it_says_what_is_wrong_with_a_file(tmp_path, content, reason):
    (tmp_path / "series.csv").write_text(content, encoding="utf-8")

    with pytest.raises(InputError, match=reason):
        forecast.read_column(tmp_path / "series.csv", "y")
