"""`make repro` opens no store that agreed with dvc.lock, as long as neither has changed since."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from stages.shared.errors import InputError
from stages.tracking.mlflow_sync.runs import write_run
from stages.tracking.mlflow_sync.store import Store, find_uri, open_store
from stages.tracking.mlflow_sync.sync import begin, was_synced_since
from stages.tracking.run_specs import DESCRIPTIONS
from stages.tracking.track import is_up_to_date
from tests.pipeline import replace_text
from tests.searched import add_search
from tests.shell import call_srn, commit, find_server, run
from tests.store import check, find_run, find_spec, sync
from tests.workspace import redraw, retrain


def change_nothing(workspace: Path) -> None:
    pass


def train_again(workspace: Path) -> None:
    retrain(workspace, "carried_rnn", seed=1)


def draw_again(workspace: Path) -> None:
    redraw(workspace, "carried_rnn", "green")


def describe_otherwise(workspace: Path) -> None:
    replace_text(workspace / DESCRIPTIONS, "The published next-step sine", "Another")


def drop_store(workspace: Path) -> None:
    (workspace / "mlflow.db").unlink()


def drop_run(workspace: Path) -> None:
    Store(find_uri()).client.delete_run(find_run("carried_rnn").info.run_id)


def drop_artifacts(workspace: Path) -> None:
    shutil.rmtree(workspace / "mlartifacts/forecasting/models")


SLOW = pytest.mark.slow  # each syncs a workspace
CHANGES = [
    pytest.param(change_nothing, True, id="nothing"),
    pytest.param(train_again, False, id="training", marks=SLOW),
    pytest.param(draw_again, False, id="figures", marks=SLOW),
    pytest.param(describe_otherwise, False, id="description", marks=SLOW),
    pytest.param(drop_store, False, id="store", marks=SLOW),
    pytest.param(drop_run, False, id="run", marks=SLOW),
    pytest.param(drop_artifacts, False, id="artifacts", marks=SLOW),
]


@pytest.mark.parametrize(("change", "agrees"), CHANGES)
def test_what_has_changed_since_a_sync_is_seen_without_the_store(workspace, change, agrees):
    call_srn(workspace, "sync")  # this process would keep the file open

    change(workspace)

    assert is_up_to_date() == agrees


@pytest.mark.slow
def test_the_first_commit_of_a_lock_is_noted_and_a_later_one_changes_nothing(workspace):
    retrain(workspace, "carried_rnn", seed=1)
    run(workspace, "python stages/run.py tracking.track")
    assert is_up_to_date()

    commit(workspace, "results")
    assert not is_up_to_date()

    run(workspace, "python stages/run.py tracking.track")
    run(workspace, "git commit -q --allow-empty -m more")
    assert is_up_to_date()


@pytest.mark.slow
def test_an_incomplete_sync_is_not_noted_as_agreement(workspace):
    (workspace / "data/trained/carried_rnn/weights.pt").unlink()

    run(workspace, "python stages/run.py tracking.track", check=False)

    assert not is_up_to_date()


@pytest.mark.slow
def test_a_server_is_queried_every_time(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", find_server())
    began = time.time()

    sync()

    assert not is_up_to_date()
    assert was_synced_since(began)  # not twice by one `make repro`
    assert not was_synced_since(time.time() + 1)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of all requests, as they are sent."""
    addresses = []
    send = HTTPAdapter.send

    def note_and_send(adapter: HTTPAdapter, request: PreparedRequest, **options: Any) -> Response:
        addresses.append(request.url)
        return send(adapter, request, **options)

    monkeypatch.setattr(HTTPAdapter, "send", note_and_send)
    return addresses


@pytest.mark.slow
def test_a_sync_with_nothing_to_do_sends_at_most_ten_requests(
    workspace, tmp_path, monkeypatch, sent
):
    add_search(workspace)
    fresh = shutil.copytree(workspace, tmp_path / "fresh", symlinks=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", find_server("searches"))
    sync()
    assert len(sent) > 10

    for clone in (workspace, fresh):
        monkeypatch.chdir(clone)
        for act in (check, sync):
            sent.clear()
            act()
            assert len(sent) <= 10, (clone, act, sent)


@pytest.mark.parametrize(
    ("name", "most", "files"),
    [pytest.param("hold_last (integer_starts)", 4, 0, marks=SLOW), ("carried_rnn", 23, 16)],
)
def test_a_run_is_made_by_few_requests(workspace, monkeypatch, sent, name, most, files):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", find_server())
    subject = find_spec(name)
    with open_store(find_uri()) as store:
        store.open_experiment(subject.experiment)
        sent.clear()

        write_run(store, subject, None, begin())

    assert len(sent) == most, sent
    assert len([address for address in sent if "mlflow-artifacts" in address]) == files


def test_a_first_sync_looks_for_all_runs_at_once(workspace, monkeypatch):
    searched = []
    search_runs = MlflowClient.search_runs

    def note_and_search(client: MlflowClient, *arguments: Any, **options: Any) -> Any:
        searched.append(arguments)
        return search_runs(client, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "search_runs", note_and_search)

    sync()

    assert len(searched) <= 2, searched  # doubles, and unfinished ones


def test_a_double_is_found_whether_somebody_has_made_or_restored_it(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", find_server())
    sync()
    write_run(Store(find_uri()), find_spec("carried_rnn"), None, begin())
    both = Store(find_uri()).find_runs(find_spec("carried_rnn").key)

    assert_double_is_dropped()
    Store(find_uri()).client.restore_run(both[1].info.run_id)
    assert_double_is_dropped()


def assert_double_is_dropped() -> None:
    with pytest.raises(InputError, match="carried_rnn: 2 runs"):
        check()
    sync()
    check()
