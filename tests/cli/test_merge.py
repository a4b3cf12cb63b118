"""Two branches that each add a model merge without a line of dvc.lock that a person has to read."""

import os
import sys
from pathlib import Path

import pytest

from stages.cli import merge
from stages.cli.merge import merge_texts
from stages.shared.dvc_pipeline import join_lock, split_lock
from stages.shared.errors import InputError
from stages.shared.yaml_files import parse_yaml
from stages.tracking.leaderboards import format_champions
from tests.faults.test_locks import merge_two_trainings
from tests.pipeline import edit_params
from tests.shell import assert_one_line, call_srn, commit, file_size_limited, run
from tests.workspace import add_forecaster

MERGE = [sys.executable, "stages/run.py", "cli", "merge"]
STAGES = [f"{verb}_forecaster@{{}}" for verb in ("train", "evaluate", "plot")]


def make_lock(**md5s: str) -> str:
    return join_lock({name: f"  {name}:\n    md5: {md5}\n" for name, md5 in md5s.items()})


@pytest.mark.parametrize(
    ("ours", "theirs", "merged", "taken"),
    [
        ({"a": "1", "b": "1"}, {"a": "1"}, {"a": "1", "b": "1"}, []),  # ours is new
        ({"a": "1"}, {"a": "1", "c": "1"}, {"a": "1", "c": "1"}, ["c"]),  # theirs is new
        ({"a": "2"}, {"a": "1"}, {"a": "2"}, []),  # ours has run again
        ({"a": "1"}, {"a": "2"}, {"a": "2"}, ["a"]),  # theirs has run again
        ({"a": "2"}, {"a": "2"}, {"a": "2"}, []),  # both have, alike
        ({}, {"a": "1"}, {}, []),  # ours is removed
        ({"a": "1"}, {}, {}, ["a"]),  # theirs is removed
    ],
)
def test_what_one_side_has_changed_is_taken_from_there(ours, theirs, merged, taken):
    found = merge_texts("dvc.lock", make_lock(a="1"), make_lock(**ours), make_lock(**theirs))

    assert found.text == make_lock(**merged)
    assert found.taken == taken
    assert found.conflicts == []


def test_what_both_sides_have_changed_is_named_and_stays_ours():
    base = make_lock(train="1", track="1", follow_imports="1")
    ours = make_lock(train="2", track="2", follow_imports="2")
    theirs = make_lock(train="3", track="3", follow_imports="3")

    found = merge_texts("dvc.lock", base, ours, theirs)

    assert found.text == ours
    assert found.conflicts == ["train"]  # the others run after each merge


def test_champions_are_merged_by_leaderboard():
    base = {"level": {"model": "a"}, "waves": {"model": "a"}}
    ours = {"level": {"model": "b"}, "waves": {"model": "b"}}
    theirs = {"level": {"model": "a"}, "surnames": {"model": "c"}, "waves": {"model": "c"}}

    found = merge_texts("champions.yaml", *map(format_champions, (base, ours, theirs)))

    assert parse_yaml(found.text) == ours | {"surnames": {"model": "c"}}
    assert found.conflicts == ["waves"]


def test_a_lock_file_that_dvc_did_not_write_is_not_merged():
    with pytest.raises(InputError, match="edited by hand"):
        merge_texts("dvc.lock", make_lock(), "# mine\n" + make_lock(), make_lock())


def add_models_on_two_branches(folder: Path) -> None:
    """`ada_rnn` on the branch that is checked out, `bobs_rnn` on theirs."""
    run(folder, "git checkout -q -b theirs")
    add_forecaster(folder, "bobs_rnn")
    commit(folder, "bob adds a model")
    run(folder, "git checkout -q - && dvc checkout -q")
    add_forecaster(folder, "ada_rnn")
    commit(folder, "ada adds a model")


def keep_both(folder: Path) -> None:
    """Edit params.yaml as a person does who keeps the entries of both sides."""
    theirs = parse_yaml(run(folder, "git show theirs:params.yaml"))["forecasters"]
    run(folder, "git checkout --ours params.yaml")
    edit_params(folder, lambda params: params["forecasters"].update(theirs))
    run(folder, "git add params.yaml")


def test_a_full_disk_during_a_merge_leaves_our_file_unchanged(tmp_path):
    base, ours, theirs = (tmp_path / name for name in ("base", "ours", "theirs"))
    base.write_text("", encoding="utf-8")
    ours.write_text(make_lock(a="1"), encoding="utf-8")
    theirs.write_text(make_lock(b="1" * 100), encoding="utf-8")

    with file_size_limited(100), pytest.raises(OSError, match="too large"):
        merge.main([base, ours, theirs, "dvc.lock"])

    assert ours.read_text(encoding="utf-8") == make_lock(a="1")


@pytest.mark.parametrize("has_driver", [False, True])
def test_two_added_models_merge_and_nothing_runs_again(workspace, has_driver):
    add_models_on_two_branches(workspace)
    if has_driver:
        driver = f"{' '.join(MERGE)} --files %O %A %B %P"
        run(workspace, f"git config merge.srn.driver '{driver}'")

    merged = run(workspace, "git merge theirs", check=False)
    first = call_srn(workspace, "merge")
    keep_both(workspace)
    second = call_srn(workspace, "merge")

    assert ("conflict in dvc.lock" in merged) is not has_driver
    assert first.returncode == 1
    assert "params.yaml has conflict markers" in first.stdout
    assert "keep the entries of both" in first.stdout
    assert second.returncode == 0, second.stdout
    assert "nothing but track has to run" in second.stdout
    entries = split_lock((workspace / "dvc.lock").read_text(encoding="utf-8"))
    assert {stage.format(model) for stage in STAGES for model in ("ada_rnn", "bobs_rnn")} <= {
        *entries
    }
    assert (workspace / "data/trained/bobs_rnn/weights.pt").exists()


def test_a_model_that_both_sides_have_changed_is_named_and_runs_again(workspace):
    merge_two_trainings(workspace)
    run(workspace, "git checkout --theirs params.yaml && git add params.yaml")

    done = call_srn(workspace, "merge")

    assert done.returncode == 0, done.stdout
    assert "train_forecaster@carried_rnn was changed on both sides: ours stays" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if "have to run" in line]
    assert line.endswith(": plot_forecaster@carried_rnn, train_forecaster@carried_rnn")


@pytest.mark.parametrize("content", [None, b"\xff", b"pipe"])
def test_an_unreadable_side_of_a_merge_is_a_one_line_error(tmp_path, content):
    base = tmp_path / "base"
    if content == b"pipe":
        os.mkfifo(base)
    elif content:
        base.write_bytes(content)

    with pytest.raises(InputError, match=r"base (cannot be read|is not a regular file)"):
        merge.main([base, base, base, "dvc.lock"])


def test_a_number_as_the_name_of_a_champion_is_rejected():
    with pytest.raises(InputError, match=r"champions\.yaml was edited by hand on one side"):
        merge_texts("champions.yaml", "", "1: 1\na: 2\n", "b: 1\n")


def test_conflict_markers_are_reported_with_the_merge_command(workspace):
    lock = workspace / "dvc.lock"
    text = lock.read_text(encoding="utf-8")
    lock.write_text(f"{text}<<<<<<< HEAD\n=======\n>>>>>>> theirs\n", encoding="utf-8")

    done = call_srn(workspace, "sync")

    assert_one_line(done, "dvc.lock has conflict markers from line", "srn merge")
