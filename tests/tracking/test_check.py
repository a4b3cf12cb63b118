"""`track --check` says what a sync would do, and writes nothing; what is stale: see test_sync."""

import pytest

from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.tracking.mlflow_sync.store import Store, find_uri
from tests.store import check, fill, find_run, list_files, sync
from tests.workspace import take_results


def test_a_missing_store_lacks_every_run_and_is_not_made(workspace):
    with pytest.raises(InputError, match="carried_rnn: no run"):
        check()

    assert not (workspace / "mlflow.db").exists()


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
def test_what_only_some_stages_of_a_model_have_run_on_is_half_way(workspace, stage, path):
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


def test_a_baseline_that_diverged_has_a_run_that_says_so(workspace):
    path = workspace / "data/evaluated/details/forecasting/baselines/integer_starts/scores.json"
    scores = read_json(path)
    del scores["ar2"]
    write_json(path, scores)
    readers = [f"{verb}_forecaster@carried_rnn" for verb in ("evaluate", "plot")]
    take_results(workspace, "score_series_baselines@integer_starts", *readers)

    fill(workspace)

    run = find_run("ar2 (integer_starts)")
    assert "left out: its forecasts diverge" in run.data.tags["mlflow.note.content"]
