"""What the walk-throughs ask a reader to try: clipping, and an LSTM in place of the RNN."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline import (
    copy_template,
    list_started,
    list_tracked,
    list_tried,
    read_params,
    read_scores,
)
from tests.shell import run

pytestmark = pytest.mark.slow

METRICS = "data/evaluated/forecasting/carried_rnn.json"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return copy_template(tmp_path / "clone")


def show_experiment(clone, name):
    """The row of one experiment in the table that DVC shows."""
    table = csv.DictReader(io.StringIO(run(clone, "dvc exp show --csv")))
    [row] = [row for row in table if row["Experiment"] == name]
    return row


def test_gradients_are_clipped_by_one_param(clone):
    before = read_scores(clone, "carried_rnn")

    said = run(clone, "dvc exp run --name clipped -S forecasters.carried_rnn.clip_norm=10")

    # no norm of these few updates is above 10: the weights are the same, and so are their scores
    stages = {"train_forecaster@carried_rnn", "plot_forecaster@carried_rnn", "track"}
    assert list_started(said) == {"follow_imports", *stages}
    assert read_scores(clone, "carried_rnn") == before
    assert read_params(clone)["forecasters"]["carried_rnn"]["clip_norm"] == 10
    assert show_experiment(clone, "clipped")["forecasters.carried_rnn.clip_norm"] == "10"
    assert list_tried(clone, "clip_norm") == {"clipped": "10"}


def test_a_small_norm_clips_and_changes_the_scores(clone):
    before = read_scores(clone, "carried_rnn")

    said = run(clone, "dvc exp run --name clipped -S forecasters.carried_rnn.clip_norm=0.001")

    assert list_started(said) == find_stages()
    after = read_scores(clone, "carried_rnn")
    assert after["walkthrough_mse"] != before["walkthrough_mse"]
    shown = show_experiment(clone, "clipped")[f"{METRICS}:walkthrough_mse"]
    assert float(shown) == pytest.approx(after["walkthrough_mse"])


def find_stages():
    """All stages of the one model, the first, which checks params, and the last, which tracks."""
    stages = {f"{stage}_forecaster@carried_rnn" for stage in ("train", "evaluate", "plot")}
    return stages | {"follow_imports", "track"}


def test_an_lstm_takes_the_place_of_the_rnn_by_one_param(clone):
    before = read_scores(clone, "carried_rnn")

    said = run(clone, "dvc exp run --name lstm -S forecasters.carried_rnn.network.cell=lstm")

    assert list_started(said) == find_stages()
    config = json.loads((clone / "data/trained/carried_rnn/config.json").read_text("utf-8"))
    assert config["network"]["cell"] == "lstm"
    assert len(np.load(clone / "data/trained/carried_rnn/state.npy")) == 2  # h and c are carried
    row = show_experiment(clone, "lstm")
    assert row["forecasters.carried_rnn.network.cell"] == "lstm"
    after = read_scores(clone, "carried_rnn")
    assert float(row[f"{METRICS}:walkthrough_mse"]) == pytest.approx(after["walkthrough_mse"])
    assert after["walkthrough_mse"] != before["walkthrough_mse"]
    assert ("carried_rnn", "lstm") in list_tracked(clone)
