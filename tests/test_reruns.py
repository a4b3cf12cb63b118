"""Each stage runs again only when what it reads has changed: edit X -> exactly these stages."""

from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from stages.shared.yaml_files import parse_yaml
from tests.pipeline import (
    KEPT,
    SERIES,
    copy_template,
    edit_params,
    list_started,
    list_tracked,
    replace_text,
    set_param,
)
from tests.shell import PROJECT, run
from tests.workspace import METHODS

pytestmark = pytest.mark.slow


def change_nothing(clone: Path) -> None:
    pass


def change_dpi(clone: Path) -> None:
    set_param(clone, "figures.dpi", 31)


def change_rate(clone: Path) -> None:
    set_param(clone, "forecasters.carried_rnn.rate", 0.02)


def change_walkthrough_test(clone: Path) -> None:
    set_param(clone, "evaluate_forecasters.walkthrough_tests.integer_starts", "continuation")


def change_metric(clone: Path) -> None:
    replace_text(
        clone / "stages/forecasting/assessment.py",
        'measured[f"one_step_{kind}"] = errors',
        'measured[f"one_step_{kind}"] = 2 * errors',
    )


def change_encoding(clone: Path) -> None:
    replace_text(clone / "stages/surnames/alphabet.py", " .,;'", " .,;'-")


def change_architecture(clone: Path) -> None:
    path = clone / "stages/models/window_forecaster.py"
    replace_text(path, "nn.Linear(hidden, 1)", "nn.Linear(hidden, 1, bias=False)")


def change_comment(clone: Path) -> None:
    with (clone / "stages/forecasting/train.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")


def change_command(clone: Path) -> None:
    with (clone / "stages/cli/ui.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")


def change_tool(clone: Path) -> None:
    replace_text(clone / "pyproject.toml", "ruff>=", "ruff>0,>=")


def change_library_of_pictures(clone: Path) -> None:
    replace_text(clone / "pyproject.toml", "matplotlib>=3.10", "matplotlib>=3.9")


def change_library_of_networks(clone: Path) -> None:
    replace_text(clone / "pyproject.toml", "torch==2.13.0", "torch == 2.13.0")


def add_model(clone: Path) -> None:
    def edit(params: dict[str, Any]) -> None:
        models = params["forecasters"]
        models["extra_rnn"] = models["carried_rnn"] | {"seed": 1}

    edit_params(clone, edit)


def add_series(clone: Path) -> None:
    def edit(params: dict[str, Any]) -> None:
        series = params["generated_series"]
        series["extra"] = series["integer_starts"]

    edit_params(clone, edit)


def change_cell(clone: Path) -> None:
    replace_text(clone / "data/series/sunspots.csv", "1800,14.5\n", "1800,15.5\n")


def change_series(clone: Path) -> None:
    set_param(clone, "generated_series.integer_starts.noise", 0.01)


def change_queries(clone: Path) -> None:
    set_param(clone, "evaluate_classifiers.queries", ["Yue Tingsong"])


def change_season(clone: Path) -> None:
    set_param(clone, "observed_series.sunspots.season", 10)


def add_observed(clone: Path) -> None:
    """Have a series from a file, and a model of it, run already."""
    official = parse_yaml((PROJECT / "params.yaml").read_text(encoding="utf-8"))

    def edit(params: dict[str, Any]) -> None:
        for section, name in (("observed_series", "sunspots"), ("forecasters", "sunspots_rnn")):
            params[section][name] = official[section][name]
        params["forecasters"]["sunspots_rnn"]["iterations"] = 4
        params["observed_series"]["sunspots"]["transform"] = "none"  # auto tries the season

    edit_params(clone, edit)
    run(clone, "dvc repro")


