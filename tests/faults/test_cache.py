"""A flipped bit in DVC's cache or remote is noticed, named, and healed."""

import sys
from pathlib import Path

import pytest

from stages.shared.errors import InputError
from stages.shared.yaml_files import parse_yaml
from tests.faults.test_models import flip
from tests.pipeline import copy_template, repro
from tests.shell import PROJECT, call, call_srn, commit, run
from tests.store import check, fill, sync

WEIGHTS = "data/trained/carried_rnn/weights.pt"
TRACK = [sys.executable, "stages/run.py", "cli", "sync"]
CHECK = [*TRACK[:-1], "check"]


def find_object(folder: Path, store: str, path: str) -> Path:
    """The object of an out in DVC's cache or in a remote."""
    lock = parse_yaml((folder / "dvc.lock").read_text(encoding="utf-8"))
    for stage in lock["stages"].values():
        for out in stage.get("outs", []):
            if out["path"] == path:
                return folder / store / "files/md5" / out["md5"][:2] / out["md5"][2:]
    raise FileNotFoundError(path)


def rot(folder: Path, path: str) -> Path:
    """Flip a bit of an out in the cache and in the workspace, unseen by DVC; returns the object."""
    spoiled = find_object(folder, ".dvc/cache", path)
    spoiled.chmod(0o644)
    flip(spoiled)
    spoiled.chmod(0o444)
    (folder / path).unlink()
    run(folder, f"dvc checkout {path}")
    assert "train_forecaster" not in run(folder, "dvc status")  # DVC trusts its cache
    return spoiled.relative_to(folder)


@pytest.mark.parametrize(
    "is_tracked",
    [
        pytest.param(False, id="without_a_run", marks=pytest.mark.slow),
        pytest.param(True, id="with_a_run", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_file_in_the_cache_is_reported_by_sync_and_check(workspace, is_tracked):
    if is_tracked:
        sync()
    spoiled = rot(workspace, WEIGHTS)

    for command in ("sync", "check"):
        stopped = call_srn(workspace, command)

        assert stopped.returncode == 1
        [line] = [line for line in stopped.stdout.splitlines() if "carried_rnn:" in line]
        assert f"{WEIGHTS} differs from dvc.lock: its copy {spoiled} does too, delete both" in line


@pytest.mark.slow
def test_after_a_damaged_object_is_deleted_repro_restores_it(tmp_path):
    clone = copy_template(tmp_path / "clone")
    whole = (clone / WEIGHTS).read_bytes()
    spoiled = rot(clone, WEIGHTS)
    stopped = repro(clone)
    assert stopped.returncode == 1 and str(spoiled) in stopped.stdout

    (clone / WEIGHTS).unlink()
    (clone / spoiled).unlink()
    healed = repro(clone)

    assert healed.returncode == 0, healed.stdout
    assert (clone / WEIGHTS).read_bytes() == whole
    assert "up to date" in run(clone, "dvc status")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(flip, id="flipped"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty", marks=pytest.mark.slow),
    ],
)
def test_the_readmes_remote_rejects_damaged_files(workspace, tmp_path, spoil):
    for line in list_readme_lines("dvc remote "):
        run(workspace, line.replace("/shared/folder", str(tmp_path / "remote")))
    run(workspace, "dvc push -q")
    commit(workspace, "remote")
    spoiled = find_object(workspace, "../remote", WEIGHTS)
    spoiled.chmod(0o644)
    spoil(spoiled)
    run(tmp_path, f"git clone -q {workspace} clone")

    stopped = call(tmp_path / "clone", "dvc", "pull")

    assert stopped.returncode == 1
    assert not (tmp_path / "clone" / WEIGHTS).exists()


def list_readme_lines(beginning: str) -> list[str]:
    """Commands that README shows, without comments."""
    lines = (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()
    return [line.partition("#")[0] for line in lines if line.startswith(beginning)]


def test_a_file_that_was_edited_by_hand_is_reported_with_how_to_restore_it(workspace):
    fill(workspace)
    (workspace / WEIGHTS).write_bytes(b"mine")
    with pytest.raises(InputError, match=f"{WEIGHTS} differs from dvc.lock: delete it, then run"):
        check()

    (workspace / WEIGHTS).unlink()
    run(workspace, "dvc checkout")

    check()


def test_damaged_json_is_a_one_line_error(workspace):
    path = workspace / "data/evaluated/details/surnames/surname_gru/scores.json"
    path.write_text("{", encoding="utf-8")

    stopped = call_srn(workspace, "results")

    assert stopped.returncode == 1
    assert "scores.json is damaged" in stopped.stdout.splitlines()[-1]
    assert "Traceback" not in stopped.stdout
