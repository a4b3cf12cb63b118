"""`make repro`: side by side, the same bytes, and nothing left behind whatever happens."""

import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.forecasting.entries import FILE
from tests.pipeline import (
    KEPT,
    copy_template,
    edit_params,
    find_template,
    list_processes,
    list_started,
    make_clone,
    read_outs,
    read_scores,
    repro,
    set_param,
)
from tests.shell import PROJECT, call, make_environment, run

MAKE = ("make", "repro", "--old-file", ".venv/installed")  # installs nothing
ENDLESS = 10**6  # iterations: minutes
SYLLABLES = {"Elvish": ["el", "mir", "an"], "Dwarvish": ["dur", "grim", "ok"]}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return copy_template(tmp_path / "clone")


@pytest.mark.slow
def test_two_jobs_in_another_folder_give_the_bytes_of_the_sequential_run(tmp_path):
    other = make_clone(tmp_path / "other", KEPT)

    first, second = repro(other), repro(other)

    assert first.returncode == 0, first.stdout
    assert read_outs(other) == read_outs(find_template())
    assert "surname_ngrams" in first.stdout  # the table
    assert second.returncode == 0, second.stdout
    assert list_started(second.stdout) == set()
    assert "MLflow at" not in second.stdout  # what tracking says: nothing was opened


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stage_that_fails_shows_its_output_and_the_others_run(clone, jobs):
    set_param(clone, "forecasters.windowed_lstm_fast.rate", 1e38)
    set_param(clone, "forecasters.carried_rnn.rate", 0.02)

    ended = repro(clone, jobs)

    assert ended.returncode == 1
    assert "windowed_lstm_fast: the loss became" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("error: train_forecaster@windowed_lstm_fast")
    assert "plot_forecaster@carried_rnn" in list_started(ended.stdout)
    assert "plot_forecaster@windowed_lstm_fast" not in list_started(ended.stdout)
    assert_nothing_runs(clone)


def add_series(clone: Path, name: str, last: str) -> None:
    """Add a series from a file, which ends with a cell."""
    path = f"data/series/{name}.csv"
    cells = [str(number % 3) for number in range(39)]
    (clone / path).write_text("\n".join(["y", *cells, last]), encoding="utf-8")
    entry = FILE | {"path": path}
    edit_params(clone, lambda params: params["observed_series"].update({name: entry}))


@pytest.mark.slow
def test_a_bad_file_stops_only_its_own_series(clone):
    add_series(clone, "good", last="1")
    add_series(clone, "bad", last="high")

    ended = repro(clone)

    said = ended.stdout.splitlines()
    assert ended.returncode == 1
    assert "error: data/series/bad.csv, column y, line 41: 'high' is not a number" in ended.stdout
    assert said[-1].startswith("error: preprocess_observed@bad")
    assert (clone / "data/evaluated/details/forecasting/baselines/good/scores.json").exists()
    assert not (clone / "data/preprocessed/series/bad.npz").exists()


@pytest.mark.slow
def test_a_bad_file_stops_only_its_own_series_under_plain_dvc_too(clone):
    add_series(clone, "bad", last="high")
    add_series(clone, "good", last="1")

    ended = call(clone, "dvc", "repro", "--keep-going")

    assert ended.returncode != 0
    assert "error: data/series/bad.csv, column y, line 41: 'high' is not a number" in ended.stdout
    assert (clone / "data/evaluated/details/forecasting/baselines/good/scores.json").exists()
    assert not (clone / "data/preprocessed/series/bad.npz").exists()


@pytest.mark.slow
def test_a_signal_stops_the_children_and_the_next_call_completes(clone):
    for model in KEPT["forecasters"]:
        set_param(clone, f"forecasters.{model}.iterations", ENDLESS)

    for number, jobs in ((signal.SIGINT, 2), (signal.SIGTERM, 2), (signal.SIGTERM, 1)):
        command = start_repro(clone, jobs)
        wait_for_trainings(clone, jobs)
        command.send_signal(number)
        assert command.wait(timeout=20) == 128 + number
        assert_nothing_runs(clone)

    for model in KEPT["forecasters"]:
        set_param(clone, f"forecasters.{model}.iterations", 3)
    completed = repro(clone)
    assert completed.returncode == 0, completed.stdout
    assert run(clone, "dvc status").strip() == "Data and pipelines are up to date."


