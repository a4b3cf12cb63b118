"""Installed packages win over files of the working folder, and a clone runs its own code."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.shell import PROJECT, call

PLANTED = "raise SystemExit('planted')\n"
# a module of a stage: it imports a package, and starts processes in all the ways that stages do
MODULE = """
import json, multiprocessing, subprocess, sys
import stages, tqdm

def find_tqdm(_):
    import tqdm
    return tqdm.__file__

if __name__ == "__main__":
    child = [sys.executable, "-m", "tqdm", "--version"]
    subprocess.run(child, check=True, stdout=subprocess.DEVNULL)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        [there] = pool.map(find_tqdm, [0])
    files = {"stages": stages.__file__, "tqdm": tqdm.__file__, "child": there}
    print(json.dumps(files | {"arguments": sys.argv[1:]}))
"""


def make_clone(folder: Path) -> Path:
    """A clone with one module."""
    (folder / "stages/shared").mkdir(parents=True)
    (folder / "stages/__init__.py").touch()
    (folder / "stages/shared/__init__.py").touch()
    (folder / "stages/shared/ask.py").write_text(MODULE, encoding="utf-8")
    shutil.copy(PROJECT / "stages/run.py", folder / "stages/run.py")
    return folder


def run_module(clone: Path, **environment: str) -> dict[str, str]:
    """What the module of a clone says of the files that it and its processes import."""
    done = call(clone, sys.executable, "stages/run.py", "shared.ask", "an argument", **environment)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


@pytest.mark.parametrize("folder", [".", "stages"])
def test_files_with_the_names_of_packages_are_not_imported(tmp_path, folder):
    clone = make_clone(tmp_path)
    for name in ("tqdm", "json", "runpy", "multiprocessing", "contextlib", "sitecustomize"):
        (clone / folder / f"{name}.py").write_text(PLANTED, encoding="utf-8")

    printed = run_module(clone)

    assert "site-packages" in printed["tqdm"] and printed["child"] == printed["tqdm"]
    assert printed["arguments"] == ["an argument"]


@pytest.mark.parametrize("paths", [[], ["other"], ["other", "clone", ""]])
def test_a_clone_runs_its_own_code(tmp_path, paths):
    clone, other = make_clone(tmp_path / "clone"), make_clone(tmp_path / "other")
    (other / "stages/shared/ask.py").write_text(PLANTED, encoding="utf-8")
    searched = ":".join(str(tmp_path / path) if path else path for path in paths)

    printed = run_module(clone, PYTHONPATH=searched)

    assert printed["stages"] == str(clone / "stages/__init__.py")


def test_a_module_that_a_clone_lacks_is_not_taken_from_the_clone_that_is_installed(tmp_path):
    clone = make_clone(tmp_path)

    done = call(clone, sys.executable, "stages/run.py", "cli.text")

    assert done.returncode == 1
    assert "No module named stages.cli" in done.stdout.replace("'", "")


def test_the_project_is_installed_here_so_that_it_could_be_taken_for_the_clone(tmp_path):
    done = call(tmp_path, sys.executable, "-P", "-c", "import stages; print(stages.__file__)")

    assert done.stdout.strip() == str(PROJECT / "stages/__init__.py")


def test_without_a_module_it_prints_its_usage():
    done = call(PROJECT, sys.executable, "stages/run.py")

    assert done.returncode == 1
    assert done.stdout.startswith("usage: python stages/run.py MODULE")
