"""Each stage runs again only when what it reads has changed: edit X -> exactly these stages."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from tests.pipeline import KEPT, copy_template, edit_params, list_started, replace_text
from tests.workspace import run, set_param

pytestmark = pytest.mark.slow


def change_nothing(clone: Path) -> None:
    pass


def change_color(clone: Path) -> None:
    set_param(clone, "plot_sine.loss_color", "green")


def change_rate(clone: Path) -> None:
    set_param(clone, "sine.carried_rnn.rate", 0.02)


def change_metric(clone: Path) -> None:
    replace_text(clone / "stages/sine/evaluate.py", "errors = (", "errors = 2 * (")


def change_encoding(clone: Path) -> None:
    replace_text(clone / "stages/surnames/alphabet.py", " .,;'", " .,;'-")


def change_architecture(clone: Path) -> None:
    path = clone / "stages/models/window_forecaster.py"
    replace_text(path, "nn.Linear(hidden, 1)", "nn.Linear(hidden, 1, bias=False)")


def change_comment(clone: Path) -> None:
    with (clone / "stages/sine/train.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")


def change_tool(clone: Path) -> None:
    replace_text(clone / "pyproject.toml", "ruff>=", "ruff>0,>=")


def add_model(clone: Path) -> None:
    edit_params(clone, lambda p: p["sine"].update(extra_rnn=p["sine"]["carried_rnn"] | {"seed": 1}))


def add_series(clone: Path) -> None:
    for section in ("generate_sine", "preprocess_sine"):
        edit_params(clone, lambda p, s=section: p[s].update(extra=p[s]["integer_starts"]))


# Where training runs again, its times are new, and `track` reads them.
RERUNS = {
    change_nothing: "",
    change_color: "plot_sine@* track",
    change_rate: "*_sine@carried_rnn track",
    change_metric: "evaluate_sine@* plot_sine@* track",
    change_encoding: "preprocess_surnames *_surnames@* blend_surnames *_blend track",
    change_architecture: "*_sine@windowed_lstm_fast track",
    change_comment: "train_sine@* track",  # same bytes: scores and figures stay
    change_tool: "",
    add_model: "*_sine@extra_rnn track",
    add_series: "generate_sine preprocess_sine",
}


@pytest.mark.parametrize(("edit", "stages"), RERUNS.items(), ids=[edit.__name__ for edit in RERUNS])
def test_an_edit_reruns_exactly_the_stages_that_read_it(edit, stages, tmp_path):
    clone = copy_template(tmp_path / "clone")
    edit(clone)

    started = list_started(run(clone, "dvc repro"))

    every = yaml.safe_load((clone / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    expected = {s for s in every if any(fnmatchcase(s, pattern) for pattern in stages.split())}
    assert started == expected


def test_a_library_upgrade_trains_everything_again(tmp_path):
    clone = copy_template(tmp_path / "clone")
    replace_text(clone / "pyproject.toml", "tqdm>=4.67", "tqdm>=4.66")

    started = list_started(run(clone, "dvc repro --dry"))

    trained = {f"train_{task}@{model}" for task, models in KEPT.items() for model in models}
    assert started == trained | {"probe_layers"}
