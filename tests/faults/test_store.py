"""No store is bricked, nothing is written at a wrong place, and no run is lost or doubled."""

import fcntl
import os
import shutil
import signal
import socket
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from stages.cli import promote
from stages.shared.errors import InputError
from stages.tracking.load_model import load_champion
from stages.tracking.mlflow_sync.mlflow_internals import make_database
from stages.tracking.mlflow_sync.runs import DISPLAY_TAG
from stages.tracking.mlflow_sync.store import IN_PROGRESS, Store, find_artifacts, find_uri
from stages.tracking.served_models.loader import Classifier
from tests.shell import (
    SERVER_FOLDERS,
    assert_one_line,
    call,
    call_srn,
    find_free_port,
    find_server,
    start,
    start_server,
    stop_server,
    wait_for,
)
from tests.store import (
    assert_complete,
    check,
    copy_store,
    fill,
    find_champion,
    find_run,
    list_runs,
    start_sync,
    sync,
)
from tests.workspace import RUNS, copy_workspace, work_in

TRACK = [sys.executable, "stages/run.py", "cli", "sync"]


@pytest.fixture
def tracked(workspace: Path) -> Path:
    """The working folder: results, and a store that has them and that no process has opened."""
    copy_store(workspace)
    return workspace


@pytest.mark.parametrize(
    ("revision", "words"),
    [
        ("75868b020152", ("is of an MLflow older than", "type `mlflow db upgrade sqlite:///")),
        ("ffffffffffff", ("is of an MLflow newer than", "pip install --upgrade mlflow")),
    ],
)
def test_a_store_of_another_mlflow_is_a_one_line_error_with_the_command(tracked, revision, words):
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        database.execute("update alembic_version set version_num = ?", [revision])

    for command in ("sync", "check"):
        assert_one_line(call_srn(tracked, command), *words, "delete it, and the next sync")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("size", [1, 200_000])
def test_a_store_whose_creation_was_interrupted_is_created_by_the_next_sync(
    workspace, number, size
):
    process = start_sync(workspace)
    unfinished = workspace / "mlflow.db.unfinished"
    while not (unfinished.exists() and unfinished.stat().st_size >= size):
        assert process.poll() is None

    process.send_signal(number)
    process.communicate()
    assert not (workspace / "mlflow.db").exists()

    sync()
    assert_complete()


@pytest.mark.slow
def test_a_full_disk_while_the_store_is_created_leaves_nothing_broken(workspace):
    limited = ["sh", "-c", 'ulimit -f 200; exec "$@"', "sh", *TRACK]  # 100 KiB a file

    stopped = call(workspace, *limited)

    assert_one_line(stopped, "mlflow.db cannot be used", "disk")
    assert not (workspace / "mlflow.db").exists()
    sync()
    assert_complete()


def test_an_incomplete_store_is_a_one_line_error_with_what_to_do(workspace):
    with closing(sqlite3.connect(workspace / "mlflow.db")) as half, half:
        half.execute("create table experiments (experiment_id integer, artifact_location text)")

    stopped = call_srn(workspace, "sync")

    assert_one_line(stopped, "mlflow.db is not a complete MLflow store", "move it away")


def test_a_damaged_store_is_a_one_line_error_with_what_to_do(tracked):
    with (tracked / "mlflow.db").open("r+b") as file:
        for page in range(2, 40):
            file.seek(page * 4096)
            file.write(b"\xff" * 100)

    assert_one_line(call_srn(tracked, "sync"), "mlflow.db cannot be used (damaged", "delete it")
    assert_one_line(call_srn(tracked, "check"), "mlflow.db cannot be used (damaged")


def test_a_file_that_is_not_a_database_is_a_one_line_error(workspace):
    (workspace / "mlflow.db").write_text("a note\n" * 1000, encoding="utf-8")

    stopped = call_srn(workspace, "sync")

    assert_one_line(stopped, "mlflow.db cannot be used (damaged", "not a database")


