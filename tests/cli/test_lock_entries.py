"""dvc.lock has the bytes that DVC gives it, although only one entry at a time is written."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.shared.dvc_pipeline import write_lock
from tests.shell import call

STAGES = (
    "generate_series@period_40",
    "train_forecaster@carried_rnn",
    "evaluate_blend",
    "probe_layers",
)
DVC = ("dvc", "commit", "--force", "--quiet")
JOB = (sys.executable, "stages/run.py", "cli.jobs", str(os.getpid()))


def drop_entries(text: str) -> str:
    return re.sub(r"(?m)^  (train_forecaster@carried_rnn|probe_layers):\n(    .*\n)+", "", text)


def change_values(text: str) -> str:
    return re.sub(r"(?m)^(      size:) \d+$", r"\1 1", text)


def drop_all(text: str) -> str:
    return ""


def write_by_hand(text: str) -> str:
    return f"# by hand\n{change_values(text)}"


@pytest.mark.slow
@pytest.mark.parametrize("edit", [drop_entries, change_values, drop_all, write_by_hand])
def test_entries_written_alone_are_the_bytes_of_dvc(
    workspace: Path, tmp_path: Path, edit: Callable[[str], str]
) -> None:
    lock = workspace / "dvc.lock"
    edited = edit(lock.read_text(encoding="utf-8"))
    lock.unlink()
    if edited:
        lock.write_text(edited, encoding="utf-8")
    other = Path(shutil.copytree(workspace, tmp_path / "other", symlinks=True))

    by_dvc = call(workspace, *DVC, *STAGES)
    by_job = call(other, *JOB, *DVC, *STAGES)

    assert (by_dvc.returncode, by_job.returncode) == (0, 0), by_job.stdout
    written = lock.read_text(encoding="utf-8")
    assert written != edited
    assert (other / "dvc.lock").read_text(encoding="utf-8") == written


def test_dvc_lock_is_written_through_no_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs", encoding="utf-8")
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    for name in ("dvc.lock", ".dvc/tmp/dvc.lock.new"):  # an earlier version wrote the second one
        (tmp_path / name).symlink_to(theirs)

    write_lock(Path("dvc.lock"), {"a": "  a:\n    cmd: a\n"})

    assert theirs.read_text(encoding="utf-8") == "theirs"
    assert not (tmp_path / "dvc.lock").is_symlink()
