"""What one sees first in MLflow: each experiment's note and its prepared table and charts."""

import base64
import json
import shutil
import zlib
from typing import Any

import pytest

from stages.shared.json_files import read_json, write_json
from stages.tracking.mlflow_sync.mlflow_internals import VIEW_TAG, find_view_address, format_view
from stages.tracking.mlflow_sync.runs import NOTE_TAG, join_note
from stages.tracking.mlflow_sync.store import Store, find_uri
from stages.tracking.pages import VIEWS, describe_experiment, rank_runs
from stages.tracking.run_specs import read_models
from tests.pipeline import copy_template, repro
from tests.store import fill, find_run, list_files, list_runs, sync
from tests.workspace import (
    add_forecaster,
    redraw_tour,
    rescore,
    take_results,
    work_in,
    write_scores,
)


def decode(tag: str) -> dict[str, Any]:
    """The state of the page that a tag keeps."""
    kind, _, deflated = json.loads(tag)["state"].partition(";")
    assert kind == "deflate"
    return json.loads(zlib.decompress(base64.b64decode(deflated)))


def read_tags(experiment: str) -> dict[str, str]:
    return Store(find_uri()).tags[experiment]


@pytest.mark.parametrize(
    "missing",
    [
        "data",
        "data/evaluated/details/surnames/surname_ngrams/scores.json",
        "data/evaluated/details/surnames/baselines/scores.json",
    ],
)
def test_a_clone_without_files_of_all_models_leaves_the_page_as_it_is(workspace, capsys, missing):
    fill(workspace)
    before = read_tags("surnames")
    path = workspace / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    sync()

    assert read_tags("surnames") == before
    assert "surnames: page left as it is, data/" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("experiment", "scores"),
    [
        ("surnames", ["validation/macro_f1", "test/macro_f1", "test/accuracy"]),
        ("forecasting", ["validation/ratio_to_baseline", "test/ratio_to_baseline"]),
    ],
)
def test_the_table_is_sorted_by_rank_and_has_scores_and_verdict_at_1280_pixels(
    tracked, experiment, scores
):
    state = decode(read_tags(experiment)[VIEW_TAG])

    assert (state["orderByKey"], state["orderByAsc"]) == ("tags.`leaderboard`", True)
    columns = ["tags.`leaderboard`", *[f"metrics.`{score}`" for score in scores]]
    columns += ["tags.`verdict`", "tags.`dvc.lock`"]
    assert state["selectedColumns"][: len(columns)] == columns
    origin = ["tags.`dvc.experiment`", "attributes.`Version`", "tags.`mlflow.source.git.branch`"]
    assert {*origin} <= {*state["selectedColumns"]}
    assert state["columnOrder"][2:] == state["selectedColumns"]
    widths = state["columnWidths"]
    assert sum(widths[column] for column in state["columnOrder"][: 2 + len(columns)]) <= 980


def test_the_view_has_the_best_forecasters_of_a_series_and_the_best_network(tracked):
    found = {run.info.run_name: run.data.tags.get("leaderboard") for run in list_runs()}

    assert (
        decode(read_tags("forecasting")[VIEW_TAG])["searchFilter"] == "tags.`leaderboard` LIKE '%'"
    )
    ranks = {name: rank for name, rank in found.items() if rank and "_" in rank}
    assert ranks == {
        "carried_rnn": "integer_starts 1 best",
        "windowed_lstm_fast": "integer_starts 2 runner-up",
        "period_40_baseline": "period_40 1 best",
    }


def test_the_best_network_is_in_the_view_also_as_the_third(workspace):
    add_forecaster(workspace, "sine_rnn")
    for name, error in {"carried_rnn": 1.9, "windowed_lstm_fast": 1.5, "sine_rnn": 1.7}.items():
        write_scores(workspace, name, error)
        take_results(workspace, f"evaluate_forecaster@{name}", f"plot_forecaster@{name}")

    specs = rank_runs(read_models())

    ranks = {spec.name: (spec.rank_tags or {}).get("leaderboard") for spec in specs}

    assert ranks["integer_starts_baseline"] == "integer_starts 1 best"
    assert ranks["windowed_lstm_fast"] == "integer_starts 2 runner-up"
    assert ranks["carried_rnn"] is ranks["sine_rnn"] is None


def test_all_surname_models_and_baselines_have_a_rank(tracked):
    found = {run.info.run_name: run.data.tags.get("leaderboard") for run in list_runs()}

    assert (found["surname_blend"], found["surname_gru"]) == ("1 best", "2")
    assert {found["majority"], found["tfidf_svc"]} == {"5", "6"}


def test_curves_of_different_lengths_have_logarithmic_axes(tracked):
    charts = decode(read_tags("forecasting")[VIEW_TAG])["compareRunCharts"]

    [loss] = [chart for chart in charts if chart["metricKey"] == "curves/loss"]
    assert (loss["type"], loss["xAxisKey"]) == ("LINE", "step")
    assert (loss["xAxisScaleType"], loss["scaleType"]) == ("log", "log")


