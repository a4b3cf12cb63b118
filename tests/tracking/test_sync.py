"""After a sync the store agrees with dvc.lock, whatever happened to either: real git and DVC."""

import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.shared.yaml_files import format_yaml, parse_yaml
from stages.tracking import run_specs
from stages.tracking.leaderboards import DETAILS
from stages.tracking.mlflow_sync import runs
from stages.tracking.mlflow_sync.commits import find_commit
from stages.tracking.mlflow_sync.mlflow_internals import VIEW_TAG, make_database
from stages.tracking.mlflow_sync.runs import COMMIT_TAG, run_problem, write_run
from stages.tracking.mlflow_sync.store import Store, find_artifacts, find_uri
from stages.tracking.mlflow_sync.sync import begin
from stages.tracking.run_specs import DESCRIPTIONS
from tests.pipeline import list_tracked, replace_text
from tests.shell import SERVER_FOLDERS, call, call_srn, commit, find_server, run
from tests.store import (
    assert_complete,
    check,
    fill,
    find_run,
    find_spec,
    list_files,
    list_names,
    list_runs,
    read_artifacts,
    start_sync,
    sync,
)
from tests.workspace import (
    RUNS,
    ask_again,
    measure_again,
    nest_errors,
    redraw,
    redraw_tour,
    rescore,
    retrain,
    say_again,
    take_results,
)


def test_a_second_sync_writes_nothing(workspace):
    fill(workspace)
    before = list_files(workspace)

    sync()

    assert list_files(workspace) == before


@pytest.mark.slow
def test_a_store_that_was_deleted_is_made_again(workspace):
    run(workspace, "python stages/run.py tracking.track")  # this process would keep the file open
    (workspace / "mlflow.db").unlink()
    shutil.rmtree(workspace / "mlartifacts")

    sync()

    assert_complete()


def test_an_experiment_that_somebody_deleted_is_restored(workspace):
    fill(workspace)
    store = Store(find_uri())
    store.client.delete_experiment(store.experiments["forecasting"])

    sync()

    assert_complete()


def test_an_experiment_that_somebody_renamed_is_not_filled_twice(workspace):
    fill(workspace)
    store = Store(find_uri())
    store.client.rename_experiment(store.experiments["surnames"], "names of people")
    before = list_runs()

    sync()

    assert [made.info.run_id for made in list_runs()] == [made.info.run_id for made in before]
    assert Store(find_uri()).experiments == store.experiments


def test_an_experiment_of_somebody_else_that_has_the_name_is_left_alone(workspace):
    make_database(workspace / "mlflow.db", find_artifacts(workspace / "mlflow.db"))
    other = MlflowClient(find_uri()).create_experiment("surnames")

    sync()

    assert MlflowClient(find_uri()).get_experiment(other).tags == {}
    assert MlflowClient(find_uri()).search_runs([other]) == []
    assert_complete()


def test_a_store_of_an_earlier_version_is_a_one_line_error_with_what_to_do(workspace):
    make_database(workspace / "mlflow.db", find_artifacts(workspace / "mlflow.db"))
    MlflowClient(find_uri()).create_experiment("forecasting", tags={VIEW_TAG: "a view"})

    with pytest.raises(
        InputError, match=r"mlflow.db cannot be used .*earlier version\): delete it"
    ):
        sync()


def test_a_model_of_an_earlier_version_is_a_one_line_error_with_what_to_do(workspace):
    fill(workspace)
    made = find_run("carried_rnn").info.run_id
    Store(find_uri()).client.delete_tag(made, "sync.package_md5")

    with pytest.raises(
        InputError, match=r"carried_rnn, model: it was logged by an earlier version"
    ):
        sync()


