"""`track --check` says what a sync would do, and writes nothing; what is stale: see test_sync."""

import pytest

from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.tracking.mlflow_sync.store import Store, find_uri
from stages.tracking.mlflow_sync.sync import group_differences
from tests.store import check, fill, find_run, list_files, sync
from tests.workspace import take_results


def test_a_missing_store_lacks_every_run_and_is_not_made(workspace):
    with pytest.raises(InputError, match="carried_rnn: no run"):
        check()

    assert not (workspace / "mlflow.db").exists()


def test_on_a_terminal_runs_that_differ_alike_are_one_line_within_100_columns():
    missing = [f"ridge (series_{number})" for number in range(71)]

    *others, line = group_differences(
        ["carried_rnn: 2 runs", "layer_tour: 2 runs", *(f"{name}: no run" for name in missing)]
    )

    assert others == ["carried_rnn: 2 runs", "layer_tour: 2 runs"]
    assert line.startswith("no run: ridge (series_0), ridge (series_1), ")
    assert line.endswith(" … (71 runs)")
    assert 80 < len(line) <= 98  # it is indented


def test_the_names_that_differ_are_there_beside_a_long_difference():
    difference = f"data/{'long/' * 30}scores.json differs from dvc.lock: run `dvc checkout`"

    [line] = group_differences([f"run_{number}: {difference}" for number in range(4)])

    assert line == f"{difference}: run_0, run_1, run_2, run_3"


@pytest.mark.parametrize("name", ["surname_blend", "layer_tour"])
def test_a_store_that_lacks_a_run_stays_as_it_is(workspace, name):
    fill(workspace)
    Store(find_uri()).drop_run(find_run(name))
    before = list_files(workspace)

    with pytest.raises(InputError, match=f"{name}: no run"):
        check()

    assert list_files(workspace) == before


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("train_forecaster@carried_rnn", "data/trained/carried_rnn/weights.pt"),
        ("evaluate_forecaster@carried_rnn", "data/evaluated/details/forecasting/carried_rnn"),
        ("preprocess_series@integer_starts", "data/preprocessed/series/integer_starts.npz"),
    ],
)
def test_a_model_of_which_only_some_stages_have_run_again_is_half_way(workspace, stage, path):
    fill(workspace)
    target = workspace / path
    target = target if target.is_file() else target / "scores.json"
    target.write_bytes(target.read_bytes() + b"\n")
    take_results(workspace, stage)  # as `dvc repro STAGE` alone leaves it

    with pytest.raises(InputError) as error:
        check()

    [line] = [line for line in str(error.value).splitlines() if " carried_rnn:" in line]
    assert f"half-way: {stage} has written {path}" in line
    assert "run `dvc repro`" in line and "delete" not in line
    before = find_run("carried_rnn").info.run_id
    with pytest.raises(InputError, match="half-way"):
        sync()
    assert find_run("carried_rnn").info.run_id == before  # nothing new beside old figures


def test_a_baseline_that_diverged_has_a_run_with_a_note(workspace):
    path = workspace / "data/evaluated/details/forecasting/baselines/integer_starts/scores.json"
    scores = read_json(path)
    del scores["ar2"]
    write_json(path, scores)
    readers = [f"{verb}_forecaster@carried_rnn" for verb in ("evaluate", "plot")]
    take_results(workspace, "score_series_baselines@integer_starts", *readers)

    fill(workspace)

    run = find_run("ar2 (integer_starts)")
    assert "left out: its forecasts diverge" in run.data.tags["mlflow.note.content"]
