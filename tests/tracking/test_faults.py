"""A store that fails, or a process that dies, costs nobody a run and nobody a long wait."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Thread
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import BAD_REQUEST, MlflowException

from stages.shared.errors import InputError
from stages.tracking.mlflow_sync.store import IN_PROGRESS, Store, find_uri, open_store
from tests.shell import call_srn, call_unread, run
from tests.store import (
    assert_complete,
    check,
    copy_store,
    fill,
    find_run,
    find_spec,
    list_runs,
    read_artifacts,
    start_python,
    sync,
)
from tests.workspace import ask_again

Serve = Callable[[socket], None]  # answers one connection


def answer(status: str) -> Serve:
    """A server that answers every request with a status."""

    def serve(connection: socket) -> None:
        connection.recv(65536)
        connection.sendall(
            f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".encode()
        )
        connection.close()

    return serve


def drip(connection: socket) -> None:
    """A server that never finishes its answer, though some of it always comes."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(60):
        connection.sendall(b" ")
        time.sleep(1)


@contextmanager
def listen(serve: Serve | None) -> Iterator[str]:
    """A server on a free port; without `serve` nobody is there."""
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        connections: list[socket] = []

        def accept() -> None:
            with suppress(OSError):  # the listener was closed
                while True:
                    connections.append(listener.accept()[0])
                    Thread(target=attempt, args=connections[-1:], daemon=True).start()

        def attempt(connection: socket) -> None:
            with suppress(OSError):  # the client went away
                serve(connection)

        if serve:
            listener.listen()
            Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        if serve:
            listener.shutdown(SHUT_RDWR)  # wakes the thread that accepts
        for connection in connections:
            connection.close()


def test_a_closed_pipe_is_not_reported_as_an_error_of_mlflow(workspace):
    copy_store(workspace)

    stopped = call_unread(workspace, sys.executable, "stages/run.py", "cli", "sync")

    assert (stopped.returncode, stopped.stderr) == (1, "")


@pytest.mark.parametrize("command", ["sync", "check"])
@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        pytest.param(None, "refused", id="refused"),
        pytest.param(
            answer("401 Unauthorized"),
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            id="401",
        ),
        pytest.param(answer("403 Forbidden"), "READ on its experiments", id="403"),
    ],
)
def test_a_server_that_rejects_ends_track_with_one_line(workspace, serve, reason, command):
    assert_gives_up(workspace, serve, reason, command)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        pytest.param(answer("500 Internal Server Error"), "500", id="500"),
        pytest.param(lambda _: time.sleep(60), "TRACK_SECONDS", id="silent"),
        pytest.param(drip, "TRACK_SECONDS", id="dripping"),
    ],
)
def test_a_server_that_is_slow_ends_track_with_one_line(workspace, serve, reason):
    assert_gives_up(workspace, serve, reason, "sync")


def assert_gives_up(workspace: Path, serve: Serve | None, reason: str, command: str) -> None:
    call_srn(workspace, "--help")  # the first fork waits for imports
    with listen(serve) as uri:
        started = time.monotonic()
        done = call_srn(workspace, command, MLFLOW_TRACKING_URI=uri)
        seconds = time.monotonic() - started
    assert done.returncode == 1
    assert seconds < 20
    [line] = done.stdout.splitlines()
    assert uri in line and reason in line and "try again" in line


@pytest.mark.slow
def test_dvc_runs_track_again_after_a_server_was_dead(workspace):
    with listen(None) as uri:
        failed = run(workspace, "dvc repro", check=False, MLFLOW_TRACKING_URI=uri)
    assert "failed to run: python stages/run.py tracking.track" in failed
    assert "training and evaluation do not need it" in failed

    assert "Running stage 'track'" in run(workspace, "dvc repro")

    assert_complete()


KILLER = """
import os, signal, sys
from mlflow import MlflowClient
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from stages.tracking import track
from stages.tracking.mlflow_sync import runs

method, nth = sys.argv[1], int(sys.argv[2])
places = {"_upload_package": runs, "log_values": runs, "log_artifact": LocalArtifactRepository}
place = places.get(method, MlflowClient)
original = getattr(place, method)
calls = []

def call_or_die(*arguments, **options):
    calls.append(method)
    if len(calls) == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)

setattr(place, method, call_or_die)
runs.BATCH = 5
track.main(check=False)
"""