def test_artifacts_lie_in_the_repository_wherever_the_process_works(
    workspace, tmp_path, monkeypatch
):
    elsewhere = Path(shutil.copytree(workspace, tmp_path / "elsewhere"))
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(workspace))

    sync()

    assert (workspace / "mlflow.db").exists()
    assert list((workspace / "mlartifacts/forecasting").iterdir())
    assert not [
        name for name in ("mlflow.db", "mlartifacts", "mlruns") if (elsewhere / name).exists()
    ]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(Path.unlink, "is missing: run `make pull`", id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), "differs from dvc.lock", id="changed"),
    ],
)
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("carried_rnn", "data/trained/carried_rnn/weights.pt"),
        pytest.param("layer_tour", "data/plotted/layers/layers.csv", marks=pytest.mark.slow),
    ],
)
def test_files_that_differ_from_the_lock_are_not_tracked(
    workspace, name, path, spoil: Callable[[Path], object], reason
):
    spoil(workspace / path)

    with pytest.raises(InputError, match=f"{name}: {path} {reason}"):
        sync()

    assert list_names() == [run for run in RUNS if run != name]


@pytest.mark.parametrize(
    ("is_listed", "verdict"),
    [
        (False, "differs from dvc.lock: run `dvc repro`"),
        (True, "may differ from dvc.lock: run `make pull` or `dvc repro`"),
    ],
)
def test_a_model_is_not_packed_with_code_that_it_was_not_trained_by(workspace, is_listed, verdict):
    path = "stages/models/sequence_forecaster.py"
    with (workspace / path).open("a", encoding="utf-8") as code:
        code.write("# a comment\n")
    if is_listed:
        run(workspace, "python stages/run.py imports.follow data/code")

    problem = run_problem(find_spec("carried_rnn"))

    assert problem == f"{path} {verdict}"


def test_other_code_than_a_model_is_packed_with_may_have_changed(workspace):
    with (workspace / "stages/shared/figures.py").open("a", encoding="utf-8") as code:
        code.write("# a comment\n")
    run(workspace, "python stages/run.py imports.follow data/code")

    assert run_problem(find_spec("carried_rnn")) is None


def test_a_model_is_compared_again_after_its_baselines_changed(workspace):
    fill(workspace)
    path = workspace / "data/evaluated/details/forecasting/baselines/integer_starts/scores.json"
    better = read_json(path)
    better["ridge"] |= nest_errors(0.02, 0.02, ratio=1.0)
    write_json(path, better)
    readers = (f"{stage}_forecaster@carried_rnn" for stage in ("evaluate", "plot"))
    take_results(workspace, "score_series_baselines@integer_starts", *readers)

    sync()

    note = find_run("carried_rnn").data.tags["mlflow.note.content"]
    assert "| mse_500 | 0.2 [0.15, 0.25] |" in note and "| 0.02 [-0.03, 0.07] |" in note


def test_a_model_without_the_files_of_its_baselines_is_not_tracked(workspace):
    path = "data/evaluated/details/forecasting/baselines/integer_starts/scores.json"
    (workspace / path).unlink()

    problem = run_problem(find_spec("carried_rnn"))

    assert problem and problem.startswith(f"{path} is")


def draw_blue(workspace: Path) -> None:
    redraw(workspace, "carried_rnn", "blue")


def print_more(workspace: Path) -> None:
    say_again(workspace, "carried_rnn", "more")


def answer_otherwise(workspace: Path) -> None:
    ask_again(workspace, "surname_gru", ("English", -0.5))


def draw_the_tour_blue(workspace: Path) -> None:
    redraw_tour(workspace, "blue")


