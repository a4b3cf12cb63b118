"""What a run shows of its model: times, curves, scores, data, stages, params and a note."""

import json

from mlflow import MlflowClient

from stages.shared.json_files import read_json, write_json
from stages.shared.yaml_files import parse_yaml
from stages.tracking.mlflow_sync.dvc_files import compute_md5
from stages.tracking.mlflow_sync.store import find_uri
from stages.tracking.run_specs import DESCRIPTIONS
from tests.pipeline import read_params
from tests.shell import PROJECT
from tests.store import find_run, find_spec, list_runs, read_artifacts

STARTED = 1767225600000  # of every training in the workspace, 2026-01-01 UTC, in milliseconds
ENDED = STARTED + 100_000


def test_curves_keep_steps_and_times_of_the_real_training(tracked):
    run = find_run("carried_rnn")
    history = MlflowClient(find_uri()).get_metric_history(run.info.run_id, "curves/loss")
    sparse = MlflowClient(find_uri()).get_metric_history(run.info.run_id, "curves/mean_loss")

    assert (run.info.start_time, run.info.end_time) == (STARTED, ENDED)
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5), (3, 0.3333), (4, 0.25)]
    assert [m.timestamp - STARTED for m in history] == [25_000, 50_000, 75_000, 100_000]
    assert [m.step for m in sparse] == [2, 4]


def test_scores_belong_to_the_run_and_to_its_model_at_step_0(tracked):
    run = find_run("carried_rnn")
    client = MlflowClient(find_uri())

    [output] = client.get_run(run.info.run_id).outputs.model_outputs
    metrics = client.get_logged_model(output.model_id).metrics

    assert {m.key: m.value for m in metrics} == {
        "details/horizon_short": 500,
        "details/horizon_long": 500,
        "test/mse_long": 0.2,
        "test/ratio_to_baseline": 0.2222,  # 0.2 where the baselines have 0.9
        "test/log10_ratio_to_baseline": -0.653,
        "validation/mse_long": 0.2,
        "validation/ratio_to_baseline": 0.2222,
        "validation/log10_ratio_to_baseline": -0.653,
    }
    assert {m.step for m in metrics} == {0}
    curves = {"curves/loss", "curves/mean_loss", "curves/gradient_norm"}
    assert set(run.data.metrics) == {m.key for m in metrics} | curves


def test_a_run_names_stages_dependencies_data_and_scores_with_their_md5(tracked):
    model = find_spec("carried_rnn")

    run = find_run("carried_rnn")

    lineage = json.loads(read_artifacts(tracked, run)["lineage.json"])
    assert run.data.tags["stage"] == lineage["train"]["name"] == "train_forecaster@carried_rnn"
    assert lineage["evaluate"]["name"] == "evaluate_forecaster@carried_rnn"
    assert lineage["train"]["deps"] == model.first_stage.deps
    assert lineage["train"]["outs"] == model.first_stage.outs
    assert "stages/models/sequence_forecaster.py" in model.first_stage.deps
    named = {given.dataset.name: given.dataset.digest for given in run.inputs.dataset_inputs}
    scores = "data/evaluated/details/forecasting/carried_rnn/scores.json"
    series = "data/preprocessed/series/integer_starts"
    data = [f"{series}.npz", f"{series}.json", scores]
    assert named == {path: compute_md5(tracked / path) for path in data}


def test_params_are_flat_and_named_alike_across_models(tracked):
    params = {run.info.run_name: run.data.params for run in list_runs()}

    assert params["carried_rnn"]["network.hidden"] == "4"
    assert params["windowed_lstm_fast"]["network.window"] == "40"
    alike = params["carried_rnn"].keys() & params["windowed_lstm_fast"].keys()
    assert {"network.cell", "network.hidden", "iterations", "rate", "seed"} <= alike


def test_a_run_shows_figures_tables_and_what_training_printed(tracked):
    shown = {run.info.run_name: read_artifacts(tracked, run) for run in list_runs()}

    figures = {f"figures/{name}.png" for name in ("forecast", "baselines", "loss")}
    others = {"progress.txt", "lineage.json", "tables/errors.csv"}
    assert shown["carried_rnn"].keys() == figures | others
    tables = {f"tables/{name}.csv" for name in ("queries", "confusion", "languages", "predictions")}
    figures = {f"figures/{name}.png" for name in ("confusion", "languages", "loss")}
    assert shown["surname_blend"].keys() == tables | figures | {"lineage.json"}
    assert shown["surname_gru"].keys() == tables | figures | {"progress.txt", "lineage.json"}
    table = (tracked / "data/evaluated/details/surnames/surname_gru/queries.csv").read_text(
        encoding="utf-8"
    )
    assert shown["surname_gru"]["tables/queries.csv"] == table
    assert shown["carried_rnn"]["progress.txt"] == "iteration 4, loss 0.25\n"


def test_the_tour_has_its_tables_figure_and_params(tracked):
    run = find_run("layer_tour")

    tables = {f"tables/{name}.csv" for name in ("layers", "equivalences", "gradients")}
    figures = {f"figures/{name}.png" for name in ("gradients", "unrolled")}
    assert read_artifacts(tracked, run).keys() == tables | figures | {"lineage.json"}
    assert run.data.params.keys() == read_params(tracked)["probe_layers"].keys()
    assert run.data.params["radii"] == "[0.5, 1.0, 1.5]"
    assert run.data.tags["stage"] == "probe_layers"
    experiment = MlflowClient(find_uri()).get_experiment(run.info.experiment_id)
    assert experiment.name == "layers"


