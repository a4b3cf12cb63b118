"""`srn`: one command, from any folder of a repository, whose own code it runs."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.pipeline import replace_text
from tests.shell import PROJECT, assert_one_line, call, call_unread

SRN = str(Path(sys.executable).with_name("srn"))
SUBCOMMANDS = [
    *("repro", "pull", "sync", "check", "results", "ui", "promote", "predict", "forecast"),
    *("lineage", "merge", "prune", "verify", "search", "adopt"),
]
# of these packages, some of which take seconds to import, those that a command loads
HEAVY = [
    *("torch", "torch._inductor", "mlflow", "pandas", "matplotlib", "sklearn", "statsmodels"),
    "numba",
]
LOADED = {
    "--help": [],
    "results": [],
    "lineage carried_rnn": [],
    "check": [],
    "merge": [],
    "adopt --check": [],
    "prune --yes": [],
    "promote surnames": [],
    "predict Schmidt": ["torch"],
    "predict Schmidt --model surname_ngrams": ["torch"],
    "forecast series.csv --series integer_starts --column y --horizon 3 --force": [
        *("torch", "pandas", "matplotlib"),
    ],
}


@pytest.mark.parametrize("command", ["results", "repro", "forecast series.csv"])
def test_outside_of_a_repository_it_names_the_installed_one_and_writes_nothing(tmp_path, command):
    done = call(tmp_path, SRN, *command.split())

    assert_one_line(done, f"{tmp_path} is not in a repository", f"cd '{PROJECT}'")
    assert list(tmp_path.iterdir()) == []


def test_help_into_a_closed_pipe_prints_no_error():
    stopped = call_unread(PROJECT, SRN, "--help", PYTHONUNBUFFERED="")

    assert (stopped.returncode, stopped.stderr) == (1, "")


def test_it_works_from_a_subfolder(workspace):
    done = call(workspace / "data/series", SRN, "results")

    assert done.returncode == 0, done.stdout
    assert "carried_rnn" in done.stdout


def test_it_runs_the_code_of_the_clone_in_which_it_is_typed(workspace):
    path = workspace / "stages/cli/results.py"
    replace_text(path, "    models = read_models()\n", '    raise InputError("of this clone")\n')

    assert_one_line(call(workspace / "data", SRN, "results"), "of this clone")


def test_files_are_those_of_the_folder_in_which_it_is_typed(workspace):
    folder = workspace / "data/series"
    (folder / "mine.csv").write_text("y\n" + "0.5\n" * 60, encoding="utf-8")

    done = call(folder, SRN, *["forecast", "mine.csv", "--column", "y", "--model", "carried_rnn"])

    assert done.returncode == 0, done.stdout
    assert {"mine_forecast.csv", "mine_forecast.png", "mine_forecast.json"} <= {
        path.name for path in folder.iterdir()
    }


def test_a_command_loads_no_package_that_only_others_need(workspace):
    (workspace / "series.csv").write_text("y\n" + "0\n0.5\n1\n" * 20, encoding="utf-8")
    shutil.copytree(PROJECT / "data/searched", workspace / "data/searched")  # for `adopt`
    code = (
        "import sys; sys.path.insert(0, '.'); from stages.cli.__main__ import main\n"
        "try: main()\n"
        f"finally: print('', *({{*{HEAVY}}} & {{*sys.modules}}), sep='\\n')"
    )

    loaded = {}
    for command in LOADED:
        done = call(workspace, sys.executable, "-c", code, *command.split())
        assert not done.stdout.startswith(("Traceback", "error: ")), done.stdout
        loaded[command] = [name for name in HEAVY if name in done.stdout.split("\n")]

    assert loaded == LOADED


@pytest.mark.parametrize("command", [[SRN], [sys.executable, "-m", "stages.cli"]])
def test_its_help_lists_all_subcommands_in_100_columns(command):
    done = call(PROJECT, *command, "--help", COLUMNS="100")

    assert done.returncode == 0
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")]
    assert lines == SUBCOMMANDS
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("repro --jobs 0", "--jobs: must be at least 1, got 0"),
        ("predict Schmidt --top -1", "--top: must be at least 1, got -1"),
        ("forecast a.csv --out out.txt", "out.txt must be a .csv file"),
        ("forecast a.csv --out nowhere/out.csv", "is not a folder: create it first"),
        ("ui --port 99999", "--port: must be from 1 to 65535, got 99999"),
        ("forecast a.csv --horizon " + "9" * 5_000, "must have at most 9 digits, got 999"),
        ("ui --port " + "9" * 5_000, "--port: must be from 1 to 65535, got 999"),
        ("forecast a.csv --level " + "9" * 5_000, "--level: invalid"),
        ("dance\x1b[2J" + "x" * 10_000, "invalid choice: 'dance"),
        ("forecast a.csv --out .csv", ".csv must be a .csv file"),
        ("dance", "invalid choice: 'dance'"),
    ],
)
def test_wrong_arguments_are_named(arguments, reason):
    done = call(PROJECT, SRN, *arguments.split())

    assert done.returncode == 2
    last = done.stdout.splitlines()[-1]
    assert reason in last and last.isprintable() and len(last) <= 350


def test_a_forecast_is_not_written_over_a_folder(tmp_path):
    (tmp_path / "out.csv").mkdir()

    done = call(PROJECT, SRN, "forecast", "a.csv", "--out", str(tmp_path / "out.csv"))

    assert "out.csv is a folder: name a file" in done.stdout.splitlines()[-1]
