import pickle
from functools import partial

import pytest

from benchmarks.data import read_names
from benchmarks.spread import (
    Extent,
    Job,
    choose_extent,
    list_classifier_jobs,
    list_forecaster_jobs,
    measure_sines,
    measure_surnames,
    run_jobs,
)
from benchmarks.surname_spread import Source
from stages.shared.params import read_value

FULL = choose_extent(quick=False)


def test_all_entries_are_tried_by_five_seeds_on_three_splits():
    of_surnames = [job.label for job in list_classifier_jobs(FULL, Source({}, "custom"))]
    of_sines = [job.label for job in list_forecaster_jobs(FULL)]

    assert FULL.classifiers == list(read_value("classifiers"))
    assert len([label for label in of_surnames if "seeds +" in label]) == 5 * 3
    assert len([label for label in of_surnames if "baselines" in label]) == 3
    trained = {label.partition(":")[0] for label in of_sines if "seed +" in label}
    untried = read_value("forecasters").keys() - trained
    assert {read_value(f"forecasters.{name}.series") for name in untried} == {
        "sunspots",
        "shop_sales",
    }
    assert len([label for label in of_sines if "seed +" in label]) == 5 * len(trained)
    assert "mackey_glass: baselines, draw 2" in of_sines


def test_the_last_updates_are_scored_every_5000():
    updates = read_value("classifiers.surname_rnn.iterations")

    assert len(FULL.updates) == 8
    assert FULL.updates[-1] == updates
    assert FULL.updates[0] == updates - 35_000


def test_every_job_can_be_sent_to_another_process():
    jobs = list_classifier_jobs(FULL, Source({}, "custom")) + list_forecaster_jobs(FULL)

    assert len(pickle.loads(pickle.dumps(jobs))) == len(jobs)


@pytest.mark.slow
def test_both_tasks_become_tables_of_baselines_and_entries():
    extent = Extent(1, 2, ["surname_markov"], ["carried_rnn"], [20, 30], 1)

    surnames = measure_surnames(extent, Source(*read_names(None)))
    sines = measure_sines(extent)

    classifiers, forecasters = read_rows(surnames), read_rows(sines)
    assert classifiers["*tfidf_svc*"][-2:] == ["–", "–"]
    assert classifiers["`surname_markov`"][0] == "2"
    assert all(" tfidf_svc: " in cell for cell in classifiers["`surname_markov`"][-2:])
    assert forecasters["*ridge*"][-2:] == ["–", "–"]
    assert forecasters["`carried_rnn`"][0] == "2"
    assert all(cell.endswith(": behind") for cell in forecasters["`carried_rnn`"][-2:])
    assert "every 10 of its last 20 updates (of\n30)" in surnames


def read_rows(page):
    """The cells of each line of a table, by the first of them."""
    rows = {}
    for line in page.splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.split("|")[1:-1]]
            rows[cells[0]] = cells[1:]
    return rows


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_workers(capfd):
    jobs = [Job(f"job {number}", partial(divmod, 30, number)) for number in (7, 4, 9)]

    alone, side_by_side = run_jobs(jobs, 1), run_jobs(jobs, 2)

    assert alone == side_by_side == [(4, 2), (7, 2), (3, 3)]
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 6
    assert lines[0].endswith("1 of 3: job 7")


def test_what_a_job_prints_is_kept_from_the_page(capfd):
    run_jobs([Job("loud", partial(print, "noise"))], 1)

    captured = capfd.readouterr()
    assert captured.out == ""
    assert "noise" not in captured.err


def test_an_error_of_a_job_is_raised_and_ends_the_others(capfd):
    jobs = [Job("bad", partial(divmod, 1, 0)), Job("good", partial(divmod, 1, 1))]

    with pytest.raises(ZeroDivisionError):
        run_jobs(jobs, 1)

    assert "good" not in capfd.readouterr().err