@pytest.mark.slow
@pytest.mark.parametrize("hold", ["begin exclusive", "begin immediate"])
def test_a_locked_store_is_a_one_line_error_within_20_seconds(tracked, hold):
    with closing(sqlite3.connect(tracked / "mlflow.db")) as holder:
        holder.execute(hold)
        started = time.monotonic()

        stopped = call_srn(tracked, "sync")

    assert time.monotonic() - started < 20
    assert_one_line(stopped, "database is locked")


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///",
        "sqlite:///a?b",
        "sqlite://other.db",
        "postgresql://me:secret@host/db",
        "postgresql+psycopg://host/db?user=me&password=secret",
        "x",
    ],
)
def test_an_invalid_address_is_a_one_line_error_without_its_password(workspace, uri):
    stopped = call_srn(workspace, "sync", MLFLOW_TRACKING_URI=uri)

    assert_one_line(stopped, "MLFLOW_TRACKING_URI", "mlflow server")
    assert "secret" not in stopped.stdout


@pytest.mark.parametrize("command", ["sync", "check"])
def test_the_password_of_a_server_is_never_printed(workspace, command):
    uri = f"http://me:secret@127.0.0.1:{find_free_port()}"

    stopped = call_srn(workspace, command, MLFLOW_TRACKING_URI=uri)

    assert_one_line(stopped, "http://127.0.0.1")
    assert "secret" not in stopped.stdout
    assert "secret" not in stopped.stdout


def test_a_database_address_is_answered_with_how_to_start_a_server(workspace):
    stopped = call_srn(workspace, "sync", MLFLOW_TRACKING_URI="mysql://me:secret@host/db")

    assert_one_line(stopped, "start `mlflow server` on it", "MLFLOW_BACKEND_STORE_URI")


def test_a_sync_that_waits_for_another_shows_no_password(workspace):
    uri = f"http://me:secret@127.0.0.1:{find_free_port()}"
    (workspace / ".dvc/tmp").mkdir(exist_ok=True)
    with (workspace / ".dvc/tmp/track.lock").open("w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = start_sync(workspace, MLFLOW_TRACKING_URI=uri)
        line = waiting.stdout.readline()
    waiting.communicate()

    assert "waiting for the process that writes to MLflow at http://127" in line


def test_a_traceback_of_a_library_shows_no_password(workspace):
    raiser = "raise ValueError('http://me:secret@host is no address')"
    code = f"from stages.shared.command import *\ndef main():\n    {raiser}\nrun_as_command(main)"

    stopped = call(workspace, sys.executable, "-c", code)

    assert stopped.returncode == 1
    assert "ValueError: http://***@host is no address" in stopped.stdout
    assert "secret" not in stopped.stdout.replace(raiser, "")


@pytest.mark.slow
def test_a_missing_store_is_created_only_on_request(workspace):
    typo = {"MLFLOW_TRACKING_URI": "sqlite:///mlflwo.db"}

    stopped = call_srn(workspace, "sync", **typo)

    assert_one_line(stopped, "there is no store", "mlflwo.db", "--new")
    assert not (workspace / "mlflwo.db").exists()
    assert call_srn(workspace, "sync", "--new", **typo).returncode == 0
    assert (workspace / "mlflwo.db").exists()


def test_a_folder_with_unusual_letters_can_have_a_store(tmp_path, monkeypatch):
    folder = copy_workspace(tmp_path / "it's 100% # ü")
    work_in(folder, monkeypatch)

    sync()

    assert_complete()
    assert list((folder / "mlartifacts/forecasting").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True], ids=["moved", "copied"])
def test_a_moved_or_copied_store_is_reported_and_filled_again_after_it_is_deleted(
    tracked, tmp_path, keep
):
    elsewhere = tmp_path / "elsewhere"
    (shutil.copytree if keep else shutil.move)(tracked, elsewhere)
    before = sorted(tracked.rglob("*")) if keep else []

    for command in ("sync", "check"):
        stopped = call_srn(elsewhere, command)
        assert_one_line(stopped, f"its artifacts are in {tracked.as_uri()}", "delete it")
    call(elsewhere, "rm", "-r", "mlflow.db", "mlartifacts")
    assert call_srn(elsewhere, "sync").returncode == 0

    assert call_srn(elsewhere, "check").returncode == 0
    assert (sorted(tracked.rglob("*")) if keep else list(tmp_path.glob("workspace/*"))) == before


def test_runs_of_another_project_in_the_same_file_are_never_touched(workspace):
    make_database(workspace / "mlflow.db", find_artifacts(workspace / "mlflow.db"))
    client = MlflowClient(find_uri())
    theirs = client.create_experiment("theirs", "file:///elsewhere/mlartifacts/theirs")
    made = client.create_run(theirs, tags={"sync.key": "1"}, run_name="carried_rnn")
    query = "select * from {} where experiment_id = ? order by 1"
    before = [ask_store(workspace, query, theirs, table) for table in ("experiments", "runs")]

    sync()
    sync()

    assert [
        ask_store(workspace, query, theirs, table) for table in ("experiments", "runs")
    ] == before
    assert client.get_run(made.info.run_id).data.tags["sync.key"] == "1"


