"""What makes a run another run: results, params and data, and nothing else."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from stages.shared.yaml_files import format_yaml, parse_yaml
from stages.tracking import run_specs
from stages.tracking.mlflow_sync.dvc_files import Stage, compute_md5
from stages.tracking.mlflow_sync.runs import Content, RunSpec
from stages.tracking.run_specs import TOUR, list_models, list_tour, read_models
from tests.pipeline import edit_params
from tests.store import check, find_run, read_artifacts, sync
from tests.workspace import MODELS

TRAIN = Stage(
    "train_forecaster@m",
    "python stages/run.py launch forecasting.train",
    {"data/windows.npz": "1", "stages/forecasting/train.py": "2"},
    {"data/trained/m/weights.pt": "3", "data/trained/m/curves.csv": "4"},
    {
        "params.yaml": {"forecasters.m": {"network": {"hidden": 3}}},
        "pyproject.toml": {"torch": "2"},
    },
)
SCORES = {
    "data/evaluated/forecasting/m.json": "5",
    "data/evaluated/details/forecasting/m/scores.json": "7",
}
EVALUATE = Stage("evaluate_forecaster@m", "", {}, SCORES, {})
PLOT = Stage("plot_forecaster@m", "", {}, {"data/plotted/m/details": "6"}, {})


def make_model(**changes: dict[str, Any]) -> RunSpec:
    stages = {"train": TRAIN, "evaluate": EVALUATE, "plot": PLOT}
    for role, change in changes.items():
        stages[role] = dataclasses.replace(stages[role], **change)
    [model] = list_models({stage.name: stage for stage in stages.values()})
    return model


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"deps": {"data/windows.npz": "other", "stages/forecasting/train.py": "2"}}},
        {"train": {"outs": {"data/trained/m/weights.pt": "9", "data/trained/m/curves.csv": "4"}}},
        {"train": {"outs": {"data/trained/m/weights.pt": "3", "data/trained/m/curves.csv": "9"}}},
        {"train": {"params": {"params.yaml": {"forecasters.m": {"network": {"hidden": 4}}}}}},
        {"evaluate": {"outs": SCORES | {"data/evaluated/forecasting/m.json": "9"}}},
        {"evaluate": {"outs": SCORES | {"data/evaluated/details/forecasting/m/scores.json": "9"}}},
    ],
)
def test_data_params_weights_curves_and_scores_make_the_key(changes):
    assert make_model(**changes).key != make_model().key


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"deps": {"data/windows.npz": "1", "stages/forecasting/train.py": "9"}}},
        {"train": {"cmd": "python stages/run.py launch forecasting.train --verbose"}},
        {"evaluate": {"deps": {"stages/forecasting/evaluate.py": "9"}}},
        {"plot": {"outs": {"data/plotted/m/details": "9"}}},
    ],
)
def test_code_commands_and_figures_do_not(changes):
    assert make_model(**changes).key == make_model().key


PROBE = Stage(
    "probe_layers",
    "python stages/run.py layers.probe",
    {"stages/layers/probe.py": "1"},
    {
        f"{TOUR}/layers.csv": "2",
        f"{TOUR}/equivalences.csv": "3",
        f"{TOUR}/gradients.csv": "4",
        f"{TOUR}/gradients.png": "5",
    },
    {"params.yaml": {"probe_layers": {"hidden": 3}, "figures": {"dpi": 30}}},
)


def make_tour(**changes: dict[str, Any]) -> RunSpec:
    [tour] = list_tour({"probe_layers": dataclasses.replace(PROBE, **changes)})
    return tour


@pytest.mark.parametrize("table", ["layers", "equivalences", "gradients"])
def test_each_table_of_the_tour_is_part_of_its_key(table):
    outs = PROBE.outs | {f"{TOUR}/{table}.csv": "9"}

    assert make_tour(outs=outs).key != make_tour().key


def test_the_params_of_the_tour_are_part_of_its_key():
    params = {"params.yaml": {"probe_layers": {"hidden": 4}, "figures": {"dpi": 30}}}

    assert make_tour(params=params).key != make_tour().key


@pytest.mark.parametrize(
    "changes",
    [
        {"deps": {"stages/layers/probe.py": "9"}},
        {"outs": PROBE.outs | {f"{TOUR}/gradients.png": "9"}},
        {"params": {"params.yaml": {"probe_layers": {"hidden": 3}, "figures": {"dpi": 31}}}},
    ],
)
def test_code_and_the_figure_of_the_tour_are_not(changes):
    assert make_tour(**changes).key == make_tour().key


SHOWN = {
    "evaluate": ("data/evaluated/details/forecasting/m/queries.csv", "tables"),
    "plot": ("data/plotted/m/details", "figures"),
    "train": ("data/trained/m/progress.txt", ""),
}


@pytest.mark.parametrize("role", SHOWN)
def test_figures_tables_and_progress_are_shown_and_make_no_key(role):
    path, folder = SHOWN[role]
    outs = make_model().stages[role].outs
    model, other = (make_model(**{role: {"outs": outs | {path: md5}}}) for md5 in ("7", "8"))

    assert model.shown[path] == folder
    assert model.display_digest != other.display_digest
    assert model.key == other.key


def test_what_is_neither_figure_nor_table_is_not_shown():
    assert make_model().shown == {"data/plotted/m/details": "figures"}


def test_models_that_left_params_are_ignored(workspace: Path):
    edit_params(workspace, lambda params: params["forecasters"].pop("windowed_lstm_fast"))

    assert [model.name for model in read_models()] == MODELS[:-1]


def test_a_third_task_is_one_more_function(workspace, monkeypatch):
    """A stage that counts words has a run as soon as a function describes it."""
    counts, tables = Path("data/counted/words.json"), Path("data/counted/words.csv")
    counts.parent.mkdir()
    counts.write_text('{"words": 7}', encoding="utf-8")
    tables.write_text("word,count\na,7\n", encoding="utf-8")
    for name, section in (
        ("dvc.yaml", {"count_words": {"cmd": "true", "outs": [str(counts), str(tables)]}}),
        (
            "dvc.lock",
            {
                "count_words": {
                    "cmd": "true",
                    "params": {"params.yaml": {"count_words": {"least": 2}}},
                    "outs": [
                        {"path": str(path), "md5": compute_md5(path)} for path in (counts, tables)
                    ],
                }
            },
        ),
    ):
        content = parse_yaml(Path(name).read_text(encoding="utf-8"))
        content["stages"] |= section
        Path(name).write_text(format_yaml(content), encoding="utf-8")

    def read_counts() -> Content:
        now = run_specs.datetime.now(run_specs.UTC)
        return Content(now, now, [], {"words": 7.0}, {"data": "a book"}, "How often?")

    def list_counts(stages: dict[str, Stage]) -> list[RunSpec]:
        roles = {"count": stages["count_words"]}
        return [
            RunSpec(
                name="word_counts",
                experiment="words",
                kind="own",
                description="Counts words.",
                stages=roles,
                params={"least": "2"},
                results=[str(counts)],
                data={},
                shown={str(tables): "tables"},
                read=read_counts,
            )
        ]

    monkeypatch.setattr(run_specs, "LIST_FUNCTIONS", [*run_specs.LIST_FUNCTIONS, list_counts])

    sync()

    run = find_run("word_counts")
    assert (run.info.status, run.data.metrics, run.data.params) == (
        "FINISHED",
        {"words": 7.0},
        {"least": "2"},
    )
    assert read_artifacts(workspace, run).keys() == {"tables/words.csv", "lineage.json"}
    check()