def start_repro(clone: Path, jobs: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["python", "stages/run.py", "cli", "repro", "--jobs", str(jobs)],
        cwd=clone,
        env=make_environment(clone),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # `pytest &` ignores it
    )


def wait_for_trainings(clone: Path, count: int) -> None:
    for _ in range(600):
        commands = (read_command(process) for process in list_processes(clone))
        trainer = ["stages/run.py", "launch", "forecasting.train"]
        if sum(command[1:4] == trainer for command in commands) == count:
            return
        time.sleep(0.1)
    raise TimeoutError(f"{count} trainings did not start in {clone}")


def read_command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def assert_nothing_runs(clone: Path) -> None:
    _, left = psutil.wait_procs(list_processes(clone), timeout=3)
    for process in left:
        process.kill()
    assert left == []


@pytest.mark.slow
def test_a_copy_of_the_zip_replaces_the_sample_once(clone):
    assert read_scores(clone, "surname_ngrams")["data"] == "sample"
    set_param(clone, "download_surnames.archive", "any")
    run(clone, "dvc repro --single-item download_surnames")  # else DVC sees a change by itself
    copy = write_zip(clone.parent / "copy.zip")

    assert repro(clone, SURNAMES_ZIP=str(copy)).returncode == 0
    outs = read_outs(clone)
    again = repro(clone, SURNAMES_ZIP=str(copy))
    run(clone, "make clean")
    emptied = repro(clone, SURNAMES_ZIP=str(copy))

    assert list_started(again.stdout) == set()
    assert emptied.returncode == 0, emptied.stdout
    assert read_outs(clone) == outs
    assert read_scores(clone, "surname_ngrams")["data"] == "custom (copy.zip)"


def write_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for language, parts in SYLLABLES.items():
            names = [(a + b + c).title() for a in parts for b in parts for c in parts]
            archive.writestr(f"data/names/{language}.txt", "\n".join(names))
    return path


@pytest.mark.slow
def test_without_mlflow_only_tracking_is_missing(clone):
    set_param(clone, "figures.dpi", 31)

    dead = repro(clone, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    alive = repro(clone)

    assert dead.returncode == 1
    assert "carried_rnn" in dead.stdout.partition("best by validation")[2]  # the table
    assert "MLflow could not be updated" in dead.stdout.splitlines()[-1]
    assert alive.returncode == 0, alive.stdout
    assert "carried_rnn: figures, tables and note replaced" in alive.stdout
    assert list_started(alive.stdout) <= {"track"}


@pytest.mark.slow
def test_a_source_archive_without_git_runs(clone):
    shutil.rmtree(clone / ".git")
    set_param(clone, "figures.dpi", 31)

    made = call(clone, *MAKE, f"BIN={Path(sys.executable).parent}")

    assert made.returncode == 0, made.stdout
    assert (clone / ".git").is_dir()
    assert "plot_forecaster@carried_rnn" in list_started(made.stdout)


@pytest.mark.slow
def test_where_stdout_is_no_terminal_each_chain_is_one_line_that_counts_the_stages(clone):
    set_param(clone, "figures.dpi", 31)
    with (clone / "stages/surnames/plot.py").open("a", encoding="utf-8") as code:
        code.write("# a comment\n")  # so that follow_imports runs, before all others

    done = repro(clone)

    assert done.returncode == 0, done.stdout
    assert re.match(r"\[1/1\] +\d+ s  follow_imports\n\[1/7\]", done.stdout)
    counts = re.findall(r"^\[ *(\d+)/7\] +\d+ s  \S", done.stdout, re.MULTILINE)
    assert [int(count) for count in counts] == [1, 2, 3, 4, 5, 6, 7]
    assert "\r" not in done.stdout and "\x1b" not in done.stdout


@pytest.mark.parametrize("number", ["0", "-1"])
def test_zero_jobs_are_rejected(tmp_path, number):
    command = ("python", f"{PROJECT}/stages/run.py", "cli", "repro", "--jobs", number)

    rejected = call(tmp_path, *command)

    assert rejected.returncode == 2
    assert rejected.stdout.splitlines()[-1].endswith(f"--jobs: must be at least 1, got {number}")