def ask_store(workspace, query, experiment_id, table):
    with closing(sqlite3.connect(workspace / "mlflow.db")) as store:
        return store.execute(query.format(table), [experiment_id]).fetchall()


@pytest.mark.parametrize("table", ["runs", "logged_models"])
def test_files_outside_of_a_local_store_are_not_written_or_deleted(workspace, tmp_path, table):
    fill(workspace)
    run_id = find_run("surname_markov").info.run_id
    thesis = tmp_path / "home/thesis.tex"
    thesis.parent.mkdir()
    thesis.touch()
    column = "artifact_uri" if table == "runs" else "artifact_location"
    readdress(table, column, thesis.parent.as_uri(), "name = 'surname_markov'")
    if table == "runs":
        MlflowClient(find_uri()).set_tag(run_id, DISPLAY_TAG, "another")  # so it is shown anew

    stopped = call_srn(workspace, "sync")

    assert_one_line(stopped, "/home): delete it and mlartifacts beside it")
    assert list(thesis.parent.iterdir()) == [thesis]


def test_files_of_a_version_with_a_foreign_address_are_not_requested(workspace):
    fill(workspace)
    promote.main("surnames", force=False)
    sync()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"http://127.0.0.1:{stranger.getsockname()[1]}/x"
        readdress("model_versions", "storage_location", address, "true")

        stopped = call_srn(
            workspace,
            *("predict", "--from-mlflow", "Schmidt"),
            MLFLOW_TRACKING_USERNAME="ada",
            MLFLOW_TRACKING_PASSWORD="secret",
        )

        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has connected
            stranger.accept()
    assert_one_line(stopped, "version 1 of surnames are in", "delete it")


def readdress(
    table: str, column: str, address: str, condition: str, database: Path = Path("mlflow.db")
) -> None:
    with closing(sqlite3.connect(database)) as store, store:
        changed = store.execute(f"update {table} set {column} = ? where {condition}", [address])
    assert changed.rowcount


def test_an_experiment_on_a_server_may_not_keep_its_artifacts_with_others(
    workspace, tmp_path, monkeypatch
):
    uri = find_server("an experiment that somebody has prepared")
    client = MlflowClient(uri)
    folder = tmp_path / "home"
    tags = {"srn.experiment": "surnames"}
    made = client.create_experiment("surnames", folder.as_uri(), tags)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    with pytest.raises(InputError, match=r"surnames has its artifacts in .* this machine"):
        sync()
    readdress(  # MLflow's own server makes none like this
        *("experiments", "artifact_location", "mlflow-artifacts://127.0.0.1:9/x"),
        f"experiment_id = {made}",
        SERVER_FOLDERS[uri] / "mlflow.db",
    )
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9, another server: rename and delete"):
        sync()

    assert not folder.exists()
    client.rename_experiment(made, "theirs")
    client.delete_experiment(made)
    assert Store(uri).open_experiment("surnames") != made


@pytest.mark.slow
def test_four_clones_that_fill_a_fresh_sqlite_file_at_once_make_no_doubles(tmp_path):
    uri = f"sqlite:///{tmp_path}/shared.db"
    clones = [copy_workspace(tmp_path / f"clone{number}") for number in range(4)]

    syncs = [start_sync(clone, "--new", MLFLOW_TRACKING_URI=uri) for clone in clones]
    said = [process.communicate() for process in syncs]

    assert [process.returncode for process in syncs] == [0, 0, 0, 0], said
    os.chdir(clones[0])
    assert_complete(uri)


@pytest.mark.slow
def test_four_clones_that_fill_a_server_at_once_leave_no_doubles_after_the_next_sync(
    workspace, tmp_path, monkeypatch
):
    uri = find_server()
    clones = [copy_workspace(tmp_path / f"clone{number}") for number in range(4)]
    syncs = [start_sync(clone, MLFLOW_TRACKING_URI=uri) for clone in clones]
    said = [process.communicate() for process in syncs]
    assert [process.returncode for process in syncs] == [0, 0, 0, 0], said

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    sync()

    assert Counter(run.info.run_name for run in list_runs(uri)) == Counter(RUNS)