def add_panel(clone: Path) -> None:
    """Have many series in one file, and a network of them, run already."""
    official = parse_yaml((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    rows = [f"{name},{month},{10 + month % 3}" for name in "abc" for month in range(30)]
    path = clone / "data/series/panel.csv"
    path.write_text("\n".join(["unique_id,ds,y", *rows]) + "\n", encoding="utf-8")

    def edit(params: dict[str, Any]) -> None:
        entry = official["observed_series"]["shop_sales"]
        sizes = {"path": "data/series/panel.csv", "season": 3, "horizon": 4}
        params["observed_series"]["panel"] = entry | sizes
        params["forecasters"]["panel_gru"] = official["forecasters"]["shop_sales_gru"] | {
            "series": "panel",
            "network": {"cell": "gru", "hidden": 4},
            "iterations": 4,
            "log_every": 2,
        }

    edit_params(clone, edit)
    run(clone, "dvc repro")


def change_row(clone: Path) -> None:
    replace_text(clone / "data/series/panel.csv", "b,20,12\n", "b,20,13\n")


BEFORE = {change_cell: add_observed, change_season: add_observed, change_row: add_panel}


def list_baselines(*series: str) -> list[str]:
    """Names of the runs of all baselines of series, and of the best one as a model."""
    runs = [f"{name}_baseline" for name in series]
    for name in series:
        methods = METHODS
        if name == "sunspots":
            methods = [*set(METHODS) - {"sinusoid"}, "ets", "theta", "combination"]
        if name == "panel":
            methods = ["copy_period", "naive2", "theta", "ets", "combination"]
        runs += [f"{method} ({name})" for method in methods]
    return runs


# Edit -> the stages that run again, and what gets another run in MLflow. Where training runs
# again, its times are new, and `track` reads them. The first stage checks the names in params.
RERUNS = {
    change_nothing: ("", []),
    change_dpi: (
        "follow_imports plot_forecaster@* plot_classifier@* plot_blend probe_layers track",
        [],
    ),
    change_rate: ("follow_imports *_forecaster@carried_rnn track", ["carried_rnn"]),
    change_walkthrough_test: (
        "follow_imports score_series_baselines@* evaluate_forecaster@* "
        "plot_forecaster@carried_rnn track",
        ["carried_rnn", *list_baselines("integer_starts")],
    ),
    change_metric: (
        "follow_imports score_series_baselines@* evaluate_forecaster@* plot_forecaster@* track",
        ["carried_rnn", "windowed_lstm_fast", *list_baselines(*SERIES)],
    ),
    change_encoding: (
        "follow_imports preprocess_surnames *_classifier@* score_surname_baselines "
        "blend_classifiers *_blend track",
        [*KEPT["classifiers"], "surname_blend", "majority", "tfidf_svc"],
    ),
    change_architecture: (
        "follow_imports *_forecaster@windowed_lstm_fast track",
        ["windowed_lstm_fast"],
    ),
    # same bytes: scores and figures stay
    change_comment: ("follow_imports train_forecaster@* track", []),
    change_command: ("follow_imports", []),
    change_tool: ("", []),
    change_library_of_pictures: ("follow_imports plot_* probe_layers", []),
    change_library_of_networks: (  # a transform is chosen by an autoregression
        "follow_imports preprocess_series@* train_* blend_classifiers score_* evaluate_* "
        "plot_forecaster@* probe_layers track",
        [],
    ),
    add_model: ("follow_imports *_forecaster@extra_rnn track", ["extra_rnn"]),
    add_series: (
        "follow_imports generate_series@extra preprocess_series@extra score_series_baselines@extra "
        "track",
        list_baselines("extra"),
    ),
    change_queries: (  # the support vector machines are fitted for a minute
        "follow_imports evaluate_classifier@* evaluate_blend track",
        [],  # queries are only shown
    ),
    change_cell: (
        "preprocess_observed@sunspots score_observed_baselines@sunspots *_forecaster@sunspots_rnn "
        "track",
        ["sunspots_rnn", *list_baselines("sunspots")],
    ),
    change_row: (
        "preprocess_observed@panel score_observed_baselines@panel *_forecaster@panel_gru track",
        ["panel_gru", *list_baselines("panel")],
    ),
    change_series: (
        "follow_imports *_series@integer_starts score_series_baselines@integer_starts "
        "*_forecaster@carried_rnn track",
        ["carried_rnn", *list_baselines("integer_starts")],
    ),
    change_season: (
        "follow_imports preprocess_observed@sunspots score_observed_baselines@sunspots "
        "evaluate_forecaster@sunspots_rnn plot_forecaster@sunspots_rnn track",
        # the network is divided by another baseline, the last season
        ["sunspots_rnn", *list_baselines("sunspots")],
    ),
}


@pytest.mark.parametrize("edit", RERUNS, ids=lambda edit: edit.__name__)
def test_an_edit_reruns_exactly_the_stages_that_read_it(edit, tmp_path):
    stages, runs = RERUNS[edit]
    clone = copy_template(tmp_path / "clone")
    BEFORE.get(edit, change_nothing)(clone)
    before = list_tracked(clone)
    edit(clone)

    started = list_started(run(clone, "dvc repro"))

    every = parse_yaml((clone / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    expected = {s for s in every if any(fnmatchcase(s, pattern) for pattern in stages.split())}
    assert started == expected
    made = Counter(list_tracked(clone)) - Counter(before)
    assert made == Counter({(name, None): 1 for name in runs})
