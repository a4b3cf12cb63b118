"""The tests of the walk-throughs give what the literal programs' own tests give."""

import shutil
from pathlib import Path

import pytest

from benchmarks.published import carried_rnn, lagged_rnn, small_init_rnn, windowed_lstm
from stages.forecasting import evaluate, generate, preprocess, score_baselines, train
from stages.shared.checkpoints import build_network
from stages.shared.json_files import read_json
from tests.forecasting.entries import OFFICIAL, score_walkthrough

SEEDS = range(12)  # of the start: each of the three is drawn


def rebuild(model, literal):
    """Our network with the weights of the literal program's."""
    entry = OFFICIAL["forecasters"][model]
    network = build_network(entry["architecture"], entry["network"], model)
    network.load_state_dict(literal.state_dict())
    return network.eval()


def run_from_one_point(literal, trained):
    """The literal one-point test from each start that the walk-through may draw, best first."""
    return sorted(
        literal.one_point_free_run(trained.model, trained.state, start)
        for start in literal.TEST_STARTS
    )


@pytest.mark.parametrize(
    ("model", "literal"), [("carried_rnn", carried_rnn), ("small_init_rnn", small_init_rnn)]
)
def test_the_one_point_test_starts_at_one_of_three_segments_in_the_carried_state(model, literal):
    trained = literal.train(300, seed=3)
    network = rebuild(model, trained.model)

    scores = {score_walkthrough(model, network, trained.state, seed) for seed in SEEDS}

    assert sorted(scores) == pytest.approx(run_from_one_point(literal, trained), rel=1e-3)


def test_the_continuation_goes_on_after_training_in_the_carried_state():
    trained = lagged_rnn.train(seed=3)
    network = rebuild("lagged_rnn", trained.model)

    score = score_walkthrough("lagged_rnn", network, trained.state)

    theirs = lagged_rnn.continue_free_run(trained.model, trained.state)
    assert score == pytest.approx(theirs, rel=1e-3)


def test_the_recursive_forecast_is_the_published_one():
    trained = windowed_lstm.train(720)
    network = rebuild("windowed_lstm", trained.model)

    score = score_walkthrough("windowed_lstm", network, None)

    theirs = windowed_lstm.forecast(trained.model, windowed_lstm.make_series())
    assert score == pytest.approx(theirs, rel=1e-3)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with the official params."""
    folder = tmp_path_factory.mktemp("official")
    shutil.copy("params.yaml", folder)
    return folder


def run_stages(model):
    """Generate, train and score in a folder; returns the score of the walk-through test."""
    series = OFFICIAL["forecasters"][model]["series"]
    table, windows = f"generated/{series}.csv", f"windows/{series}.npz"
    generate.main(series, table)
    preprocess.main(f"generated_series.{series}", table, windows)
    train.main(model, windows, "trained")
    score_baselines.main(windows, "best", "baselines", "best.json", "details")
    evaluate.main(model, "trained", windows, "baselines", "metrics.json", "evaluated")
    return read_json(Path("evaluated/scores.json"))["walkthrough_mse"]


def test_the_stages_of_carried_rnn_end_with_the_published_score(workspace, monkeypatch):
    monkeypatch.chdir(workspace)

    score = run_stages("carried_rnn")

    trained = carried_rnn.train(seed=OFFICIAL["forecasters"]["carried_rnn"]["seed"])
    assert score in map(approx, run_from_one_point(carried_rnn, trained))


def approx(score):
    return pytest.approx(score, rel=1e-2)


def test_the_stages_of_lagged_rnn_end_with_the_published_score(workspace, monkeypatch):
    monkeypatch.chdir(workspace)

    score = run_stages("lagged_rnn")

    trained = lagged_rnn.train(seed=OFFICIAL["forecasters"]["lagged_rnn"]["seed"])
    assert score == approx(lagged_rnn.continue_free_run(trained.model, trained.state))