SLOW = pytest.mark.slow  # each syncs a workspace twice


@pytest.mark.parametrize(
    ("method", "nth"),
    [
        pytest.param("log_inputs", 1, id="after_create", marks=SLOW),
        pytest.param("log_batch", 2, id="in_the_curves", marks=SLOW),
        pytest.param("_upload_package", 1, id="in_the_model", marks=SLOW),
        pytest.param("log_outputs", 1, id="before_the_model_belongs_to_the_run", marks=SLOW),
        pytest.param("set_terminated", 2, id="before_the_end_of_the_second_run", marks=SLOW),
        pytest.param("set_terminated", 6, id="before_the_end_of_the_tour", marks=SLOW),
        pytest.param("log_values", 1, id="before_the_key"),
    ],
)
def test_the_next_sync_repairs_what_a_kill_left(workspace, method, nth):
    process = start_python(workspace, "-c", KILLER, method, str(nth))
    process.communicate()
    assert process.returncode == -9
    assert "RUNNING" in {made.info.status for made in list_runs()} or method == "log_values"
    with pytest.raises(InputError, match="unfinished"):
        check()

    sync()

    assert_complete()
    check()


@pytest.mark.slow
def test_the_next_sync_repairs_what_a_kill_left_of_figures_and_tables(workspace):
    fill(workspace)
    whole = read_artifacts(workspace, find_run("surname_gru"))
    ask_again(workspace, "surname_gru", ("English", -0.5))
    process = start_python(workspace, "-c", KILLER, "log_artifact", "2")
    process.communicate()
    assert process.returncode == -9
    left = read_artifacts(workspace, find_run("surname_gru"))
    assert left["tables/queries.csv"] == whole["tables/queries.csv"]
    with pytest.raises(InputError, match="surname_gru: stale figures, tables or note"):
        check()

    sync()

    repaired = read_artifacts(workspace, find_run("surname_gru"))
    assert repaired.keys() == whole.keys()
    assert "English" in repaired["tables/queries.csv"]
    check()


@pytest.mark.parametrize(
    "clash",
    [
        "(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.name",
        pytest.param(
            "(psycopg.errors.UniqueViolation) duplicate key value violates unique constraint",
            marks=SLOW,
        ),
    ],
)
def test_data_that_another_clone_names_at_the_same_moment_are_named_once_more(
    workspace, monkeypatch, clash
):
    log_inputs = MlflowClient.log_inputs
    met = set()

    def collide_once(client: MlflowClient, run_id: str, *inputs: Any) -> None:
        if run_id not in met:
            met.add(run_id)
            raise MlflowException(clash, BAD_REQUEST)
        log_inputs(client, run_id, *inputs)

    monkeypatch.setattr(MlflowClient, "log_inputs", collide_once)

    sync()

    assert len(met) == len(list_runs())
    assert_complete()


def test_syncs_that_fail_leave_no_more_than_one_unfinished_run(workspace, monkeypatch):
    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(MlflowClient, "log_inputs", fail)

    for _ in range(3):
        with pytest.raises(InputError, match="the disk is full"):
            sync()

    assert len(list_runs()) == 1


def test_a_store_that_is_a_file_has_no_time_limit(workspace, monkeypatch):
    fill(workspace)
    monkeypatch.setenv("TRACK_SECONDS", "1")

    with open_store(find_uri()) as store:
        time.sleep(1.5)  # as on a machine that has much else to do

        assert store.find_runs(find_spec("carried_rnn").key)


def test_unfinished_runs_of_others_are_left_alone(workspace):
    fill(workspace)
    store = Store(find_uri())
    other = store.client.create_run(
        store.experiments["forecasting"],
        tags={
            "sync.key": f"{IN_PROGRESS} {datetime.now(UTC).isoformat()} elsewhere",
            "dvc.lock": "current",
        },
        run_name="other",
    )

    sync()

    found = store.client.get_run(other.info.run_id)
    assert found.info.lifecycle_stage == "active"
    assert found.data.tags["dvc.lock"] == "current"  # by which its abandoned runs are found
