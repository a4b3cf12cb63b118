"""Published results are made again elsewhere, and compared byte by byte."""

import re

import pytest

from tests.pipeline import copy_template
from tests.shell import assert_one_line, call

VERIFY = ("python", "stages/run.py", "cli", "verify")


@pytest.fixture
def clone(tmp_path):
    return copy_template(tmp_path / "clone")


@pytest.mark.slow
def test_every_model_trained_again_equals_dvc_lock(clone):
    done = call(clone, *VERIFY)

    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("6 of 6 equal\n")


@pytest.mark.slow
def test_a_model_that_differs_after_training_is_reported_with_its_files(clone):
    lock = (clone / "dvc.lock").read_text(encoding="utf-8")
    path = "data/trained/carried_rnn/weights.pt"
    md5 = re.search(rf"- path: {path}\n +hash: md5\n +md5: (\w+)", lock)[1]
    (clone / "dvc.lock").write_text(lock.replace(md5, "a" * 32), encoding="utf-8")

    done = call(clone, *VERIFY, "carried_rnn", "windowed_lstm_fast")

    assert done.returncode == 1
    assert "carried_rnn: differs in weights.pt\nwindowed_lstm_fast: equal\n1 of 2" in done.stdout


@pytest.mark.slow
def test_other_data_than_those_of_dvc_lock_are_rejected(clone):
    (clone / "data/preprocessed/series/integer_starts.npz").write_bytes(b"")

    done = call(clone, *VERIFY, "carried_rnn")

    assert done.returncode == 1
    assert "carried_rnn: data/preprocessed/series" in done.stdout
    assert "differs from dvc.lock" in done.stdout


def test_a_command_that_is_only_in_dvc_lock_is_never_run(workspace):
    lock = (workspace / "dvc.lock").read_text(encoding="utf-8")
    planted = "cmd: python -c \"open('planted', 'w')\" out"
    entry = re.search(r"  train_forecaster@carried_rnn:\n( +)cmd: .*\n(\1 +.*\n)*", lock)[0]
    changed = re.sub(r"cmd: .*\n(\s{6,}.*\n)*", f"{planted}\n", entry)
    (workspace / "dvc.lock").write_text(lock.replace(entry, changed), encoding="utf-8")

    done = call(workspace, *VERIFY, "carried_rnn")

    assert_one_line(done, "train_forecaster@carried_rnn in dvc.lock (python -c", "dvc.yaml")
    assert not (workspace / "planted").exists()


def test_an_unknown_model_is_reported(workspace):
    done = call(workspace, *VERIFY, "nobody")

    assert done.returncode == 1
    assert done.stdout.startswith("error: dvc.lock has no model nobody: choose one of carried_rnn")
