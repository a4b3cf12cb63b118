"""What is said in one line before anything is done, and what would go unsaid."""

import pytest

from stages.commands.checks import check_architectures, list_forgotten_plots
from stages.shared.errors import InputError
from tests.pipeline import replace_text, repro, set_param
from tests.shell import PROJECT, call

COMMANDS = [
    "dag",
    "forecast series.csv y out.csv",
    "lineage carried_rnn",
    "predict Schmidt",
    "promote sunspots",
    "repro",
    "results",
    "verify",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_in_another_folder_a_command_says_where_to_go_and_leaves_nothing(tmp_path, command):
    module, *arguments = command.split()

    said = call(
        tmp_path, "python", "-m", f"stages.commands.{module}", *arguments, PYTHONPATH=str(PROJECT)
    )

    assert said.returncode == 1
    assert (
        said.stdout == f"error: {tmp_path} has no dvc.yaml: go to the repository, cd '{PROJECT}'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_architecture_is_named_before_anything_runs(workspace):
    set_param(workspace, "sine.carried_rnn.architecture", "transformer")

    said = repro(workspace)

    assert said.returncode == 1
    assert said.stdout.startswith(
        "error: params.yaml: sine.carried_rnn.architecture: there is no "
        "stages/models/transformer.py: choose one of blend_classifier, elman_classifier, "
    )
    assert len(said.stdout.splitlines()) == 1


@pytest.mark.parametrize("value", [None, 4, "../evil", {}])
def test_an_architecture_that_is_no_name_is_refused(workspace, value):
    set_param(workspace, "surnames.surname_gru.architecture", value)

    with pytest.raises(InputError, match=r"surname_gru.architecture: (string|input) should"):
        check_architectures()


def test_the_architectures_in_git_are_known(workspace):
    check_architectures()


def test_a_model_without_its_line_under_plots_is_named(workspace):
    assert list_forgotten_plots() == []

    replace_text(workspace / "dvc.yaml", "  - data/plotted/carried_rnn\n", "")
    replace_text(workspace / "dvc.yaml", "  - data/plotted/surname_gru\n", "")

    assert list_forgotten_plots() == ["carried_rnn", "surname_gru"]


def test_a_line_under_plots_may_have_options(workspace):
    line = "  - data/plotted/carried_rnn"
    replace_text(workspace / "dvc.yaml", f"{line}\n", f"{line}:\n      title: carried\n")

    assert list_forgotten_plots() == []


@pytest.mark.slow
def test_repro_warns_of_a_model_without_its_line_under_plots(workspace):
    replace_text(workspace / "dvc.yaml", "  - data/plotted/carried_rnn\n", "")

    done = repro(workspace)

    assert done.returncode == 0, done.stdout
    assert "`plots:` in dvc.yaml has no line `- data/plotted/carried_rnn`" in done.stdout
