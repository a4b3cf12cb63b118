"""What has not changed once its upstream has run is counted, and no process is started for it."""

import re
import shutil
from pathlib import Path

import pytest
import zc.lockfile

from stages.cli.dvc_internals import is_dvc_busy
from stages.cli.graph import Pipeline, find_stale
from stages.cli.jobs import find_changed_now, run_side_by_side
from tests.pipeline import copy_template, list_started, repro
from tests.shell import commit, run
from tests.workspace import work_in

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own

PIPELINE = """\
stages:
  sort:
    cmd: sort numbers.txt > sorted.txt
    deps: [numbers.txt]
    outs: [sorted.txt]
  lowest:
    cmd: head -n 1 sorted.txt > lowest.txt
    deps: [sorted.txt]
    outs: [lowest.txt]
  highest:
    cmd: tail -n 1 sorted.txt > highest.txt
    deps: [sorted.txt]
    outs: [highest.txt]
  square:
    cmd: echo $(($(cat highest.txt) * $(cat highest.txt))) > square.txt
    deps: [highest.txt]
    outs: [square.txt]
"""
# notes each dvc process: what follows `dvc --wait-for-lock repro --single-item`
NOTE = """\
import sys
if "cli.jobs" in sys.orig_argv:
    with open("processes", "a") as file:
        print(*sys.orig_argv[8:], file=file)
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    (folder / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (folder / "numbers.txt").write_text("3\n1\n2\n", encoding="utf-8")
    (folder / "sitecustomize.py").write_text(NOTE, encoding="utf-8")
    run(folder, "git init -q && dvc init -q && dvc add -q numbers.txt && dvc repro -q")
    commit(folder, "run")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four stages that have run, and data of a `dvc add`."""
    folder = Path(shutil.copytree(template, tmp_path / "project", symlinks=True))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    work_in(folder, monkeypatch)
    return folder


def run_changed() -> None:
    pipeline = Pipeline()
    changed = pipeline.find_changed(pipeline.graph)
    run_side_by_side(pipeline, find_stale(pipeline.graph, changed), changed, num_jobs=2)


def test_an_edit_that_gives_the_same_bytes_starts_no_process_downstream(project, capsys):
    (project / "numbers.txt").write_text("2\n1\n3\n", encoding="utf-8")

    run_changed()

    [ran, counted] = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[2/5\] +\d+ s  numbers.txt.dvc → sort", ran)
    assert counted == "[5/5] stages done, 3 of them unchanged"
    assert (project / "processes").read_text("utf-8") == "numbers.txt.dvc sort\n"
    assert run(project, "dvc status").strip() == "Data and pipelines are up to date."


def test_a_stage_is_checked_again_after_its_upstream_restored_a_file(project, capsys):
    (project / "sorted.txt").unlink()

    run_changed()

    assert capsys.readouterr().out.splitlines()[1:] == ["[4/4] stages done, 3 of them unchanged"]
    assert (project / "processes").read_text("utf-8") == "sort\n"
    assert (project / "sorted.txt").read_text("utf-8") == "1\n2\n3\n"


def test_of_a_chain_only_the_stages_that_ran_are_named(project, capsys):
    (project / "numbers.txt").write_text("3\n0\n2\n", encoding="utf-8")
    pipeline = project / "dvc.yaml"
    pipeline.write_text(PIPELINE.replace("tail -n 1 sorted", "tail -1 sorted"), encoding="utf-8")

    run_changed()

    said = capsys.readouterr().out
    assert list_started(said) == {"numbers.txt.dvc", "sort", "lowest", "highest"}
    assert said.splitlines()[-1] == "[5/5] stages done, 1 of them unchanged"
    assert "highest square\n" in (project / "processes").read_text("utf-8")


def test_while_another_dvc_is_running_a_stage_counts_as_changed(project):
    pipeline = Pipeline()
    assert not is_dvc_busy()
    other = zc.lockfile.LockFile(".dvc/tmp/lock")

    changed = find_changed_now(pipeline, ["sort", "lowest"])

    assert is_dvc_busy()
    other.close()
    assert changed == {"sort", "lowest"}
    assert find_changed_now(pipeline, ["sort", "lowest"]) == set()


@pytest.mark.slow
def test_a_comment_in_a_stage_whose_bytes_stay_runs_that_stage_alone(tmp_path):
    clone = copy_template(tmp_path / "clone")
    with (clone / "stages/forecasting/preprocess.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")

    done = repro(clone)

    preprocessed = {"preprocess_series@integer_starts", "preprocess_series@period_40"}
    assert done.returncode == 0, done.stdout
    assert list_started(done.stdout) == {"follow_imports", *preprocessed}
    assert "[10/10] stages done, 8 of them unchanged\n" in done.stdout
