"""What a run shows of its model: times, curves, scores, data, stages, params and a note."""

import json

from mlflow import MlflowClient

from stages.tracking.checksums import compute_md5
from stages.tracking.location import find_uri
from tests.store import find_model, find_run, list_runs

STARTED = 1767225600000  # of every training in the workspace, 2026-01-01 UTC, in milliseconds
ENDED = STARTED + 100_000


def test_curves_keep_steps_and_times_of_the_real_training(tracked):
    run = find_run("carried_rnn")
    history = MlflowClient(find_uri()).get_metric_history(run.info.run_id, "loss")
    sparse = MlflowClient(find_uri()).get_metric_history(run.info.run_id, "mean_loss")

    assert (run.info.start_time, run.info.end_time) == (STARTED, ENDED)
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert [m.timestamp - STARTED for m in history] == [25_000, 50_000, 75_000, 100_000]
    assert [m.step for m in sparse] == [2, 4]


def test_scores_belong_to_the_run_and_to_its_model_at_step_0(tracked):
    run = find_run("carried_rnn")
    client = MlflowClient(find_uri())

    [output] = client.get_run(run.info.run_id).outputs.model_outputs
    metrics = client.get_logged_model(output.model_id).metrics

    assert {m.key: m.value for m in metrics} == {
        "free_run_mse_500": 0.2,
        "validation/free_run_mse_500": 0.2,
        "baselines/hold_last/free_run_mse_500": 0.9,
    }
    assert {m.step for m in metrics} == {0}
    curves = {"loss", "mean_loss", "gradient_norm"}
    assert set(run.data.metrics) == {m.key for m in metrics} | curves


def test_a_run_names_stages_dependencies_and_data_with_their_md5(tracked):
    model = find_model("carried_rnn")

    run = find_run("carried_rnn")

    tags = run.data.tags
    assert tags["dvc.train.stage"] == "train_sine@carried_rnn"
    assert tags["dvc.evaluate.stage"] == "evaluate_sine@carried_rnn"
    assert json.loads(tags["dvc.train.deps"]) == model.train.deps
    assert json.loads(tags["dvc.train.outs"]) == model.train.outs
    assert "stages/models/sequence_forecaster.py" in model.train.deps
    [dataset] = [given.dataset for given in run.inputs.dataset_inputs]
    assert dataset.name == "data/preprocessed/sine/integer_starts.npz"
    assert dataset.digest == compute_md5(tracked / dataset.name)


def test_params_are_flat_and_named_alike_across_models(tracked):
    params = {run.info.run_name: run.data.params for run in list_runs()}

    assert params["carried_rnn"]["network.hidden"] == "4"
    assert params["windowed_lstm_fast"]["network.window"] == "40"
    alike = params["carried_rnn"].keys() & params["windowed_lstm_fast"].keys()
    assert {"network.cell", "network.hidden", "iterations", "rate", "seed"} <= alike


def test_a_run_tells_what_it_is_and_how_it_compares(tracked):
    tags = find_run("carried_rnn").data.tags

    note = tags["mlflow.note.content"]
    assert "carried_rnn" in note and "recurrent layer" in note
    assert "data: integer_starts" in note
    assert "| free_run_mse_500 | 0.2 | 0.9 |" in note
    assert tags["data"] == "integer_starts"