def test_the_gradients_of_the_tour_are_curves_over_the_distance(tracked):
    run = find_run("layer_tour")

    name = "zero_input/spectral_radius_0.5"
    norms = MlflowClient(find_uri()).get_metric_history(run.info.run_id, name)

    assert [(norm.step, norm.value) for norm in norms] == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert run.data.metrics["zero_input/spectral_radius_1.5"] == 3.375
    assert run.data.metrics["largest_difference"] == 6.5e-07


def test_the_tour_has_its_description_and_what_is_left_of_the_gradient(tracked):
    note = find_run("layer_tour").data.tags["mlflow.note.content"]

    assert "Shapes of the inputs and outputs of each recurrent layer" in note
    assert "differ by 6.5e-07 at most" in note
    assert "| zero input | spectral radius 1.5 | 3 | 3.4 |" in note


def test_the_note_of_the_tour_begins_with_the_shapes(tracked):
    _, titles, _, first, *_ = find_run("layer_tour").data.tags["mlflow.note.content"].splitlines()

    assert titles == "| module | input | output | final state | weights | parameters |"
    weights = "weight_ih (20, 100); weight_hh (20, 20)"
    shapes = "(10, 3, 100) | (10, 3, 20) | h (1, 3, 20)"
    assert first == f"| RNN(100, 20) | {shapes} | {weights} | 2440 |"


def test_a_walk_throughs_own_score_comes_first(workspace):
    path = workspace / "data/evaluated/details/forecasting/carried_rnn/scores.json"
    write_json(path, {"walkthrough_mse": 0.0371} | read_json(path))

    note = find_spec("carried_rnn").read().note

    lines = note.splitlines()
    assert lines[0] == "The walk-through ends with a mean squared error of 0.0371."
    assert lines[4] == "| walkthrough_mse | 0.0371 |  |"


def test_a_note_has_the_network_and_the_answers_as_the_walk_through_prints_them(workspace):
    progress = "model:\nRNN(\n  (u): Linear(57, 128)\n)\nIter: 5000\n"
    (workspace / "data/trained/surname_gru/progress.txt").write_text(progress, encoding="utf-8")

    note = find_spec("surname_gru").read().note

    printed = note.partition("```\n")[2].splitlines()
    assert printed[:4] == ["model:", "RNN(", "  (u): Linear(57, 128)", ")"]
    assert printed[4:8] == ["", "> Yue Tingsong", "(-1.31) German", "(-4.00) Spanish"]
    assert printed[-1] == "```" and "Iter: 5000" not in printed


def test_only_the_ratio_of_the_chart_is_logged_twice(tracked):
    for run in list_runs():
        twice = {name for name in run.data.metrics if "log10" in name}
        assert twice <= {"test/log10_ratio_to_baseline", "validation/log10_ratio_to_baseline"}
        for name, value in run.data.metrics.items():
            assert value == float(f"{value:.4g}"), name


def test_every_model_and_the_tour_are_described_in_one_sentence():
    params = read_params(PROJECT)

    names = {*params["forecasters"], *params["classifiers"], "surname_blend", "layer_tour"}
    baselines = params["forecasting_baselines"]
    names |= {*baselines["names"], *baselines["observed_names"]}
    names |= {*baselines["periodic_names"], *baselines["panel_names"]}
    names |= {*params["surname_baselines"]["names"], "best baseline", "combination"}
    described = parse_yaml((PROJECT / DESCRIPTIONS).read_text(encoding="utf-8"))
    texts = {name: text for named in described.values() for name, text in named.items()}
    assert texts.keys() == names
    assert all(text.endswith(".") and ". " not in text for text in texts.values())
    assert len(set(texts.values())) == len(names) == sum(map(len, described.values()))


def test_a_run_has_a_description_and_a_comparison_with_the_baselines(tracked):
    tags = find_run("carried_rnn").data.tags

    _, titles, _, scores, *rest = tags["mlflow.note.content"].splitlines()
    assert (
        titles == "| test score [95 % interval] | carried_rnn | predict_zero, the best baseline |"
    )
    assert scores == "| mse_500 | 0.2 [0.15, 0.25] | 0.9 [0.85, 0.95] |"
    assert "100 random segments" in "".join(rest) and "- data: integer_starts" in rest
    assert (tags["data"], tags["model"]) == ("integer_starts", "carried_rnn")


def test_a_handful_of_short_tags_stays(tracked):
    for run in list_runs():
        tags = dict(run.data.tags)
        note = tags.pop("mlflow.note.content")
        assert f"**{run.info.run_name}**" in note
        assert len(tags) <= 17 and max(len(text) for text in tags.values()) < 200


def test_walk_throughs_own_models_and_baselines_have_different_kinds(tracked):
    kinds = {run.info.run_name: run.data.tags["kind"] for run in list_runs()}

    assert kinds["carried_rnn"] == "walk-through"
    assert kinds["surname_gru"] == "own"
    assert kinds["hold_last (integer_starts)"] == kinds["majority"] == "baseline"
    assert kinds["layer_tour"] == "tour"


def test_a_baseline_is_a_run_with_its_scores_and_neither_model_nor_files(tracked):
    run = find_run("hold_last (integer_starts)")

    assert run.data.metrics["test/mse_long"] == 0.9
    assert run.data.tags["data"] == "integer_starts"
    assert run.data.params["baseline"] == "hold_last"
    assert not run.outputs or not run.outputs.model_outputs
    assert not MlflowClient(find_uri()).list_artifacts(run.info.run_id)
