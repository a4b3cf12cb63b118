"""What make calls, with programs in place of Python's that only say how they were called."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shell import PROJECT, call, run


@pytest.mark.parametrize(("jobs", "option"), [("", ""), ("JOBS=3", " --jobs 3")])
def test_make_repro_makes_the_git_repository_that_dvc_needs(tmp_path, jobs, option):
    folder = copy_makefile(tmp_path)

    made = make(folder, "repro", *filter(None, [jobs]))

    assert made.stdout.splitlines()[-1] == f"srn repro{option}"
    assert (folder / ".git").is_dir()


@pytest.mark.parametrize(("ignored", "is_nested"), [("", False), ("project/", True)])
def test_in_a_folder_of_another_repository_none_is_made_unless_that_ignores_it(
    tmp_path, ignored, is_nested
):
    run(tmp_path, "git init -q")
    (tmp_path / ".gitignore").write_text(ignored, encoding="utf-8")
    folder = copy_makefile(tmp_path / "project")

    made = make(folder, "repro")

    assert made.returncode == 0, made.stdout
    assert (folder / ".git").exists() == is_nested


@pytest.mark.parametrize("target", ["repro", "results", "sync", "test", "verify", "lint"])
def test_the_path_of_the_checkout_may_have_a_space(tmp_path, target):
    folder = copy_makefile(tmp_path / "a b")

    made = make(folder, target)

    assert made.returncode == 0, made.stdout


def test_a_python_that_is_too_old_is_rejected_before_anything_is_installed(tmp_path):
    folder = copy_makefile(tmp_path)
    pretend = "import sys; sys.version_info = (3, 10, 1); exec(sys.argv[1])"
    old = write_program(folder / "old", f"exec {sys.executable} -c '{pretend}' \"$2\"")

    rejected = call(folder, "make", "--no-print-directory", "results", f"PYTHON={old}")

    assert rejected.returncode == 2
    error, gave_up = rejected.stdout.splitlines()
    assert error.startswith(f"error: {old} is 3.10, and 3.11 is the oldest that will do: ")
    assert re.match(r"make(\[\d+\])?: \*\*\*", gave_up)
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize("status", [0, 1])
def test_what_pip_collects_is_not_listed_and_only_what_it_installed_counts(tmp_path, status):
    folder = copy_makefile(tmp_path)
    prints = f"echo Collecting torch; echo of pip >&2; exit {status}"
    pip = f'#!/bin/sh\\ncase "$*" in *pip*) {prints};; esac\\n'
    venv = f"mkdir -p .venv/bin; printf '{pip}' > .venv/bin/python; chmod +x .venv/bin/python"
    python = write_program(folder / "python", f'case "$*" in *venv*) {venv};; esac')

    made = call(folder, "make", "--no-print-directory", ".venv/installed", f"PYTHON={python}")

    assert (made.returncode == 0) == (status == 0) == (folder / ".venv/installed").exists()
    assert "Collecting" not in made.stdout and "of pip" in made.stdout.splitlines()


def copy_makefile(folder: Path) -> Path:
    """A folder with what make needs, and the programs."""
    folder.mkdir(exist_ok=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, folder / name)
    (folder / "bin").mkdir()
    for name in ("python", "ruff", "mypy", "srn"):
        write_program(folder / "bin" / name, f'echo "{name} $*"')
    return folder


def write_program(path: Path, line: str) -> Path:
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # below another make, such as the one of CI, it would also tell its folder
    options = ("--no-print-directory", "--old-file", ".venv/installed")
    return call(folder, "make", *options, f"BIN={folder / 'bin'}", *arguments)
