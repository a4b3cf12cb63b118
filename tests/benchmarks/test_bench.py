import json
import sys

import numpy as np
import pytest
import torch

from benchmarks import __main__ as bench_main
from benchmarks import pipeline, scaling, sine, surnames, updates
from benchmarks.clock import ROOT, Usage, alternate, run_measured
from benchmarks.data import Bench, find_surnames, read_names
from benchmarks.table import (
    Row,
    at_least,
    at_most,
    judge,
    render_table,
    say_ratio,
    say_seconds,
)
from benchmarks.trial import Trial
from stages.shared.errors import InputError
from stages.surnames.preprocess import clean_lines


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("bench")
    return Bench(find_surnames(None, scratch / "made"), scratch, quick=True)


def test_a_ratio_is_the_median_with_the_extremes():
    assert say_ratio([3.0, 1.0, 2.0], "×") == "2× [1–3]"
    assert say_ratio([0.25], " S3") == "0.25 S3"
    assert say_ratio([], "×") == "–"


@pytest.mark.parametrize(
    ("seconds", "text"), [(125.0, "125 s"), (0.0123, "12.3 ms"), (58e-6, "58 µs")]
)
def test_seconds_have_a_readable_unit(seconds, text):
    assert say_seconds(seconds) == text


def test_a_missed_goal_says_by_how_much():
    goals = [at_least("accuracy", 0.78, 0.80), at_most("share of S3", 0.3, 0.32)]

    assert judge(goals) == "accuracy 0.78 misses 0.8 by 2.5%"
    assert judge(goals[1:]) == "met"
    assert judge([]) == "–"


def test_an_error_far_off_is_missed_by_a_factor():
    assert judge([at_most("mse", 5e-3, 1e-3)]) == "mse 0.005 misses 0.001 by a factor of 5"


def test_all_sections_make_one_table():
    row = Row("step", "2 s", "4 s", [2.0], goals=[at_least("ratio", 2.0, 1.5)])

    lines = render_table({"First": [row], "Second": [row]}).splitlines()

    assert lines[2].startswith("| **First** |")
    assert lines[3] == "| step | 2 s | 4 s | 2× | – | ratio ≥ 1.5 | met |"
    assert len({line.count("|") for line in lines}) == 1


def test_two_calls_alternate_and_stop_when_the_budget_is_spent():
    calls = []

    pairs = alternate(lambda: calls.append("a"), lambda: calls.append("b"), repeats=3)
    once = alternate(lambda: None, lambda: None, repeats=3, budget=0.0)

    assert "".join(calls) == "ababab"
    assert (len(pairs), len(once)) == (3, 1)


def test_a_command_is_measured_without_the_memory_of_this_process(tmp_path):
    ballast = np.ones(50_000_000)  # 400 MB

    usage = run_measured([sys.executable, "-c", "pass"], tmp_path)

    assert 0 < usage.mebibytes < 100 < ballast.nbytes / 2**20


def test_a_failed_command_shows_its_output(tmp_path):
    with pytest.raises(InputError, match="it broke"):
        run_measured([sys.executable, "-c", "raise SystemExit('it broke')"], tmp_path)


def test_multiplied_names_stay_distinct_after_the_clean_up():
    names, _ = read_names(None)
    every = [clean_lines(content.decode().split("\n")) for content in names.values()]

    for group in every:
        multiplied = scaling.multiply_names(group, 100)

        assert len(clean_lines(multiplied)) == 100 * len(group)
        assert multiplied[: len(group)] == group


def test_growth_is_judged_at_the_last_step():
    usages = [Usage(1.0, 1.0, 50), Usage(2.0, 2.0, 60), Usage(30.0, 30.0, 100)]

    row = scaling.tabulate("preprocess_sine", usages, [1000, 10_000, 100_000], "points")

    assert "growth of time by growth of data 1.5 misses 1.1" in judge(row.goals)


def test_a_blend_costs_what_its_members_cost():
    models = [torch.nn.Identity(), torch.nn.Identity()]
    members = [Trial(model, [(10.0, 100.0), (12.0, 100.0)]) for model in models]

    blend = surnames.blend_trials(members, [0.5, 0.5])

    assert blend.shares == pytest.approx([0.2, 0.24])
    assert blend.seconds == 22


def test_blend_members_are_those_of_the_pipeline():
    weights, members = surnames.read_blend()

    assert len(weights) == len(members) > 1
    assert "surname_ngrams" in members


def test_s3_makes_the_updates_of_its_literal_program(bench):
    program = updates.make_surname_program(bench)

    assert program.ours(30) == pytest.approx([np.mean(program.literal(30))], rel=1e-5)


@pytest.mark.parametrize("name", ["carried_rnn", "lagged_rnn", "windowed_lstm", "small_init_rnn"])
def test_sine_programs_make_the_updates_of_their_literal_programs(bench, name):
    program = updates.make_sine_program("S", getattr(updates, name), bench)

    np.testing.assert_allclose(program.ours(20), program.literal(20), rtol=1e-5)


def test_the_fast_lstm_is_timed_until_its_error_is_low_enough():
    windows = sine.make_windows("period_40")

    assert sine.time_until(10.0, windows)[1] == 1
    (_, few), (_, more) = (sine.time_until(bound, windows) for bound in (0.5, 0.1))
    assert few < more


def test_series_run_through_all_stages(bench):
    usages = scaling.run_series(200, bench)

    assert list(usages) == ["generate_sine", "preprocess_sine", "train_sine", "evaluate_sine"]
    assert (bench.scratch / "points-200/evaluated/metrics.json").exists()
    assert all(usage.seconds > 0 < usage.mebibytes for usage in usages.values())


def test_a_copy_of_the_workspace_has_no_results(bench):
    folder = pipeline.copy_workspace(bench.make_folder("copy"))

    assert (folder / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert {path.name for path in (folder / "data").iterdir()} <= {"sample", "raw"}


def test_the_page_names_the_data_and_the_machine(bench):
    page = bench_main.render_page(bench, {"First": [Row("step", "2 s")]})

    data = json.loads((bench.surnames / "vocabulary.json").read_text())["data"]
    assert f"Surnames: {data} data (" in page
    assert "PyTorch" in page