@pytest.mark.slow
def test_two_containers_of_one_name_and_path_leave_no_doubles(tmp_path, monkeypatch):
    uri = find_server()
    clones = [copy_workspace(tmp_path / f"clone{number}") for number in range(2)]
    (tmp_path / "place").mkdir()
    enter = 'mount --bind "$0" ../place && cd ../place && exec "$@"'
    contain = ["unshare", "--mount", "--map-root-user", "sh", "-c", enter]
    if call(clones[0], *contain, str(clones[0]), "true").returncode != 0:
        pytest.skip("this machine lets nobody mount")

    both = []
    for clone in clones:
        command = [*contain, str(clone), *TRACK]
        both.append(start(clone, command, MLFLOW_TRACKING_URI=uri))
    said = [process.communicate() for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    work_in(clones[0], monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    sync()
    assert Counter(run.info.run_name for run in list_runs(uri)) == Counter(RUNS)


@pytest.mark.slow
def test_a_server_that_dies_while_runs_are_made_leaves_what_the_next_sync_completes(
    workspace, tmp_path, monkeypatch
):
    port = find_free_port()
    options = f"--port {port} --workers 1 --backend-store-uri sqlite:///{tmp_path}/server.db"
    command = f"mlflow server {options} --artifacts-destination {tmp_path}/artifacts"
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    server = start_server(command, tmp_path)
    wait_for(f"{uri}/api/2.0/mlflow/experiments/get?experiment_id=0")
    process = start_sync(workspace, MLFLOW_TRACKING_URI=uri)
    while "FINISHED" not in {run.info.status for run in list_runs(uri)}:  # the first run is made
        assert process.poll() is None, process.communicate()

    os.killpg(server.pid, signal.SIGKILL)

    _, said = process.communicate()
    server.wait()
    assert process.returncode == 1
    assert len(said.splitlines()) == 1
    server = start_server(command, tmp_path)
    wait_for(f"{uri}/api/2.0/mlflow/experiments/get?experiment_id=0")
    sync()
    assert_complete(uri)
    stop_server(server)


def forge_progress(client: MlflowClient, run_id: str, experiment_id: str) -> None:
    for began in ("2020-01-01 abc", "yesterday abc", ""):
        client.create_run(
            experiment_id, tags={"sync.key": f"{IN_PROGRESS} {began}", "dvc.lock": "current"}
        )


def forge_run(client: MlflowClient, run_id: str, experiment_id: str) -> None:
    """One with the key of a model, and no model."""
    key = client.get_run(run_id).data.tags["sync.key"]
    client.create_run(experiment_id, tags={"sync.key": key}, run_name="forged")


def forge_only_run(client: MlflowClient, run_id: str, experiment_id: str) -> None:
    forge_run(client, run_id, experiment_id)
    client.delete_run(run_id)


def set_alias_by_hand(client: MlflowClient, run_id: str, experiment_id: str) -> None:
    """Let a version that has no run carry the champion's alias."""
    source = client.get_run(run_id).info.artifact_uri
    version = client.create_model_version("surnames", source).version
    client.set_registered_model_alias("surnames", "champion", version)


def delete_version(client: MlflowClient, run_id: str, experiment_id: str) -> None:
    client.delete_model_version("surnames", "1")


def write_odd_tags(client: MlflowClient, run_id: str, experiment_id: str) -> None:
    for tag, value in (("sync.display_digest", "\x1b[31m"), ("dvc.lock", "other"), ("kind", "")):
        client.set_tag(run_id, tag, value)
    client.create_run(experiment_id, tags={"mlflow.parentRunId": "no such run"})


@pytest.mark.parametrize(
    "disturb",
    [
        forge_progress,
        forge_run,
        forge_only_run,
        set_alias_by_hand,
        delete_version,
        write_odd_tags,
    ],
)
def test_rows_written_by_others_do_not_stop_a_sync(workspace, disturb):
    fill(workspace)
    promote.main("surnames", force=False)
    sync()
    store = Store(find_uri())
    run_id = find_run("surname_blend").info.run_id
    disturb(store.client, run_id, store.experiments["surnames"])

    sync()

    check()
    assert find_champion("surnames") == "surname_blend"
    assert load_champion(Classifier, "surnames", from_mlflow=True).model.predict(["Schmidt"], 1)
