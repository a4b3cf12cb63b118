"""What one sees first in MLflow: each experiment's note and its prepared table and charts."""

import base64
import json
import shutil
import zlib
from typing import Any

import pytest

from stages.shared.json_files import read_json, write_json
from stages.tracking.mlflow_sync.mlflow_internals import VIEW_TAG, find_view_address, format_view
from stages.tracking.mlflow_sync.store import Store, find_uri
from stages.tracking.pages import VIEWS, describe_experiment
from stages.tracking.run_specs import read_models
from tests.pipeline import copy_template, repro
from tests.store import fill, list_files, list_runs, sync
from tests.workspace import rescore, work_in


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
    ("experiment", "column", "ascending"),
    [
        ("surnames", "metrics.`validation/macro_f1`", False),
        ("forecasting", "metrics.`validation/ratio_to_baseline`", True),
    ],
)
def test_the_table_begins_with_the_best_on_validation(tracked, experiment, column, ascending):
    state = decode(read_tags(experiment)[VIEW_TAG])

    assert (state["orderByKey"], state["orderByAsc"]) == (column, ascending)
    assert state["selectedColumns"][0] == column
    narrow, far = state["selectedColumns"][:6], state["selectedColumns"][6:]
    assert narrow[3:] == ["tags.`dvc.lock`", "tags.`kind`", "tags.`data`"]  # at 1280 pixels
    origin = ["tags.`dvc.experiment`", "attributes.`Version`", "tags.`mlflow.source.git.branch`"]
    assert far == [*origin, "attributes.`Duration`"]


def test_curves_of_different_lengths_have_logarithmic_axes(tracked):
    charts = decode(read_tags("forecasting")[VIEW_TAG])["compareRunCharts"]

    [loss] = [chart for chart in charts if chart["metricKey"] == "loss"]
    assert (loss["type"], loss["xAxisKey"]) == ("LINE", "step")
    assert (loss["xAxisScaleType"], loss["scaleType"]) == ("log", "log")


def test_the_same_view_is_the_same_tag():
    for view in VIEWS.values():
        assert format_view(view) == format_view(view)


def test_an_address_opens_the_view_and_no_page_about_chats():
    address = find_view_address("http://host:5000/", "3")

    assert address == (
        "http://host:5000/#/experiments/3/runs?workflowType=machine_learning&viewStateShareKey=best"
    )


def test_the_note_says_which_model_is_best_by_how_much_and_on_which_data(tracked):
    first, *_, last = read_tags("surnames")["mlflow.note.content"].splitlines()

    assert first.startswith("Macro F1 on 100 official test names: **surname_blend 0.590**")
    assert "majority 0.100" in first
    assert last == "| tfidf_svc |  | 0.1 [0.05, 0.15] |  |"


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
    assert "**surname_gru 0.890**" in after and "**surname_gru" not in before
    files = list_files(workspace)
    sync()
    assert list_files(workspace) == files


def test_no_empty_experiment_is_in_sight(tracked):
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
        assert {name for name in shown if not name.startswith("attributes.")} <= known