def test_the_same_view_is_the_same_tag():
    for view in VIEWS.values():
        assert format_view(view) == format_view(view)


def test_an_address_opens_the_view_of_runs():
    address = find_view_address("http://host:5000/", "3")

    assert address == (
        "http://host:5000/#/experiments/3/runs?workflowType=machine_learning&viewStateShareKey=best"
    )


def test_the_note_names_the_best_model_the_difference_and_the_data(tracked):
    _, first, *rest = read_tags("surnames")["mlflow.note.content"].splitlines()

    assert first == (
        "**surname_blend** is best on validation: macro F1 0.590 on test, +0.490 over the best "
        "baseline (majority)."
    )
    assert len(first) <= 140  # uncut at 1280 pixels
    assert any("All on 100 official test names" in line for line in rest)
    assert "- letters folded, 3: ö→o 3" in rest and "- letters dropped, 1: ß 1" in rest
    assert "| tfidf_svc |  | 0.1 [0.05, 0.15] |  |" in rest


IMPROVEMENTS = [
    ({"baseline": "ridge", "low": 0.1, "high": 0.2}, "ahead"),
    ({"baseline": "ridge", "low": -0.1, "high": 0.2}, "within the noise"),
    ({"baseline": "ridge", "low": -0.2, "high": -0.1}, "behind"),
]


@pytest.mark.parametrize(("improvement", "verdict"), IMPROVEMENTS)
def test_a_network_is_called_ahead_only_beyond_the_noise(workspace, improvement, verdict):
    path = workspace / "data/evaluated/details/forecasting/carried_rnn/scores.json"
    write_json(path, read_json(path) | {"improvement": {"mse_500": improvement}})

    note = describe_experiment("forecasting", read_models())

    first, *rows = note.splitlines()
    [row] = [line for line in rows if line.startswith("| integer_starts ")]
    cells, runner_up = "carried_rnn | 0.2 [0.15, 0.25]", "windowed_lstm_fast: 0.4 [0.35, 0.45]"
    assert row.endswith(f"| {cells} | {runner_up} | {cells} | {verdict} (against ridge) |")
    assert ("carried_rnn" in first) == (verdict == "ahead")


def test_the_note_follows_the_scores_and_nothing_is_written_twice(workspace):
    fill(workspace)
    before = read_tags("surnames")["mlflow.note.content"]
    rescore(workspace, "surname_gru", 0.9)

    sync()

    after = read_tags("surnames")["mlflow.note.content"]
    assert "**surname_gru** is best" in after and "**surname_gru**" not in before
    files = list_files(workspace)
    sync()
    assert list_files(workspace) == files


def test_what_people_wrote_on_a_page_stays_when_its_note_changes(workspace):
    fill(workspace)
    client, experiment = Store(find_uri()).client, Store(find_uri()).experiments["surnames"]
    run_id = find_run("layer_tour").info.run_id
    note = f"above\n{read_tags('surnames')[NOTE_TAG]}\nbelow"
    client.set_experiment_tag(experiment, NOTE_TAG, note)
    note = f"above\n{client.get_run(run_id).data.tags[NOTE_TAG]}\nbelow"
    client.set_tag(run_id, NOTE_TAG, note)
    rescore(workspace, "surname_gru", 0.9)
    redraw_tour(workspace, "blue")

    sync()

    of_page, of_run = read_tags("surnames")[NOTE_TAG], client.get_run(run_id).data.tags[NOTE_TAG]
    for note in (of_page, of_run):
        assert note.startswith("above\n") and note.endswith("\nbelow")
    assert "**surname_gru** is best" in of_page and "**surname_blend** is best" not in of_page
    assert of_run == note


def test_a_note_that_somebody_replaced_stays_below_ours():
    note = join_note("ours", "")
    assert "ours" in note and join_note("ours", note) == note
    assert join_note("new", note) == note.replace("ours", "new")
    assert join_note("ours", "theirs") == f"{note}\n\ntheirs"


def test_no_empty_experiment_is_shown(tracked):
    names = {experiment.name for experiment in Store(find_uri()).client.search_experiments()}

    assert names == {*VIEWS} - {"searches"}  # none was run


@pytest.mark.slow
def test_every_column_and_chart_shows_something_of_the_real_pipeline(tmp_path, monkeypatch):
    clone = copy_template(tmp_path / "clone")
    repro(clone)
    work_in(clone, monkeypatch)
    store = Store(find_uri())

    for name, experiment_id in store.experiments.items():
        view = VIEWS[name]
        known = set()
        for run in list_runs():
            if run.info.experiment_id == experiment_id:
                known |= {f"metrics.`{metric}`" for metric in run.data.metrics}
                known |= {f"tags.`{tag}`" for tag in run.data.tags}
        shown = [*view.columns, *(f"metrics.`{metric}`" for metric in (*view.bars, *view.lines))]
        # of no run here, or not of each kind
        elsewhere = ("attributes.", "tags.`dvc.experiment`", "metrics.`curves/validation_loss`")
        assert {name for name in shown if not name.startswith(elsewhere)} <= known
