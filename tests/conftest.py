"""The arithmetic and the one torch thread of every stage, no telemetry, and a workspace."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("SURNAMES_ZIP", None)  # a tester's own copy must not decide a test

from stages.shared.arithmetic import prepare_arithmetic

prepare_arithmetic()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: results, and no store yet."""
    from tests.workspace import copy_workspace, work_in  # imports what few tests need

    folder = copy_workspace(tmp_path / "workspace")
    work_in(folder, monkeypatch)
    return folder
