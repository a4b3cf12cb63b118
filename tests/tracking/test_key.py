"""What makes a run another run: results, params and data, and nothing else."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from stages.tracking.lockfile import Model, Stage, read_models

TRAIN = Stage(
    "train_sine@m",
    "python -m stages.sine.train",
    {"data/windows.npz": "1", "stages/sine/train.py": "2"},
    {"data/trained/m/weights.pt": "3", "data/trained/m/curves.csv": "4"},
    {"params.yaml": {"sine.m": {"network": {"hidden": 3}}}, "pyproject.toml": {"torch": "2"}},
)
EVALUATE = Stage("evaluate_sine@m", "", {}, {"data/evaluated/m/metrics.json": "5"}, {})
PLOT = Stage("plot_sine@m", "", {}, {"data/plotted/m": "6"}, {})


def make_model(**changes: dict[str, Any]) -> Model:
    stages = {"train": TRAIN, "evaluate": EVALUATE, "plot": PLOT}
    for role, change in changes.items():
        stages[role] = dataclasses.replace(stages[role], **change)
    return Model("m", **stages)


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"deps": {"data/windows.npz": "other", "stages/sine/train.py": "2"}}},
        {"train": {"outs": {"data/trained/m/weights.pt": "9", "data/trained/m/curves.csv": "4"}}},
        {"train": {"outs": {"data/trained/m/weights.pt": "3", "data/trained/m/curves.csv": "9"}}},
        {"train": {"params": {"params.yaml": {"sine.m": {"network": {"hidden": 4}}}}}},
        {"evaluate": {"outs": {"data/evaluated/m/metrics.json": "9"}}},
    ],
)
def test_data_params_weights_curves_and_scores_make_the_key(changes):
    assert make_model(**changes).key != make_model().key


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"deps": {"data/windows.npz": "1", "stages/sine/train.py": "9"}}},
        {"train": {"cmd": "python -m stages.sine.train --verbose"}},
        {"evaluate": {"deps": {"stages/sine/evaluate.py": "9"}}},
        {"plot": {"outs": {"data/plotted/m": "9"}}},
    ],
)
def test_code_commands_and_figures_do_not(changes):
    assert make_model(**changes).key == make_model().key


def test_models_that_left_params_are_ignored(workspace: Path):
    params = (workspace / "params.yaml").read_text(encoding="utf-8")
    before, _, after = params.partition("  windowed_lstm_fast:")
    rest = after[after.index("surnames:") :]
    (workspace / "params.yaml").write_text(before + rest, encoding="utf-8")

    assert [model.name for model in read_models()] == [
        "carried_rnn",
        "surname_blend",
        "surname_gru",
        "surname_ngrams",
    ]
