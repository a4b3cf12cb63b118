"""Workspaces for the tests of tracking."""

from pathlib import Path

import pytest

from tests.shell import run
from tests.workspace import copy_workspace, work_in


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose store is complete; tests may only read it."""
    folder = copy_workspace(tmp_path_factory.mktemp("published") / "workspace")
    run(folder, "python -m stages.tracking.track")
    return folder


@pytest.fixture
def tracked(published: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the working folder."""
    work_in(published, monkeypatch)
    return published
