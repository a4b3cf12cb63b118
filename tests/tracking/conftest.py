"""Workspaces for the tests of tracking."""

from pathlib import Path

import pytest

from tests.store import find_filled_template
from tests.workspace import work_in


@pytest.fixture(scope="session")
def published() -> Path:
    """A workspace whose store is complete; tests may only read it."""
    return find_filled_template()


@pytest.fixture
def tracked(published: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the working folder."""
    work_in(published, monkeypatch)
    return published
