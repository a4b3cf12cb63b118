"""A search is a run, each of its trials one below it, made from its files as everything else."""

import shutil

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from stages.shared.errors import InputError
from stages.shared.params import read_value
from stages.tracking.mlflow_sync import runs
from stages.tracking.mlflow_sync.store import PARENT_TAG, Store, find_uri
from stages.tracking.pages import _format_view
from stages.tracking.run_specs import list_run_specs
from tests.searched import COLUMNS, NAME, OUT, TRIALS, add_search
from tests.shell import PROJECT
from tests.store import (
    assert_complete,
    check,
    fill,
    find_run,
    list_files,
    list_names,
    list_runs,
    sync,
)
from tests.tracking.test_views import decode, read_tags
from tests.workspace import RUNS, copy_workspace, work_in


@pytest.fixture
def searched(workspace):
    """The working folder, with one search and no store."""
    add_search(workspace)
    return workspace


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """The working folder, with one search and a store that holds it; to be read only."""
    folder = copy_workspace(tmp_path_factory.mktemp("searched") / "workspace")
    with pytest.MonkeyPatch.context() as patch:
        work_in(folder, patch)
        add_search(folder)
        fill(folder)
        yield folder


def list_searched() -> dict[str, Run]:
    """The run of the search and those of its trials, by name; no name comes twice."""
    found = [run for run in list_runs() if run.info.run_name in [NAME, *TRIALS]]
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def test_each_trial_is_a_run_below_that_of_its_search(tracked):
    found = list_searched()
    assert sorted(found) == [NAME, *TRIALS]
    parents = {name: run.data.tags.get(PARENT_TAG) for name, run in found.items()}
    assert parents == dict.fromkeys(TRIALS, found[NAME].info.run_id) | {NAME: None}
    assert list_names() == sorted([*RUNS, NAME, *TRIALS])


def test_a_trial_shows_what_was_drawn_its_score_on_validation_and_its_curve(tracked):
    trial = list_searched()[TRIALS[0]]
    assert trial.data.params == {
        "recipe": "0",
        "seed": "0",
        "rate": "0.012",
        "network.hidden": "96",
    }
    assert trial.data.metrics == {"validation/macro_f1": 0.4123, "rank": 2, "loss": 1.25}
    history = MlflowClient(find_uri()).get_metric_history(trial.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(2, 1.5), (4, 1.25)]


def test_a_failed_trial_has_the_reason_and_no_score(tracked):
    trial = list_searched()[TRIALS[2]]
    assert trial.info.status == "FAILED"
    assert trial.data.tags["failure"] == "the loss became nan"
    assert trial.data.metrics == {}


def test_a_search_shows_its_best_recipe_and_its_params(tracked):
    run = find_run(NAME)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"best/validation/macro_f1": 0.52}
    assert run.data.params["space.network.hidden.choices"] == "[64, 128]"
    base = str(read_value("classifiers.surname_gru.rate"))
    assert run.data.params["classifiers.surname_gru.rate"] == base
    assert (
        "Recipe 1 is best: macro_f1 0.52 (the base: 0.4123)."
        in run.data.tags["mlflow.note.content"]
    )


def test_a_second_sync_writes_nothing(searched):
    fill(searched)
    before = list_files(searched)

    sync()

    assert list_files(searched) == before


@pytest.mark.slow
def test_another_result_is_another_search_and_the_first_one_stays(searched):
    fill(searched)
    add_search(searched, value=0.6)

    sync()
    sync()

    names = list_names()
    assert names.count(NAME) == 2
    assert [names.count(trial) for trial in TRIALS] == [2, 2, 2]
    parents = [run.data.tags.get(PARENT_TAG) for run in list_runs()]
    assert parents.count(find_run(NAME).info.run_id) == 3


def test_check_reports_a_search_that_is_not_tracked(workspace):
    fill(workspace)
    add_search(workspace)

    with pytest.raises(InputError, match=f"{NAME}: no run"):
        check()
    sync()

    check()


def test_a_lost_trial_is_made_again(searched):
    fill(searched)
    store = Store(find_uri())
    store.client.delete_run(list_searched()[TRIALS[1]].info.run_id)

    with pytest.raises(InputError, match=f"{NAME}: 2 trials instead of 3"):
        check()
    sync()

    assert sorted(list_searched()) == [NAME, *TRIALS]
    check()


def test_trials_of_a_search_that_somebody_deleted_go_too(searched):
    fill(searched)
    store = Store(find_uri())
    store.client.delete_run(find_run(NAME).info.run_id)

    with pytest.raises(InputError, match="trial without a search"):
        check()
    sync()

    assert sorted(list_searched()) == [NAME, *TRIALS]
    check()


@pytest.mark.slow
def test_an_unfinished_search_is_dropped_with_its_trials(searched, monkeypatch):
    def stop(*arguments: object) -> None:
        write_children(*arguments)
        raise KeyboardInterrupt

    write_children = runs.write_children
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(runs, "write_children", stop)
        sync()

    sync()

    assert sorted(list_searched()) == [NAME, *TRIALS]


def test_a_search_without_local_results_is_skipped(searched):
    shutil.rmtree(searched / OUT)

    sync()

    assert_complete()


def test_a_search_that_differs_from_its_lock_is_not_tracked(searched):
    (searched / OUT / "trials.csv").write_text(",".join(COLUMNS), encoding="utf-8")

    with pytest.raises(InputError, match=f"{NAME}: {OUT}/trials.csv differs from dvc.lock"):
        sync()

    assert list_searched() == {}


def test_the_view_draws_parallel_coordinates_of_each_search_and_shows_all_trials(tracked):
    state = decode(read_tags("searches")["mlflow.sharedViewState.best"])

    [chart] = [chart for chart in state["compareRunCharts"] if chart["type"] == "PARALLEL"]
    assert chart["selectedParams"] == ["rate", "network.hidden"]
    assert chart["selectedMetrics"] == ["validation/macro_f1"]
    assert state["orderByKey"] == "metrics.`rank`"  # by the date trials would be folded away
    assert "metrics.`validation/macro_f1`" in state["selectedColumns"]


def test_a_score_of_several_searches_is_one_column_of_the_view(monkeypatch):
    monkeypatch.chdir(PROJECT)  # it has two searches by mase_11, and three by mse_500
    searches = [spec for spec in list_run_specs() if spec.kind == "search"]

    state = decode(_format_view("searches", searches))

    charts = [chart for chart in state["compareRunCharts"] if chart["type"] == "PARALLEL"]
    metrics = [chart["selectedMetrics"][0] for chart in charts]
    assert len(metrics) == len(searches) > len(set(metrics))
    columns = state["selectedColumns"]
    assert columns.count("metrics.`validation/mase_11`") == 1
    assert len(columns) == len(set(columns))


@pytest.mark.slow
def test_a_lock_of_the_searches_cut_anywhere_is_read_or_rejected(searched):
    path = searched / "searches/dvc.lock"
    text = path.read_text(encoding="utf-8")
    num_rejected = 0

    for end in range(0, len(text), 53):
        path.write_text(text[:end], encoding="utf-8")
        try:
            for spec in list_run_specs():
                assert spec.key and spec.display_digest
        except InputError as error:
            assert str(error).startswith("searches/dvc.lock is damaged")
            num_rejected += 1

    assert num_rejected > 5
