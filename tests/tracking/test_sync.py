"""After a sync the store agrees with dvc.lock, whatever happened to either: real git and DVC."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.tracking.location import find_uri
from stages.tracking.runs import COMMIT_TAG, publish
from stages.tracking.store import Store
from tests.shell import commit, find_server, run
from tests.store import (
    assert_complete,
    check,
    find_model,
    find_run,
    list_files,
    list_names,
    list_runs,
    start_sync,
    sync,
)
from tests.workspace import MODELS, redraw, retrain


def test_a_second_sync_writes_nothing(workspace):
    sync()
    before = list_files(workspace)

    sync()

    assert list_files(workspace) == before


def test_a_store_that_was_deleted_is_made_again(workspace):
    sync()
    (workspace / "mlflow.db").unlink()
    shutil.rmtree(workspace / "mlartifacts")

    sync()

    assert_complete()


def test_an_experiment_that_somebody_deleted_is_restored(workspace):
    sync()
    store = Store(find_uri())
    store.client.delete_experiment(store.experiments["sine"])

    sync()

    assert_complete()


def test_artifacts_lie_in_the_repository_wherever_the_process_works(
    workspace, tmp_path, monkeypatch
):
    elsewhere = Path(shutil.copytree(workspace, tmp_path / "elsewhere"))
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(workspace))

    sync()

    assert (workspace / "mlflow.db").exists()
    assert list((workspace / "mlartifacts/sine").iterdir())
    assert not [
        name for name in ("mlflow.db", "mlartifacts", "mlruns") if (elsewhere / name).exists()
    ]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(Path.unlink, "is missing: run `dvc pull`", id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), "differs from dvc.lock", id="changed"),
    ],
)
def test_a_model_whose_files_are_not_those_of_the_lock_is_not_tracked(
    workspace, capsys, spoil: Callable[[Path], object], reason
):
    path = "data/trained/carried_rnn/weights.pt"
    spoil(workspace / path)

    sync()

    assert f"carried_rnn: not tracked, {path} {reason}" in capsys.readouterr().out
    assert list_names() == [model for model in MODELS if model != "carried_rnn"]


def test_figures_that_changed_are_replaced_in_the_same_run(workspace):
    sync()
    before = find_run("carried_rnn")
    redraw(workspace, "carried_rnn", "blue")
    with pytest.raises(SystemExit, match="carried_rnn: stale figures"):
        check()

    sync()

    after = find_run("carried_rnn")
    assert after.info.run_id == before.info.run_id
    assert after.data.tags["dvc.plot.outs"] != before.data.tags["dvc.plot.outs"]
    drawn = {}
    for path in workspace.glob("mlartifacts/*/*/artifacts/figures/*"):
        color, model = path.read_text(encoding="utf-8").split()
        drawn[model] = color
    assert drawn == dict.fromkeys(MODELS, "red") | {"carried_rnn": "blue"}
    check()


# Clones and commits


def test_a_fresh_clone_has_all_runs_after_dvc_pull(workspace, tmp_path):
    run(workspace, f"dvc remote add -d shared {tmp_path / 'remote'} && dvc push -q")
    commit(workspace, "remote")
    run(tmp_path, f"git clone -q {workspace} clone")
    clone = tmp_path / "clone"

    run(clone, "dvc pull -q")
    run(clone, "python -m stages.tracking.track")

    assert_complete(f"sqlite:///{clone}/mlflow.db")
    assert list(clone.glob("mlartifacts/sine/*/artifacts/figures/loss.png"))


def test_an_older_commit_has_its_runs_after_dvc_checkout(workspace):
    old = find_model("carried_rnn")
    retrain(workspace, "carried_rnn", seed=1)
    sync()
    commit(workspace, "other weights")
    run(workspace, "git checkout -q HEAD~1 && dvc checkout -q")

    sync()

    assert len(Store(find_uri()).find_runs(old.key)) == 1
    assert len(list_runs()) == len(MODELS) + 1
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


# Several writers


def test_of_two_runs_with_one_key_the_smaller_id_stays(workspace):
    sync()
    model = find_model("carried_rnn")
    publish(Store(find_uri()), model, None)
    both = [made.info.run_id for made in Store(find_uri()).find_runs(model.key)]
    assert len(both) == 2

    with pytest.raises(SystemExit, match="carried_rnn: 2 runs"):
        check()
    sync()

    assert find_run("carried_rnn").info.run_id == min(both)
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
def test_four_processes_at_once_on_a_fresh_store_make_each_run_once(workspace):
    four = [start_sync(workspace) for _ in range(4)]

    said = [process.communicate() for process in four]

    assert [process.returncode for process in four] == [0] * 4, said
    made = Counter(line for out, _ in said for line in out.splitlines() if "run made" in line)
    assert made == Counter({f"{name}: run made": 1 for name in MODELS})
    assert_complete()
