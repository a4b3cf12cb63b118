"""Results come from a team's remote whole, and nothing comes that dvc.lock does not name."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from stages.shared.errors import InputError
from stages.shared.yaml_files import parse_yaml
from stages.tracking.run_specs import check_dvc_listings
from tests.pipeline import list_processes, list_started
from tests.searched import add_search
from tests.shell import assert_one_line, call, call_srn, commit, read_blocks, run, start, type_in
from tests.workspace import add_remote

SRN = [sys.executable, "stages/run.py", "cli"]  # with imports of its own
PULL = [*SRN, "pull"]
SLOW = pytest.mark.slow  # each shares and pulls all results
COMMANDS = [
    pytest.param(["repro"], id="repro"),
    pytest.param(["sync"], id="sync", marks=SLOW),
    pytest.param(["check"], id="check", marks=SLOW),
    pytest.param(["predict", "Schmidt"], id="predict", marks=SLOW),
    pytest.param(["forecast", "series.csv"], id="forecast", marks=SLOW),
    pytest.param(["promote", "surnames"], id="promote", marks=SLOW),
    pytest.param(["pull"], id="pull", marks=SLOW),
]
MODULE = b"raise SystemExit('planted')\n"
FOLDER = "data/plotted/carried_rnn/details"


def clone(origin: Path, folder: Path) -> Path:
    run(origin.parent, f"git clone -q -b main {origin} {folder}")
    return folder


@pytest.mark.slow
def test_the_sharing_commands_of_the_readme_work_without_results_of_searches(workspace, tmp_path):
    add_search(workspace)
    run(workspace, "dvc commit --force --quiet track")
    commit(workspace, "a search")
    origin = tmp_path / "origin"
    run(tmp_path, "git init -q --bare origin")
    run(workspace, f"git push -q {origin} HEAD:refs/heads/main")
    ada = clone(origin, tmp_path / "ada")
    shutil.copytree(workspace / ".dvc/cache", ada / ".dvc/cache")
    lock = parse_yaml((ada / "searches/dvc.lock").read_text(encoding="utf-8"))
    for out in lock["stages"]["search_classifiers"]["outs"]:
        (ada / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]).unlink(missing_ok=True)
    share, get = read_blocks("Share it with a team")

    shared = type_in(ada, share.replace("/shared/folder", str(tmp_path / "remote")))
    bob = clone(origin, tmp_path / "bob")
    got = type_in(bob, get)

    assert shared.returncode == 0, shared.stdout
    assert got.returncode == 0, got.stdout
    assert list_started(got.stdout) == set()
    assert run(bob, "git status --porcelain") == ""
    assert call(bob, "dvc", "pull").returncode == 0


@pytest.fixture
def remote(workspace: Path, tmp_path: Path) -> Path:
    """A remote with all results; it is in the config of the working folder."""
    return add_remote(workspace, tmp_path / "remote")


@pytest.fixture
def teammate(workspace: Path, remote: Path, tmp_path: Path) -> Path:
    """A clone that has pulled nothing."""
    run(tmp_path, f"git clone -q {workspace} {tmp_path}/a/b/teammate")
    return tmp_path / "a/b/teammate"


def read_md5(workspace: Path, path: str) -> str:
    lock = parse_yaml((workspace / "dvc.lock").read_text(encoding="utf-8"))
    outs = [out for stage in lock["stages"].values() for out in stage["outs"]]
    return next(out["md5"] for out in outs if out["path"] == path)


def find_object(store: Path, md5: str) -> Path:
    return store / "files/md5" / md5[:2] / md5[2:]


def write_object(store: Path, md5: str, content: bytes) -> None:
    path = find_object(store, md5)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def poison(store: Path, md5: str, relpath: str) -> None:
    """Let the listing of a folder name one more file, under the md5 that it had."""
    planted = hashlib.md5(MODULE).hexdigest()
    listing = json.loads(find_object(store, md5).read_bytes())
    listing.append({"md5": planted, "relpath": relpath})
    write_object(store, md5, json.dumps(listing).encode())
    write_object(store, planted, MODULE)


def list_files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if ".dvc/tmp" not in str(path)}


@pytest.mark.parametrize(
    "relpath",
    [
        "../../../../tqdm.py",
        "../../../../../../outside.py",
        "/{tmp_path}/absolute.py",
        "unlisted.png",
    ],
)
def test_a_listing_that_was_changed_on_the_remote_is_rejected(
    workspace, remote, teammate, tmp_path, relpath
):
    poison(remote, read_md5(workspace, FOLDER), relpath.format(tmp_path=tmp_path))
    before = list_files(tmp_path / "a")

    done = call_srn(teammate, "pull")

    assert_one_line(done, f"the remote's listing of {FOLDER}", "is not that of dvc.lock")
    assert not (teammate / FOLDER).exists()
    assert not find_object(teammate / ".dvc/cache", read_md5(workspace, FOLDER)).exists()
    assert {path for path in list_files(tmp_path / "a") - before if path.endswith(".py")} == set()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "gigabytes"])
def test_a_listing_on_the_remote_that_never_ends_is_not_read(workspace, remote, teammate, kind):
    path = find_object(remote, read_md5(workspace, FOLDER))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 200 * 10**9)

    done = call_srn(teammate, "pull")

    assert_one_line(done, "the remote cannot be read", str(path))


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_reject_a_changed_listing_after_a_plain_dvc_pull(
    workspace, remote, teammate, command
):
    md5 = read_md5(workspace, FOLDER)
    poison(remote, md5, "../../../../tqdm.py")
    run(teammate, "dvc remote modify --local team verify false && dvc pull", check=False)
    assert (teammate / "tqdm.py").read_bytes() == MODULE  # what DVC lets happen

    done = call(teammate, *SRN, *command)

    listing = find_object(Path(".dvc/cache"), md5)
    assert_one_line(done, f"DVC's listing of {FOLDER}", "is not that of dvc.lock", str(listing))


@SLOW
@pytest.mark.parametrize("command", COMMANDS[:5])
def test_a_file_that_a_changed_listing_wrote_is_not_imported(workspace, remote, teammate, command):
    """DVC does not keep the listing where `verify` is true, so that there is nothing to reject."""
    poison(remote, read_md5(workspace, FOLDER), "../../../../tqdm.py")
    call(teammate, "dvc", "pull")
    assert (teammate / "tqdm.py").read_bytes() == MODULE

    done = call(teammate, *SRN, *command)

    assert "planted" not in done.stdout


@pytest.mark.parametrize("relpath", ["../evil.py", "/evil.py", "a/../../evil.py", "", "a//b", "."])
def test_a_listing_with_paths_outside_of_its_folder_is_rejected_whoever_wrote_it(
    workspace, relpath
):
    listing = json.dumps([{"md5": "0" * 32, "relpath": relpath}]).encode()
    md5 = f"{hashlib.md5(listing).hexdigest()}.dir"
    write_object(workspace / ".dvc/cache", md5, listing)
    lock = workspace / "dvc.lock"
    old = read_md5(workspace, FOLDER)
    lock.write_text(lock.read_text(encoding="utf-8").replace(old, md5), encoding="utf-8")

    with pytest.raises(InputError, match="which is outside of it") as error:
        check_dvc_listings()

    assert f"names {relpath!r}" in str(error.value)


def test_a_file_that_was_changed_on_a_remote_without_verify_is_named(workspace, remote, teammate):
    weights = "data/trained/carried_rnn/weights.pt"
    md5 = read_md5(workspace, weights)
    write_object(remote, md5, b"of somebody else")
    # DVC trusts read-only files of a remote that is a folder, and all files on S3
    find_object(remote, md5).chmod(0o444)
    run(teammate, "dvc remote modify --local team verify false")

    done = call_srn(teammate, "pull")

    assert done.returncode == 1
    *_, error = done.stdout.splitlines()
    cached = find_object(Path(".dvc/cache"), md5)
    assert error.startswith(f"error: {weights} differs from dvc.lock")
    assert f"its copy {cached} does too, delete both and run `make repro`" in error
    assert error.endswith("delete it there and push it again")


def test_what_is_pulled_is_what_dvc_lock_names(workspace, remote, teammate):
    done = call_srn(teammate, "pull")

    assert done.returncode == 0, done.stdout
    assert run(teammate, "dvc status") == run(workspace, "dvc status")
    _, added = done.stdout.splitlines()  # the first line says what was fetched
    assert re.fullmatch(r"\d{2,} files added", added)


@pytest.mark.parametrize("is_right", [True, False])
def test_a_link_on_the_remote_is_read_as_a_file_and_compared_with_dvc_lock(
    workspace, remote, teammate, tmp_path, is_right
):
    weights = "data/trained/carried_rnn/weights.pt"
    stored = find_object(remote, read_md5(workspace, weights))
    target = tmp_path / "a secret of the teammate"
    target.write_bytes(stored.read_bytes() if is_right else b"secret")
    stored.unlink()
    stored.symlink_to(target)

    done = call_srn(teammate, "pull")

    pulled = teammate / weights
    assert (done.returncode == 0, pulled.is_file()) == (is_right, is_right)
    assert not pulled.is_symlink()
    cached = find_object(teammate / ".dvc/cache", read_md5(workspace, weights))
    assert cached.exists() == is_right and not cached.is_symlink()


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, marks=SLOW), signal.SIGTERM, signal.SIGKILL],
)
def test_a_pull_that_waits_for_its_remote_can_be_stopped(workspace, remote, teammate, number):
    weights = find_object(remote, read_md5(workspace, "data/trained/carried_rnn/weights.pt"))
    weights.unlink()
    os.mkfifo(weights)  # as a remote that does not answer
    pull = start(teammate, PULL)
    while not is_locked(teammate / ".dvc/tmp/lock"):
        assert pull.poll() is None
        time.sleep(0.1)

    pull.send_signal(number)

    ending = time.monotonic() + 15
    while (left := list_processes(teammate)) and time.monotonic() < ending:
        time.sleep(0.1)
    for process in left:
        process.kill()
    pull.communicate()
    assert left == []


def is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@SLOW
def test_a_file_in_a_folder_that_its_listing_does_not_have_is_named(workspace, remote, teammate):
    call_srn(teammate, "pull")
    (teammate / FOLDER / "unlisted.png").write_bytes(b"")

    done = call_srn(teammate, "check")

    assert done.returncode == 1
    assert f"{FOLDER} differs from dvc.lock" in done.stdout


def test_a_missing_remote_is_reported_in_one_line(workspace):
    shutil.rmtree(workspace / ".dvc/cache")

    assert_one_line(call_srn(workspace, "pull"), "remote")


@SLOW
@pytest.mark.parametrize("content", [None, b"of somebody else"])
def test_missing_or_damaged_files_of_the_remote_are_reported_with_what_to_do(
    workspace, remote, teammate, content
):
    weights = "data/trained/carried_rnn/weights.pt"
    [entry, *_] = json.loads(find_object(remote, read_md5(workspace, FOLDER)).read_bytes())
    # many folders hold the picture of the second
    for md5 in (read_md5(workspace, weights), entry["md5"]):
        find_object(remote, md5).unlink()
        if content:
            write_object(remote, md5, content)

    done = call_srn(teammate, "pull")

    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    assert f"{weights} and 13 more are missing or damaged on the remote: ask a" in line