@pytest.mark.parametrize(
    ("change", "name", "artifact", "text"),
    [
        pytest.param(draw_blue, "carried_rnn", "figures/forecast.png", "blue", id="figure"),
        pytest.param(
            print_more, "carried_rnn", "progress.txt", "more", id="progress", marks=pytest.mark.slow
        ),
        pytest.param(answer_otherwise, "surname_gru", "tables/queries.csv", "English", id="table"),
        pytest.param(
            draw_the_tour_blue,
            "layer_tour",
            "figures/gradients.png",
            "blue",
            id="tour",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_shown_is_replaced_in_the_same_run(workspace, change, name, artifact, text):
    fill(workspace)
    before = {run.info.run_id: read_artifacts(workspace, run) for run in list_runs()}
    run_id = find_run(name).info.run_id
    change(workspace)
    with pytest.raises(InputError, match=f"{name}: stale figures, tables or note"):
        check()

    sync()

    after = {run.info.run_id: read_artifacts(workspace, run) for run in list_runs()}
    assert text in after[run_id][artifact] and text not in before[run_id][artifact]
    assert {run for run in after if after[run] != before[run]} == {run_id}
    assert after[run_id].keys() == before[run_id].keys()
    check()


def test_a_run_names_the_stages_of_what_it_shows_now(workspace):
    fill(workspace)
    before = read_artifacts(workspace, find_run("carried_rnn"))["lineage.json"]
    draw_blue(workspace)

    sync()

    after = read_artifacts(workspace, find_run("carried_rnn"))["lineage.json"]
    assert json.loads(after)["plot"]["outs"] != json.loads(before)["plot"]["outs"]


def test_runs_of_an_earlier_format_are_brought_up_to_date(workspace):
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(runs, "FORMAT", 2)
        earlier.setattr(run_specs, "list_metrics", lambda scores: {})
        sync()
    before = {run.info.run_id for run in list_runs()}
    assert "test/ratio_to_baseline" not in find_run("ridge (period_40)").data.metrics
    with pytest.raises(InputError, match="carried_rnn: stale figures, tables or note"):
        check()

    sync()

    assert {run.info.run_id for run in list_runs()} == before
    assert find_run("ridge (period_40)").data.metrics["test/ratio_to_baseline"] == 1.0
    check()


def test_a_figure_that_is_no_longer_drawn_is_deleted(workspace):
    fill(workspace)
    plotted = workspace / "data/plotted/carried_rnn/details"
    (plotted / "loss.png").rename(plotted / "curve.png")
    take_results(workspace, "plot_forecaster@carried_rnn")

    sync()

    shown = read_artifacts(workspace, find_run("carried_rnn"))
    figures = [path for path in shown if path.startswith("figures/")]
    assert "figures/curve.png" in figures and "figures/loss.png" not in figures


@pytest.mark.skipif(not shutil.which("setpriv"), reason="gives a right away")
@pytest.mark.parametrize(
    "link", ["symlink", pytest.param("hardlink", marks=pytest.mark.slow, id="hardlink")]
)
def test_a_figure_that_is_a_read_only_link_is_replaced_as_often_as_it_changes(workspace, link):
    run(workspace, f"dvc config cache.type {link}")
    fill(workspace)
    figure = workspace / "data/plotted/carried_rnn/details/loss.png"
    # root may write to a read-only file, until it gives that right away
    prefix = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []

    for color in ("blue", "green"):
        figure.unlink()
        figure.write_text(color, encoding="utf-8")
        take_results(workspace, "plot_forecaster@carried_rnn")
        synced = call(workspace, *prefix, sys.executable, "stages/run.py", "tracking.track")
        assert synced.returncode == 0, synced.stdout

    assert figure.stat().st_mode & 0o222 == 0  # of DVC
    shown = read_artifacts(workspace, find_run("carried_rnn"))
    assert shown["figures/loss.png"] == "green"
    check()


@pytest.mark.parametrize("name", ["carried_rnn", "layer_tour"])
def test_another_description_is_written_into_the_same_run(workspace, name):
    fill(workspace)
    before = find_run(name)
    replace_text(workspace / DESCRIPTIONS, f"  {name}: >-\n", f"  {name}: >-\n    Other words.\n")
    with pytest.raises(InputError, match=f"{name}: stale figures, tables or note"):
        check()

    sync()

    after = find_run(name)
    assert after.info.run_id == before.info.run_id
    assert "Other words." in after.data.tags["mlflow.note.content"]
    check()


def test_a_model_with_other_prediction_intervals_is_another_run(workspace):
    """Its MLflow model answers with them, whatever its scores."""
    fill(workspace)
    path = workspace / DETAILS["forecasting"] / "carried_rnn/forecast_info.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.25", "0.125"), encoding="utf-8")
    take_results(workspace, "evaluate_forecaster@carried_rnn", "plot_forecaster@carried_rnn")

    sync()

    marked = [run for run in list_runs() if run.info.run_name == "carried_rnn"]
    assert [run.data.tags.get("dvc.lock") for run in marked].count("current") == 1
    assert len(marked) == 2


def test_a_tour_that_measured_something_else_is_another_run(workspace):
    fill(workspace)
    before = find_run("layer_tour")

    measure_again(workspace, 7e-07)
    sync()

    after = find_run("layer_tour")
    assert after.info.run_id != before.info.run_id
    assert after.data.metrics["largest_difference"] == 7e-07
    assert len(list_runs()) == len(RUNS) + 1


def test_a_lock_without_the_tour_is_accepted(workspace):
    lock = parse_yaml((workspace / "dvc.lock").read_text(encoding="utf-8"))
    del lock["stages"]["probe_layers"]
    (workspace / "dvc.lock").write_text(format_yaml(lock), encoding="utf-8")

    sync()

    assert list_names() == [name for name in RUNS if name != "layer_tour"]
    check()


@pytest.mark.slow
def test_artifacts_that_a_server_has_lost_are_uploaded_again(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", find_server("lost"))
    sync()
    made = find_run("carried_rnn")
    [lost] = SERVER_FOLDERS[find_uri()].glob(f"artifacts/*/{made.info.run_id}")
    shutil.rmtree(lost)
    with pytest.raises(InputError, match=f"carried_rnn: no artifacts of {made.info.run_id}"):
        check()

    sync()

    check()
    shown = MlflowClient(find_uri()).list_artifacts(made.info.run_id, "figures")
    assert "figures/loss.png" in {file.path for file in shown}


# Clones and commits


def test_a_fresh_clone_has_all_runs_after_dvc_pull(workspace, tmp_path):
    run(workspace, f"dvc remote add -d shared {tmp_path / 'remote'} && dvc push -q")
    commit(workspace, "remote")
    run(tmp_path, f"git clone -q {workspace} clone")
    clone = tmp_path / "clone"

    run(clone, "dvc pull -q")
    call_srn(clone, "sync")

    assert_complete(f"sqlite:///{clone}/mlflow.db")
    assert list(clone.glob("mlartifacts/forecasting/*/artifacts/figures/loss.png"))


@pytest.mark.slow
def test_an_older_commit_has_its_runs_after_dvc_checkout(workspace):
    old = find_spec("carried_rnn")
    retrain(workspace, "carried_rnn", seed=1)
    sync()
    commit(workspace, "other weights")
    run(workspace, "git checkout -q HEAD~1 && dvc checkout -q")

    sync()

    assert len(Store(find_uri()).find_runs(old.key)) == 1
    assert len(list_runs()) == len(RUNS) + 1
    check()


def test_the_commit_is_noted_only_once_it_holds_the_model(workspace):
    retrain(workspace, "carried_rnn", seed=1)
    sync()
    assert COMMIT_TAG not in find_run("carried_rnn").data.tags

    commit(workspace, "other weights")
    sync()

    head = run(workspace, "git rev-parse HEAD").strip()
    assert {made.data.tags[COMMIT_TAG] for made in list_runs()} == {head}
    before = list_files(workspace)
    run(workspace, "git commit -q --allow-empty -m later")
    sync()
    assert list_files(workspace) == before  # the first commit that held it stays


def test_in_a_subfolder_of_a_repository_the_commit_is_noted_when_that_folder_is_clean(
    tmp_path, monkeypatch
):
    run(tmp_path, "git init -q && mkdir project && touch project/dvc.lock")
    commit(tmp_path, "the project")
    monkeypatch.chdir(tmp_path / "project")
    head = run(tmp_path, "git rev-parse HEAD").strip()

    (tmp_path / "of_another_team.txt").touch()
    assert find_commit() == head

    (tmp_path / "project/params.yaml").touch()
    assert find_commit() is None


# Several writers


@pytest.mark.parametrize("name", ["carried_rnn", "layer_tour"])
def test_of_two_runs_with_one_key_the_smaller_id_stays(workspace, name):
    fill(workspace)
    subject = find_spec(name)
    write_run(Store(find_uri()), subject, None, begin())
    both = [made.info.run_id for made in Store(find_uri()).find_runs(subject.key)]
    assert len(both) == 2

    with pytest.raises(InputError, match=f"{name}: 2 runs"):
        check()
    sync()

    assert find_run(name).info.run_id == min(both)
    assert_complete()


@pytest.mark.slow
def test_two_clones_that_publish_at_once_to_one_server_make_each_run_once(workspace, tmp_path):
    clone = Path(shutil.copytree(workspace, tmp_path / "clone"))
    uri = find_server()

    # both and the server share the cores: this test is not about patience
    patient = {"MLFLOW_TRACKING_URI": uri, "TRACK_SECONDS": "60"}

    both = [start_sync(folder, **patient) for folder in (workspace, clone)]

    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert_complete(uri)


@pytest.mark.slow
def test_an_interrupted_sync_prints_how_many_runs_it_has_made(workspace):
    process = start_sync(workspace)
    while not (workspace / "mlflow.db").exists() or len(list_tracked(workspace)) < 15:
        assert process.poll() is None, process.communicate()

    process.send_signal(signal.SIGINT)

    said, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    [made] = re.findall(r"^(\d+) runs made: ", said, re.MULTILINE)
    # the last one may be finished, but for its key
    num_finished = len(list_tracked(workspace))
    assert int(made) in (num_finished - 1, num_finished)


@pytest.mark.slow
def test_four_processes_at_once_on_a_fresh_store_make_each_run_once(workspace):
    four = [start_sync(workspace) for _ in range(4)]

    said = [process.communicate() for process in four]

    assert [process.returncode for process in four] == [0] * 4, said
    made = [line for out, _ in said for line in out.splitlines() if " runs made" in line]
    assert made == ["25 runs made: 18 of forecasting, 6 of surnames, 1 of layers"]
    assert_complete()


def test_variants_have_different_names_and_those_of_this_lock_file_are_marked(
    workspace, monkeypatch
):
    fill(workspace)
    retrain(workspace, "carried_rnn", seed=1)
    sync()
    monkeypatch.setenv("DVC_EXP_NAME", "other-labels")
    rescore(workspace, "surname_gru", 0.45)

    sync()

    current = [name for name in RUNS if name not in ("carried_rnn", "surname_gru")]
    current += ["carried_rnn (seed 1)", "surname_gru (other-labels)"]
    names = {run.info.run_name: run.data.tags.get("dvc.lock") for run in list_runs()}
    marked = {name for name, mark in names.items() if mark == "current"}
    assert marked == {*current}
    assert names.keys() - marked == {"carried_rnn", "surname_gru"}
    ranks = {run.info.run_name: run.data.tags.get("leaderboard") for run in list_runs()}
    assert ranks["carried_rnn (seed 1)"] == "integer_starts 1 best"
    assert (ranks["carried_rnn"], ranks["surname_gru"]) == (
        "integer_starts variant",
        "official variant",
    )


def test_a_variant_stays_in_the_view_below_all_others_when_another_one_is_synced(workspace):
    fill(workspace)
    retrain(workspace, "carried_rnn", seed=1)
    sync()
    retrain(workspace, "carried_rnn", seed=2)

    sync()

    ranks = {run.info.run_name: run.data.tags.get("leaderboard") for run in list_runs()}
    assert ranks["carried_rnn (seed 1)"] == "integer_starts variant"
    assert ranks["carried_rnn (seed 2)"] == "integer_starts 1 best"
    assert ranks["carried_rnn"] == "integer_starts variant"
    files = list_files(workspace)
    sync()
    assert list_files(workspace) == files


def test_a_run_that_a_commit_replaced_leaves_the_view(workspace):
    fill(workspace)
    retrain(workspace, "carried_rnn", seed=1)
    commit(workspace, "another seed")

    sync()

    ranks = {run.info.run_id: run.data.tags.get("leaderboard") for run in list_runs()}
    current = find_run("carried_rnn").info.run_id
    names = {run.info.run_id: run.info.run_name for run in list_runs()}
    earlier = [run_id for run_id, name in names.items() if name == "carried_rnn"]
    assert ranks[current] == "integer_starts 1 best"
    assert [ranks[run_id] for run_id in earlier if run_id != current] == [None]


def test_a_variant_keeps_its_run_when_it_is_committed(workspace):
    fill(workspace)
    retrain(workspace, "carried_rnn", seed=1)
    sync()
    names = list_names()

    commit(workspace, "another seed")
    sync()

    assert list_names() == names
    assert find_run("carried_rnn").info.run_name == "carried_rnn (seed 1)"
