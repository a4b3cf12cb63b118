"""What a search writes hangs on its params, its data and the code: on nothing else."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from stages.forecasting.train import FORECASTER
from stages.searching import search, workers
from stages.searching.outcome import read_best, read_losses, read_trials
from stages.searching.spaces import read_search
from stages.searching.trials import Result
from stages.shared.errors import InputError
from stages.shared.params import read_value
from stages.shared.yaml_files import parse_yaml
from stages.surnames.train import ClassifierParams
from tests.searching.search_folder import (
    OUT,
    change_search,
    forget_trials,
    list_kept,
    make_search_folder,
    search_forecasts,
    search_names,
    search_sunspots,
    spoil_test_names,
    spoil_test_runs,
    spoil_test_years,
    write_yaml,
)
from tests.shell import PROJECT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; trials run one after another in this process."""
    folder = make_search_folder(tmp_path / "folder")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SEARCH_JOBS", "1")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return folder


def count_trials(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trials each search runs from now on."""
    counts = []

    def run_in_workers(calls, device):
        counts.append(len(calls))
        return workers.run_in_workers(calls, device)

    monkeypatch.setattr(search, "run_in_workers", run_in_workers)
    return counts


def test_trials_are_listed_by_recipe_and_seed_with_what_was_drawn_and_scored(folder):
    search_names()

    rows = read_trials(OUT)
    assert [(row["recipe"], row["seed"]) for row in rows] == [
        *[("0", "0"), ("0", "1"), ("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")]
    ]
    base = str(read_value("classifiers.surname_gru.rate"))
    assert [row["rate"] for row in rows[:2]] == [base, base]
    assert len({row["rate"] for row in rows}) == 3
    assert all(0 < float(row["validation/macro_f1"]) < 1 for row in rows)
    assert {row["failure"] for row in rows} == {""}


def test_the_best_recipe_has_the_best_mean_over_its_seeds(folder):
    search_names()

    means = {}
    for row in read_trials(OUT):
        scores = means.setdefault(int(row["recipe"]), [])
        scores.append(float(row["validation/macro_f1"]))
    means = {recipe: sum(scores) / 2 for recipe, scores in means.items()}
    best = read_best(OUT)
    assert best.value == max(means.values()) == means[best.recipe]
    assert best.value_of_base == means[0]
    assert best.data == "sample"


def test_each_row_has_the_scores_of_its_own_recipe(folder):
    params = read_search("search_classifiers")
    scores = ["macro_f1"]
    task = search.Task(
        "search_classifiers",
        "classifiers",
        ClassifierParams,
        scores,
        "sample",
        lambda params: Result({"macro_f1": params.rate + params.seed}),
    )

    search.search(task, params, [], OUT)

    rows = read_trials(OUT)
    assert len({row["validation/macro_f1"] for row in rows}) == 6
    for row in rows:
        assert float(row["validation/macro_f1"]) == float(row["rate"]) + int(row["seed"])


def test_of_an_error_the_smallest_is_best(folder):
    search_forecasts()

    errors = [float(row["validation/mse_500"]) for row in read_trials(OUT)]
    assert len(set(errors)) == 3
    assert read_best(OUT).value == min(errors)


def test_the_best_entry_is_the_base_with_what_was_drawn(folder):
    search_names()

    best = parse_yaml((OUT / "best.yaml").read_text(encoding="utf-8"))
    base = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))["classifiers"]
    entry = base["surname_gru"]
    entry["rate"] = best["changes"].get("rate", entry["rate"])
    entry["network"]["dropout"] = best["changes"].get(
        "network.dropout", entry["network"]["dropout"]
    )
    del entry["seed"]
    assert best["entry"] == entry


def test_two_searches_of_one_section_each_have_their_own_base(folder):
    search_forecasts()
    first = read_best(OUT)

    search_sunspots()

    second = read_best(OUT)
    assert (first.section, first.base) == ("forecasters", "windowed_lstm_fast")
    assert (second.section, second.base) == ("forecasters", "sunspots_echo_state")


def test_of_a_series_from_a_file_the_smallest_mase_is_best(folder):
    search_sunspots()

    rows = read_trials(OUT)
    errors = [float(row["validation/mase_11"]) for row in rows]
    assert len(set(errors)) == 4
    assert read_best(OUT).value == min(errors)
    assert all(0 < float(row["validation/one_step_mase"]) < 10 for row in rows)


@pytest.mark.parametrize(
    ("run", "spoil"),
    [
        pytest.param(search_names, spoil_test_names, id="surnames"),
        pytest.param(search_forecasts, spoil_test_runs, id="forecasting"),
        pytest.param(search_sunspots, spoil_test_years, id="sunspots"),
    ],
)
def test_the_test_split_decides_nothing(folder, run, spoil: Callable[[], None], monkeypatch):
    counts = count_trials(monkeypatch)
    before = run()
    spoil()

    after = run()

    assert counts[0] == counts[1] > 0  # the file is another: all was trained again
    assert after == before


def test_a_second_search_trains_nothing_and_gives_the_same_bytes(folder, monkeypatch):
    before = search_names()
    counts = count_trials(monkeypatch)

    after = search_names()

    assert counts == [0]
    assert after == before


def test_more_recipes_and_seeds_train_only_those(folder, monkeypatch):
    change_search("search_classifiers", recipes=1, seeds=[0])
    search_names()
    counts = count_trials(monkeypatch)
    change_search("search_classifiers", recipes=2, seeds=[0, 1])

    after = search_names()

    forget_trials()
    assert counts == [6 - 2]
    assert search_names() == after


@pytest.mark.parametrize("change", ["data", "dependencies", "base"])
def test_another_input_trains_everything_again(folder, change, monkeypatch):
    search_names()
    counts = count_trials(monkeypatch)
    if change == "data":
        vocabulary = Path("data/preprocessed/surnames/vocabulary.json")
        vocabulary.write_text(vocabulary.read_text("utf-8") + "\n", "utf-8")
    elif change == "dependencies":
        project = Path("pyproject.toml").read_text(encoding="utf-8")
        Path("pyproject.toml").write_text(project.replace("torch==", "torch>="), "utf-8")
    else:
        params = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))
        params["classifiers"]["surname_gru"]["balance"] = 0.3
        write_yaml(Path("params.yaml"), params)

    search_names()

    assert counts == [6]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text[:100], id="cut"),
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: text.replace("0.", "1.", 1), id="another_number"),
        pytest.param(lambda text: "no json\n", id="no_json"),
    ],
)
def test_a_damaged_trial_is_trained_again(folder, damage, monkeypatch):
    before = search_names()
    trial = list_kept()[0]
    whole = trial.read_text(encoding="utf-8")
    trial.write_text(damage(whole), encoding="utf-8")
    counts = count_trials(monkeypatch)

    after = search_names()

    assert counts == [1]
    assert after == before
    assert trial.read_text(encoding="utf-8") == whole


def test_a_diverging_trial_is_a_row_without_scores(folder):
    change_search("search_classifiers", space={"rate": {"choices": [1e30]}}, recipes=1)

    search_names()

    good, _, failed, _ = read_trials(OUT)
    assert good["validation/macro_f1"] and not good["failure"]
    assert failed["validation/macro_f1"] == ""
    assert "surname_gru: the loss became nan at iteration 2" in failed["failure"]
    assert read_best(OUT).recipe == 0
    assert {recipe for recipe, _ in read_losses(OUT)} == {"0"}


def test_a_search_whose_trials_all_fail_reports_the_reason(folder):
    params = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))
    params["classifiers"]["surname_gru"]["rate"] = 1e30
    write_yaml(Path("params.yaml"), params)
    change_search("search_classifiers", space={"rate": {"choices": [1e30]}}, recipes=1)

    with pytest.raises(InputError, match=r"no recipe could be trained .*: surname_gru: the loss"):
        search_names()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"architecture": "elman_classifier"},
            "is elman_classifier, .* has pooled_classifier",
        ),
        ({"score": "f1"}, "score: choose one of accuracy, balanced_accuracy, macro_f1, nll"),
        ({"space": {"ratte": {"choices": [1]}}}, "surname_gru.ratte is not a known key"),
        ({"space": {"rate": {"choices": [-1.0]}}}, "rate: input should be greater than 0"),
    ],
)
def test_an_invalid_search_is_rejected_before_anything_runs(folder, changes, reason):
    change_search("search_classifiers", **changes)

    with pytest.raises(InputError, match=reason):
        search_names()

    assert list_kept() == []


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_an_invalid_number_of_workers_is_rejected(folder, jobs, monkeypatch):
    monkeypatch.setenv("SEARCH_JOBS", jobs)

    with pytest.raises(InputError, match=r"SEARCH_JOBS is .*: give a number above 0"):
        search_names()


def test_two_workers_give_the_bytes_of_one(folder, monkeypatch):
    alone = search_names()
    forget_trials()
    monkeypatch.setenv("SEARCH_JOBS", "2")

    together = search_names()

    assert together == alone


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_calls_end_in_any_order_and_keep_their_numbers(jobs, monkeypatch):
    monkeypatch.setenv("SEARCH_JOBS", jobs)
    calls = [partial(pow, 2, number) for number in range(5)]

    results = dict(workers.run_in_workers(calls, "cpu"))

    assert results == {0: 1, 1: 2, 2: 4, 3: 8, 4: 16}


@pytest.mark.parametrize("section", parse_yaml((PROJECT / "searches/params.yaml").read_text()))
def test_every_recipe_of_the_searches_of_this_repository_can_be_trained(section, monkeypatch):
    monkeypatch.chdir(PROJECT)
    params = read_search(section)
    entries, schema = (
        ("forecasters", FORECASTER) if params.series else ("classifiers", ClassifierParams)
    )
    task = search.Task(section, entries, schema, [params.score], "", lambda params: Result())

    trials = search.list_trials(task, params)

    assert len(trials) == (1 + params.recipes) * len(params.seeds)
