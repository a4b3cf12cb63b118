"""A team shares the pipeline by git and a DVC remote, and tries things out as experiments."""

import csv
import io
import json
import time
from pathlib import Path

import pytest

from stages.surnames.assessment import METRICS
from tests.pipeline import (
    KEPT,
    SERIES,
    copy_template,
    edit_params,
    list_processes,
    list_started,
    list_tracked,
    list_tried,
    repro,
    set_param,
)
from tests.shell import commit, read_blocks, run, type_in
from tests.test_reruns import add_series
from tests.workspace import MODELS, RUNS, SECTIONS

pytestmark = pytest.mark.slow

FORECASTER_SCORES = {"mse_short", "mse_long", "ratio_to_baseline", "walkthrough_mse"}
CLASSIFIER_SCORES = {*METRICS}
TRACKED = sorted([(name, None) for name in RUNS], key=str)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return copy_template(tmp_path / "clone")


def test_a_teammate_pulls_and_has_nothing_to_run(clone, tmp_path):
    run(tmp_path, "git init -q --bare origin")
    run(clone, f"dvc remote add -d team {tmp_path / 'remote'}")
    commit(clone, "remote")
    run(clone, f"dvc push -q && git push -q {tmp_path / 'origin'} HEAD:refs/heads/main")

    run(tmp_path, "git clone -q -b main origin teammate && cd teammate && dvc pull -q")
    teammate = tmp_path / "teammate"
    said = repro(teammate)

    assert said.returncode == 0, said.stdout
    assert list_started(said.stdout) == set()
    assert list_tracked(teammate) == TRACKED
    assert run(teammate, "git status --porcelain") == ""


def test_a_stage_that_dvc_takes_from_its_cache_has_its_run(clone):
    set_param(clone, "forecasters.carried_rnn.rate", 0.02)
    run(clone, "dvc repro")
    (clone / "mlflow.db").unlink()
    set_param(clone, "forecasters.carried_rnn.rate", 0.01)

    said = run(clone, "dvc repro && python stages/run.py tracking.track")

    assert "'train_forecaster@carried_rnn' is cached" in said
    assert list_tracked(clone) == TRACKED


def test_scores_and_pictures_are_shown(clone):
    scores = json.loads(run(clone, "dvc metrics show --json"))[""]["data"]
    page = Path(run(clone, "dvc plots show").strip().removeprefix("file://"))

    assert {Path(path).stem for path in scores} == {*MODELS}
    for path, file in scores.items():
        names = CLASSIFIER_SCORES if "/surnames/" in path else FORECASTER_SCORES
        assert set(file["data"]) == names
    html = page.read_text(encoding="utf-8")
    assert all(f"{model}_forecast.png" in html for model in KEPT["forecasters"])
    assert all(f"Loss of {model}" in html for models in KEPT.values() for model in models)
    assert run(clone, "git status --porcelain") == ""


@pytest.mark.parametrize("task", ["forecasting", "surnames"])
def test_the_table_of_scores_of_a_task_fits_into_130_columns(clone, task):
    table = run(clone, f"dvc metrics show data/evaluated/{task}")

    lines = table.splitlines()
    longest = {"forecasting": "drifting_rnn_refined", "surnames": "surname_markov"}[task]
    spare = len(longest) - max(len(name) for name in KEPT[SECTIONS[task]])
    assert len(lines) > 2
    assert max(len(line) for line in lines) + spare <= 130


def test_an_experiment_is_compared_with_the_commit(clone):
    said = run(clone, "dvc exp run --name faster --set-param forecasters.carried_rnn.rate=0.02")

    assert "train_forecaster@carried_rnn" in list_started(said)
    changed = json.loads(run(clone, "dvc metrics diff --json"))
    assert list(changed) == ["data/evaluated/forecasting/carried_rnn.json"]
    table = list(csv.DictReader(io.StringIO(run(clone, "dvc exp show --csv"))))
    rates = {
        row["Experiment"]: row["forecasters.carried_rnn.rate"] for row in table if row["Experiment"]
    }
    assert rates == {"faster": "0.02"}
    assert ("carried_rnn", "faster") in list_tracked(clone)


