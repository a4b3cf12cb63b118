"""What is said in one line before anything is done, and what would go unsaid."""

import os

import pytest

from stages.cli.repro import check_files
from stages.imports.follow import check_names
from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml, parse_yaml
from tests.forecasting.entries import FILE
from tests.pipeline import edit_params, list_started, repro, set_param
from tests.shell import assert_one_line, call


def test_an_unknown_architecture_is_named_before_anything_runs(workspace):
    set_param(workspace, "forecasters.carried_rnn.architecture", "transformer")

    said = repro(workspace)

    assert said.returncode == 1
    assert said.stdout.startswith(
        "error: params.yaml: forecasters.carried_rnn.architecture: there is no "
        "stages/models/transformer.py: choose one of blend_classifier, direct_forecaster, "
    )
    assert len(said.stdout.splitlines()) == 1


def test_sizes_that_do_not_fit_a_series_are_named_before_anything_runs(workspace):
    set_param(workspace, "forecasters.carried_rnn.closed_loop", {"context": 40, "horizon": 20})

    with pytest.raises(InputError) as error:
        check_files()

    assert str(error.value) == (
        "params.yaml: forecasters.carried_rnn: closed_loop sees 40 samples and forecasts 20, "
        "segments of integer_starts have 50: lower one of them, or leave both out"
    )


def test_a_series_from_a_pipe_is_named_before_dvc_waits_for_its_end(workspace):
    os.mkfifo(workspace / "data/series/pipe.csv")
    observe("data/series/pipe.csv")(workspace)

    with pytest.raises(InputError, match=r"observed_series\.mine: .*: it is not a regular file"):
        check_files()


@pytest.mark.parametrize("value", [None, 4, "../evil", {}])
def test_an_architecture_that_is_no_name_is_rejected(workspace, value):
    set_param(workspace, "classifiers.surname_gru.architecture", value)

    with pytest.raises(InputError, match=r"surname_gru.architecture: (string|input) should"):
        check_files()


COMMAND = "$(touch ran)"


def rename(section, old):
    """Give an entry of params.yaml a name that a shell runs."""

    def edit(params):
        params[section][COMMAND] = params[section].pop(old)

    return lambda folder: edit_params(folder, edit)


def set_value(path):
    return lambda folder: set_param(folder, path, f"{COMMAND}")


def observe(path):
    """Add a series from a file."""

    def edit(params):
        params["observed_series"]["mine"] = FILE | {"path": path}

    return lambda folder: edit_params(folder, edit)


def name_series_of_search(folder):
    sections = parse_yaml((folder / "searches/params.yaml").read_text("utf-8"))
    sections["search_forecasters"]["series"] = COMMAND
    (folder / "searches/params.yaml").write_text(format_yaml(sections), "utf-8")


NAMED = [
    pytest.param(
        rename("forecasters", "carried_rnn"), "params.yaml: forecasters.", id="forecaster"
    ),
    pytest.param(
        rename("classifiers", "surname_gru"), "params.yaml: classifiers.", id="classifier"
    ),
    pytest.param(rename("generated_series", "period_40"), "generated_series.", id="series"),
    pytest.param(
        set_value("forecasters.carried_rnn.series"), "carried_rnn.series", id="series_of_model"
    ),
    pytest.param(
        set_value("classifiers.surname_gru.architecture"), "architecture", id="architecture"
    ),
    pytest.param(observe(COMMAND), "observed_series.mine.path: must be", id="path"),
    pytest.param(
        name_series_of_search, "searches/params.yaml: search_forecasters.series", id="search"
    ),
]


@pytest.mark.parametrize(("edit", "where"), NAMED)
def test_a_name_that_a_shell_would_run_is_rejected_before_dvc_starts(workspace, edit, where):
    edit(workspace)

    assert_one_line(repro(workspace), where, f"got '{COMMAND}'")
    assert not (workspace / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("edit", "where"), NAMED)
def test_under_plain_dvc_the_first_stage_rejects_it_before_another_runs(workspace, edit, where):
    edit(workspace)

    done = call(workspace, "dvc", "repro")

    assert done.returncode == 255
    assert list_started(done.stdout) == {"follow_imports"}
    assert where in done.stdout and f"got '{COMMAND}'" in done.stdout
    assert not (workspace / "ran").exists()


@pytest.mark.parametrize(
    "path",
    [
        "data/series/my level.csv",
        "data/../level.csv",
        "/data/level.csv",
        "data/a;b.csv",
        "series/level.csv",
        "data/.csv/",
        "data",
    ],
)
def test_an_unsafe_path_is_rejected_in_one_line(workspace, path):
    observe(path)(workspace)

    with pytest.raises(
        InputError, match=r"^params\.yaml: observed_series\.mine\.path: must be "
    ) as e:
        check_names()

    assert "\n" not in str(e.value) and f"got {path!r}" in str(e.value)


@pytest.mark.parametrize("path", ["data/level.csv", "data/series/2024/Level-2_b.v1.csv"])
def test_a_path_below_data_is_taken(workspace, path):
    observe(path)(workspace)

    check_names()


def test_the_architectures_in_git_are_known(workspace):
    check_files()
