from functools import partial

import pytest

from benchmarks.workers import Job, run_jobs


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
