"""The workspace for the tests of faults."""

from pathlib import Path

import pytest

from tests.workspace import copy_workspace, work_in


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: results, and no store yet."""
    folder = copy_workspace(tmp_path / "workspace")
    work_in(folder, monkeypatch)
    return folder
