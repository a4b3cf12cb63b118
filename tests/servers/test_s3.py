"""DVC on an S3 server: what comes out is what went in, whatever happened there or on the way."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.test_models import flip, truncate
from tests.servers.remotes import (
    WEIGHTS,
    assert_rot_is_rejected,
    assert_whole,
    count_files,
    list_written,
)
from tests.shell import call, run, start

pytestmark = pytest.mark.slow


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_a_teammate_pulls_from_s3_what_was_pushed(workspace, s3):
    s3.add_to(workspace)

    run(workspace, "dvc push -q")
    teammate = s3.clone(workspace)
    run(teammate, "dvc pull -q")

    assert_whole(teammate)
    assert "secret" not in run(teammate, "git log -p .dvc; cat .dvc/config")


@pytest.mark.parametrize("spoil", [flip, truncate, empty])
def test_a_damaged_file_on_s3_is_rejected(workspace, s3, spoil):
    assert_rot_is_rejected(workspace, s3, spoil)


def test_a_push_to_s3_that_was_killed_is_resumed(workspace, s3):
    s3.add_to(workspace)
    kill_once(workspace, "push", s3.folder)
    sent = list_written(s3.folder)

    run(workspace, "dvc push -q")

    assert_kept(sent, s3.folder)
    teammate = s3.clone(workspace)
    run(teammate, "dvc pull -q")
    assert_whole(teammate)


def test_a_pull_from_s3_that_was_killed_is_resumed(workspace, s3):
    s3.add_to(workspace)
    run(workspace, "dvc push -q")
    teammate = s3.clone(workspace)
    cache = teammate / ".dvc/cache/files"
    kill_once(teammate, "pull", cache)
    assert not (teammate / WEIGHTS).exists()
    fetched = list_written(cache)

    run(teammate, "dvc pull -q")

    assert_kept(fetched, cache)
    assert_whole(teammate)


def test_a_wrong_s3_key_is_rejected_and_not_printed(workspace, s3):
    s3.add_to(workspace)
    run(workspace, "dvc remote modify --local team secret_access_key a-wrong-secret")

    stopped = call(workspace, "dvc", "push")

    assert stopped.returncode != 0
    assert "Forbidden" in stopped.stdout
    assert not list_written(s3.folder)
    assert "a-wrong-secret" not in stopped.stdout


def kill_once(folder: Path, command: str, target: Path) -> None:
    """Start a transfer, one file at a time, and kill it when its target has a few."""
    transfer = start(folder, ["dvc", command, "--jobs", "1"])
    while count_files(target) < 5:
        assert transfer.poll() is None, transfer.communicate()
        time.sleep(0.01)
    os.killpg(transfer.pid, signal.SIGKILL)
    transfer.communicate()
    assert transfer.returncode == -signal.SIGKILL  # it did not end by itself meanwhile


def assert_kept(before: dict[Path, int], folder: Path) -> None:
    """A second transfer has added to what the first one left, and sent none of it again."""
    after = list_written(folder)
    assert len(after) > len(before)
    again = [path for path in before if after.get(path) != before[path]]
    assert len(again) <= 1, again  # the kill may have cut one
