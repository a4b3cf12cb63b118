"""Several users on one MLflow server, which keeps its runs in PostgreSQL and asks who they are."""

import sys
from collections import Counter
from pathlib import Path
from urllib.error import HTTPError

import pytest

from stages.shared.errors import InputError
from stages.tracking.mlflow_sync.runs import write_run
from stages.tracking.mlflow_sync.store import Store, find_uri
from stages.tracking.mlflow_sync.sync import begin
from tests.servers.team import Team
from tests.shell import assert_one_line, call
from tests.store import assert_complete, check, find_spec, list_names, start_sync, sync
from tests.workspace import RUNS, copy_workspace, retrain, work_in

pytestmark = pytest.mark.slow

TRACK = [sys.executable, "stages/run.py", "cli", "sync"]
CHECK = [*TRACK[:-1], "check"]
PROMOTE = [sys.executable, "stages/run.py", "cli", "promote", "surnames"]


@pytest.fixture
def ada(team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a clone of one who may edit."""
    folder = copy_workspace(tmp_path / "ada")
    work_in(folder, monkeypatch)
    for name, value in team.identify("ada").items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["MLFLOW_TRACKING_URI"], ["requires a login (401)"]),
        (["MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME"], ["does not know ada"]),
    ],
    ids=["nobody", "wrong_password"],
)
def test_an_unknown_user_is_told_which_variables_to_set(ada, team, settings, words):
    known = {name: team.identify("ada")[name] for name in settings}
    known["MLFLOW_TRACKING_PASSWORD"] = "a-wrong-secret"

    for command in (TRACK, CHECK):
        stopped = call(ada, *command, **known)

        both = ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]
        assert_one_line(stopped, *words, *both)
        assert "a-wrong-secret" not in stopped.stdout


def test_a_reader_reads_and_writes_nothing(ada, team):
    sync()
    eve = team.identify("eve")

    assert call(ada, *CHECK, **eve).returncode == 0
    retrain(ada, "carried_rnn", seed=1)
    assert_one_line(
        call(ada, *TRACK, **eve), "eve may not do this (403)", "EDIT on experiment forecasting"
    )
    promoted = call(ada, *PROMOTE, **eve)
    assert promoted.returncode == 1
    assert "ask its administrator for USE on the workspace" in promoted.stdout.splitlines()[-1]
    for path in ("experiments", "registered-models"):
        with pytest.raises(HTTPError, match="403"):
            team.post(f"2.0/mlflow/{path}/create", {"name": "mine"}, "eve")
    assert list_names() == RUNS


def test_two_users_at_once_leave_no_doubles(ada, team, tmp_path):
    bobs = copy_workspace(tmp_path / "bob")
    both = [
        start_sync(ada, **team.identify("ada")),
        start_sync(bobs, **team.identify("bob")),
    ]
    said = [process.communicate() for process in both]
    assert "cannot be used" not in str(said)  # each goes on though the other names the same data

    call(ada, *TRACK, **team.identify("max"))  # who may delete what others made

    assert Counter(list_names()) == Counter(RUNS), said
    assert_complete()


def test_an_editor_without_permission_to_delete_reports_the_double_and_continues(ada, team):
    sync()
    write_run(Store(find_uri()), find_spec("carried_rnn"), None, begin())
    retrain(ada, "windowed_lstm_fast", seed=1)

    stopped = call(ada, *TRACK, **team.identify("bob"))

    assert stopped.returncode == 1
    assert "windowed_lstm_fast (seed 1): run made" in stopped.stdout
    [line] = [line for line in stopped.stdout.splitlines() if "stays" in line]
    assert "carried_rnn: double" in line and "MANAGE on experiment forecasting" in line
    assert "carried_rnn: double dropped" in call(ada, *TRACK, **team.identify("max")).stdout
    check()


def test_a_server_that_is_restored_from_a_dump_is_completed_by_a_sync(ada, team):
    sync()
    dump = team.folder / "dump"
    team.ask_database("pg_dump", "-d", "mlflow", "--format", "custom", "--file", str(dump))
    retrain(ada, "carried_rnn", seed=1)
    sync()
    restore = ["-d", "mlflow", "--clean", "--if-exists", "--single-transaction", str(dump)]
    team.ask_database("pg_restore", *restore)
    with pytest.raises(InputError, match="carried_rnn: no run"):
        check()

    sync()

    check()
    assert Counter(list_names())["carried_rnn"] == 2


def test_a_server_that_was_killed_while_runs_were_made_is_completed_by_a_sync(ada, team):
    process = start_sync(ada, **team.identify("ada") | {"TRACK_SECONDS": "11"})
    made = "select count(*) from runs where status = 'FINISHED'"
    begun = "select count(*) from tags where value like 'in_progress %'"
    while team.query(made) == "0" or team.query(begun) == "0":
        assert process.poll() is None, process.communicate()

    team.kill_mlflow()  # amid the next one

    _, said = process.communicate()
    assert process.returncode == 1
    assert len(said.splitlines()) == 1
    team.start_mlflow()
    call(ada, *TRACK, **team.identify("max"))
    assert_complete()
