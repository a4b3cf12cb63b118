import json

import numpy as np
import pytest

from benchmarks import pipeline, scaling, surnames, updates
from benchmarks.__main__ import render_page
from benchmarks.clock import ROOT, Turns, Usage
from benchmarks.data import Bench, divide_names, find_surnames, read_names
from benchmarks.table import Row, judge
from stages.forecasting.series import read_series
from stages.shared.dvc_pipeline import resolve_stages
from stages.shared.params import read_value
from stages.shared.yaml_files import read_yaml
from stages.surnames.alphabet import clean_name
from stages.surnames.names import decode_names
from tests.shell import call


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("bench")
    return Bench(find_surnames(None, scratch / "made"), scratch, quick=True)


def test_the_surname_program_and_our_entry_make_the_same_updates(bench):
    program = updates.make_surname_program(bench)

    assert program.ours(30) == pytest.approx([np.mean(program.literal(30))], rel=1e-5)


@pytest.mark.parametrize("name", updates.SINE)
def test_a_sine_program_and_our_entry_make_the_same_updates(bench, name):
    program = updates.make_sine_program(name, bench)

    np.testing.assert_allclose(program.ours(20), program.literal(20), rtol=1e-5)


def test_the_time_of_a_blend_is_that_of_its_members():
    member = Turns(ours=[10.0, 12.0], reference=[100.0, 100.0])

    blend = surnames.add_turns([member, member])

    assert blend.ours == [20.0, 24.0]
    assert blend.shares == pytest.approx([0.2, 0.24])


def test_blend_members_are_those_of_the_pipeline_and_have_goals():
    members = surnames.list_members()

    assert "surname_ngrams" in members
    assert len(members) > 1
    assert set(members) <= surnames.GOALS.keys()


def test_multiplied_names_stay_distinct_after_the_clean_up():
    names, _ = read_names(None)

    for raw in names.values():
        group = set(map(clean_name, raw))
        multiplied = scaling.multiply_names(raw, 100)

        assert len(set(map(clean_name, multiplied))) == 100 * len(group)
        assert multiplied[: len(raw)] == raw


def test_names_divided_in_memory_are_those_of_the_pipeline(bench):
    seed = read_value("preprocess_surnames.seed")

    division = divide_names(*read_names(None), seed)

    assert division.vocabulary == bench.vocabulary
    for split in ("train", "validation", "test"):
        ours, theirs = getattr(division.splits, split), getattr(bench.splits, split)
        np.testing.assert_array_equal(ours.letters, theirs.letters)
        np.testing.assert_array_equal(ours.lengths, theirs.lengths)
        np.testing.assert_array_equal(ours.languages, theirs.languages)


def test_a_name_has_the_same_row_in_every_division():
    divisions = [divide_names(*read_names(None), seed) for seed in (0, 1)]

    seen = []
    for division in divisions:
        test = division.splits.test
        texts = decode_names(test, division.vocabulary.symbols)
        seen.append(dict(zip(division.test_rows.tolist(), texts, strict=True)))
    both = seen[0].keys() & seen[1].keys()
    assert 0 < len(both) < len(seen[0])
    assert all(seen[0][row] == seen[1][row] for row in both)


def test_a_hidden_test_stays_hidden_in_a_division(tmp_path, monkeypatch):
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    names = read_names(None)
    (tmp_path / "params.yaml").write_text(params.replace("split: test ", "split: validation "))
    open_to_all = divide_names(*names, seed=0)
    monkeypatch.chdir(tmp_path)

    hidden = divide_names(*names, seed=0)

    shown = hidden.splits.test
    np.testing.assert_array_equal(shown.letters, open_to_all.splits.validation.letters)
    assert len(hidden.test_rows) == len(shown.lengths)
    assert not set(hidden.test_rows) & set(open_to_all.test_rows)


def test_growth_is_judged_at_the_last_step():
    usages = {
        1000: Usage(1.0, 1.0, 50),
        10_000: Usage(2.0, 2.0, 60),
        100_000: Usage(30.0, 30.0, 100),
    }

    row = scaling.tabulate_growth("preprocess_series", usages, "points")

    assert "growth of time by growth of data 1.5 misses 1.1" in judge(row.goals)


@pytest.mark.slow
def test_series_run_through_all_stages(bench):
    usages = scaling.run_series(200, bench)

    assert list(usages) == [
        "generate_series",
        "preprocess_series",
        "train_forecaster",
        "score_series_baselines",
        "evaluate_forecasters",
    ]
    assert all(usage.seconds > 0 < usage.mebibytes for usage in usages.values())
    folder = bench.scratch / "points-200"
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert metrics["walkthrough_mse"] > 0
    assert (
        len(read_series(folder / "windows/long.npz").windows.inputs) == 200 - 40 - 40
    )  # test, window


def test_a_copy_of_the_workspace_has_no_results(bench):
    folder = pipeline.copy_workspace(bench.make_folder("copy"))

    assert (folder / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    in_git = {"sample", "searched", "series"}
    assert {path.name for path in (folder / "data").iterdir()} <= {"raw", *in_git}


def test_the_command_of_parallel_runs_is_srn_repro():
    done = call(ROOT, *pipeline.SIDE_BY_SIDE, "--help")

    assert done.returncode == 0
    assert done.stdout.startswith("usage: srn repro")


def test_the_published_five_end_with_stages_of_dvc_yaml():
    stages = resolve_stages(read_yaml(ROOT / "dvc.yaml"), read_yaml(ROOT / "params.yaml"))

    assert {*pipeline.WALKTHROUGHS} <= stages.keys()


@pytest.mark.slow
def test_the_empty_project_has_nothing_to_do_after_its_first_run(bench):
    folder = pipeline.make_empty_project(bench.make_folder("empty"), 3)

    first = pipeline.run_pipeline(pipeline.REPRO, folder, bench)
    row = pipeline.measure_idle("`dvc repro`", pipeline.REPRO, folder, folder, 9.0, bench)

    assert first.seconds > 0
    assert pipeline.count_stages(folder) == 3
    assert 0.1 < row.goals[0].value < 9  # it is compared with itself


def test_the_page_names_the_data_and_the_machine(bench):
    page = render_page(bench, {"First": [Row("step", "2 s")]})

    assert f"Surnames: {bench.vocabulary.data} data (" in page
    assert "PyTorch" in page
