"""DVC over SSH: only who has the key gets in, and what rotted there is rejected."""

import pytest

from tests.faults.test_models import flip
from tests.servers.remotes import assert_rot_is_rejected, assert_whole
from tests.shell import call, run

pytestmark = pytest.mark.slow


def test_a_teammate_pulls_over_ssh_what_was_pushed(workspace, ssh):
    ssh.add_to(workspace)

    run(workspace, "dvc push -q")
    teammate = ssh.clone(workspace)
    run(teammate, "dvc pull -q")

    assert_whole(teammate)


def test_a_damaged_file_on_the_ssh_server_is_rejected(workspace, ssh):
    assert_rot_is_rejected(workspace, ssh, flip)


def test_an_unknown_ssh_key_is_rejected(workspace, ssh, ssh_server):
    ssh.add_to(workspace)
    _, keys = ssh_server
    run(workspace, f"dvc remote modify --local team keyfile {keys}/stranger")

    stopped = call(workspace, "dvc", "push")

    assert stopped.returncode != 0
    assert "Permission denied" in stopped.stdout
    assert not ssh.folder.exists()
