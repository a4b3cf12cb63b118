"""Programs that a test needs and a machine may lack."""

import importlib.util
import shutil
from pathlib import Path

import pytest

# beside those of PATH; Debian keeps PostgreSQL's by version
FOLDERS = ("/usr/sbin", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True))


def need_program(name: str, package: str) -> str:
    """Path of a program; the test is skipped where there is none."""
    for folder in (None, *FOLDERS):
        found = shutil.which(name, path=folder)
        if found:
            return found
    pytest.skip(f"{name} is not installed: {package}")


def need_module(name: str, extra: str) -> None:
    """Skip the test where an extra of pyproject.toml is not installed."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install -c constraints.txt -e '.[{extra}]'")