def test_experiments_elsewhere_end_in_the_store_of_the_workspace(clone):
    run(clone, "dvc exp run --temp --name aside --set-param forecasters.carried_rnn.rate=0.02")
    for name, rate in (("first", 0.03), ("second", 0.04)):
        run(
            clone,
            f"dvc exp run --queue --name {name} --set-param forecasters.carried_rnn.rate={rate}",
        )
    run(clone, "dvc queue start --jobs 2")
    wait_for_queue(clone)

    tried = [("carried_rnn", name) for name in ("aside", "first", "second")]
    assert list_tracked(clone) == sorted(TRACKED + tried, key=str)
    assert list_tried(clone, "rate") == {"aside": "0.02", "first": "0.03", "second": "0.04"}
    run(clone, "dvc exp apply second")
    assert repro(clone).returncode == 0
    assert len(list_tracked(clone)) == len(TRACKED) + len(tried)


def wait_for_queue(clone: Path) -> None:
    """Wait until all tasks have ended, and the workers of the queue, which linger, too."""
    for _ in range(300):
        status = run(clone, "dvc queue status")
        if "Running" not in status and "Queued" not in status:
            break
        time.sleep(1)
    run(clone, "dvc queue stop --kill")
    for process in list_processes(clone):
        process.kill()
    assert status.count("Success") == 2, status


def change_test(clone: Path) -> None:
    set_param(clone, "evaluate_forecasters.bootstrap.resamples", 21)


def comment_on_a_model(clone: Path) -> None:
    with (clone / "stages/models/window_forecaster.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")


def remove_model(clone: Path) -> None:
    edit_params(clone, lambda params: params["forecasters"].pop("windowed_lstm_fast"))


FORECASTERS = KEPT["forecasters"]
EDITS = {  # -> the stages that `make repro` lists after the first one; it names no tracking
    add_series: {
        "generate_series@extra",
        "preprocess_series@extra",
        "score_series_baselines@extra",
    },
    change_test: {
        *(f"score_series_baselines@{name}" for name in ("extra", *SERIES)),
        *(f"{verb}_forecaster@{name}" for verb in ("evaluate", "plot") for name in FORECASTERS),
    },
    comment_on_a_model: {
        "train_forecaster@windowed_lstm_fast",
        "evaluate_forecaster@windowed_lstm_fast",
    },
    remove_model: set(),
}


def test_a_teammate_has_all_results_after_the_commands_of_the_readme(clone, tmp_path):
    share, get = read_blocks("Share it with a team")
    run(tmp_path, "git init -q --bare -b main origin")
    run(
        clone, "git branch -M main && git remote add origin ../origin && git push -q -u origin main"
    )
    done = type_in(clone, share.replace("/shared/folder", str(tmp_path / "remote")))
    assert done.returncode == 0, done.stdout
    run(tmp_path, "git clone -q -c core.autocrlf=true origin teammate")  # as on Windows
    teammate = tmp_path / "teammate"
    assert_nothing_runs(teammate, get)

    for edit, stages in EDITS.items():
        edit(clone)
        done = type_in(clone, "make repro")
        assert done.returncode == 0, done.stdout
        assert list_started(done.stdout) == {"follow_imports", *stages}, edit
        assert "Use `dvc push`" not in done.stdout
        commit(clone, edit.__name__)
        run(clone, "dvc push -q && git push -q")
        run(teammate, "git pull -q")
        assert_nothing_runs(teammate, get)

    assert not list(teammate.glob("data/*/windowed_lstm_fast*"))
    assert "windowed_lstm_fast" not in (teammate / "dvc.lock").read_text(encoding="utf-8")


def assert_nothing_runs(teammate: Path, get: str) -> None:
    """After what README says of a pull all is there, and git sees no change."""
    got = type_in(teammate, get)

    assert got.returncode == 0, got.stdout
    assert list_started(got.stdout) == set()
    assert run(teammate, "dvc status").strip() == "Data and pipelines are up to date."
    assert run(teammate, "git status --porcelain") == ""
    run(teammate, "python stages/run.py cli check")
