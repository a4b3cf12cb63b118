"""The best model on validation becomes the champion, a file in git that MLflow follows."""

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from stages.cli import promote
from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.tracking.leaderboards import CHAMPIONS, read_champions, read_leaderboard, write_champion
from stages.tracking.load_model import load_champion
from stages.tracking.mlflow_sync.dvc_files import compute_md5
from stages.tracking.mlflow_sync.runs import write_run
from stages.tracking.mlflow_sync.store import Store, find_uri
from stages.tracking.mlflow_sync.sync import begin
from stages.tracking.run_specs import read_models
from stages.tracking.served_models.loader import Forecaster
from tests.shell import call_srn, find_server, run
from tests.store import check, fill, find_champion, find_run, find_spec, list_names, sync
from tests.workspace import RUNS, nest_errors, rescore, retrain, take_results


def find_name(leaderboard):
    return read_champions()[leaderboard].model


def test_the_model_best_on_validation_becomes_the_champion(workspace, capsys):
    promote.main("surnames", force=False)
    promote.main("integer_starts", force=False)

    assert find_name("surnames") == "surname_blend"  # the highest macro F1
    assert find_name("integer_starts") == "carried_rnn"  # the lowest error
    said = capsys.readouterr().out.splitlines()
    assert max(map(len, said)) <= 100
    rows = [line.split() for line in said]
    # validation, test with its interval
    best = rows.index(["surname_blend", "official", "0.6", "0.59", "[0.54,", "0.64]"])
    assert rows.index(["surname_gru", "official", "0.5", "0.49", "[0.44,", "0.54]"]) == best + 1
    assert not (workspace / "mlflow.db").exists()


def test_an_entry_names_the_files_by_md5_the_scores_and_the_reason(workspace):
    promote.main("surnames", force=False)

    champion = read_champions()["surnames"]
    assert champion.scores == {"validation/macro_f1": 0.6, "macro_f1": 0.59}
    others = "runner-up surname_gru (0.5), best network surname_blend (0.6)"
    assert champion.reason == f"best of 4 by validation/macro_f1 (0.6), {others}."
    assert champion.data == "official"
    assert "data/trained/surname_blend/weights.pt" in champion.files
    assert "data/preprocessed/surnames/names.npz" in champion.data_files
    for path, md5 in (champion.files | champion.data_files).items():
        assert compute_md5(Path(path)) == md5


def test_a_baseline_that_is_better_than_all_networks_becomes_the_champion(workspace, capsys):
    path = workspace / "data/evaluated/details/forecasting/integer_starts_baseline/scores.json"
    write_json(path, read_json(path) | nest_errors(0.02, 0.01, ratio=1.0))
    readers = [f"{verb}_forecaster@carried_rnn" for verb in ("evaluate", "plot")]
    take_results(workspace, "score_series_baselines@integer_starts", *readers)

    promote.main("integer_starts", force=False)

    champion = read_champions()["integer_starts"]
    assert champion.model == "integer_starts_baseline"
    others = "runner-up carried_rnn (0.2), best network carried_rnn (0.2)"
    assert champion.reason == f"best of 3 by validation/mse_500 (0.01), {others}."
    assert load_champion(Forecaster, "integer_starts", False).origin == (
        "integer_starts_baseline, champion of integer_starts"
    )


def test_the_same_model_on_data_with_other_bytes_is_entered_with_these(workspace):
    promote.main("surnames", force=False)
    champion = read_champions()["surnames"]
    old = champion.data_files | {"data/preprocessed/surnames/names.npz": "0" * 31 + "a"}
    write_champion("surnames", champion.model_copy(update={"data_files": old}))

    promote.main("surnames", force=False)

    assert read_champions()["surnames"] == champion


def test_promoting_twice_changes_nothing(workspace, capsys):
    promote.main("surnames", force=False)
    before = Path(CHAMPIONS).read_bytes()

    promote.main("surnames", force=False)

    assert "surname_blend is the champion of surnames already" in capsys.readouterr().out
    assert Path(CHAMPIONS).read_bytes() == before


def test_a_better_model_takes_over_and_a_worse_one_needs_force(workspace):
    promote.main("surnames", force=False)
    rescore(workspace, "surname_gru", 0.7)
    promote.main("surnames", force=False)
    assert find_name("surnames") == "surname_gru"

    rescore(workspace, "surname_gru", 0.1)
    worse = r"surname_blend .* 0.6\) is worse than the champion surname_gru \(0.7"
    with pytest.raises(InputError, match=worse):
        promote.main("surnames", force=False)
    assert find_name("surnames") == "surname_gru"
    promote.main("surnames", force=True)

    assert find_name("surnames") == "surname_blend"
    assert "by force, although" in read_champions()["surnames"].reason


def test_scores_on_the_sample_do_not_beat_official_ones(workspace):
    promote.main("surnames", force=False)
    rescore(workspace, "surname_blend", 0.99, data="sample")

    with pytest.raises(InputError, match=r"scored on the sample, the champion .* official data"):
        promote.main("surnames", force=False)


def change_champion(leaderboard, **changes):
    champion = read_champions()[leaderboard]
    write_champion(leaderboard, champion.model_copy(update=changes))


def test_a_champion_of_other_data_is_replaced_even_by_a_lower_score(workspace):
    promote.main("surnames", force=False)
    names = {"data/preprocessed/surnames/names.npz": "0" * 32}
    change_champion("surnames", data="sample", scores={}, files={}, data_files=names)

    promote.main("surnames", force=False)

    assert read_champions()["surnames"].data == "official"


def test_a_champion_without_the_ranking_score_is_replaced_only_by_force(workspace):
    promote.main("integer_starts", force=False)
    shorter = {"validation/mse_200": 0.1}  # scored over another horizon
    change_champion("integer_starts", model="old_rnn", files={}, scores=shorter)
    [best, *_] = read_leaderboard("integer_starts", read_models())

    problem = promote.promotion_problem(best, read_champions()["integer_starts"])

    assert problem == "the champion old_rnn has no validation/mse_500 in champions.yaml"


def test_validation_scores_do_not_promote(workspace):
    path = workspace / "data/evaluated/details/surnames/surname_blend/scores.json"
    write_json(path, read_json(path) | {"split": "validation"})
    take_results(workspace, "evaluate_blend", "plot_blend")

    with pytest.raises(InputError, match=r"evaluate_classifiers\.split: test"):
        promote.main("surnames", force=True)


@pytest.mark.parametrize(
    "file",
    ["trained/surname_gru/weights.pt", "evaluated/details/surnames/surname_blend/scores.json"],
)
def test_a_workspace_that_differs_from_the_lock_is_rejected(workspace, file):
    with (workspace / "data" / file).open("a", encoding="utf-8") as text:
        text.write(" ")

    with pytest.raises(InputError, match=f"{file} differs from dvc.lock"):
        promote.main("surnames", force=True)

    assert read_champions() == {}


def test_a_difference_in_another_leaderboard_does_not_prevent_a_promotion(workspace):
    with (workspace / "data/trained/carried_rnn/weights.pt").open("a", encoding="utf-8") as text:
        text.write(" ")

    promote.main("surnames", force=False)

    assert find_name("surnames") == "surname_blend"
    with pytest.raises(InputError, match=r"carried_rnn/weights\.pt differs"):
        promote.main("integer_starts", force=False)


def test_a_model_of_another_series_does_not_compete(workspace):
    path = workspace / "data/evaluated/details/forecasting/windowed_lstm_fast/scores.json"
    write_json(path, {"data": "sunspots", **nest_errors(0.001, 0.001, ratio=0.5)})
    take_results(
        workspace, "evaluate_forecaster@windowed_lstm_fast", "plot_forecaster@windowed_lstm_fast"
    )

    promote.main("integer_starts", force=False)
    promote.main("sunspots", force=False)

    assert find_name("integer_starts") == "carried_rnn"  # with an error of 0.2
    assert find_name("sunspots") == "windowed_lstm_fast"


def test_a_series_without_a_model_has_no_champion(workspace):
    known = "train one by `make repro`, or choose one of integer_starts, "
    with pytest.raises(InputError, match=known):
        promote.main("forecasting", force=False)


# The champions in MLflow


def test_a_sync_registers_the_champions_with_the_reason(workspace):
    fill(workspace)
    promote.main("surnames", force=False)
    instead = "surnames: the alias champion points to nothing instead of surname_blend"
    with pytest.raises(InputError, match=instead):
        check()

    sync()

    assert find_champion("surnames") == "surname_blend"
    store = Store(find_uri())
    [version] = store.find_versions(["surnames"])
    assert version.run_id in version.description
    assert version.description.startswith("**surname_blend**: best of 4 by validation/macro_f1 (")
    [model] = store.client.search_registered_models("name = 'surnames'")
    assert model.description == "Which language is a surname from?"
    check()


@pytest.mark.slow
def test_a_store_that_was_deleted_has_the_same_champion_after_a_sync(workspace):
    fill(workspace)
    promote.main("surnames", force=False)
    sync()
    run(workspace, "rm -r mlflow.db mlartifacts")

    call_srn(workspace, "sync")

    assert find_champion("surnames") == "surname_blend"


@pytest.mark.slow
def test_a_champion_that_returns_keeps_its_version(workspace):
    fill(workspace)
    for score in (0.2, 0.7, 0.2):  # the blend, then the GRU, then the blend again
        rescore(workspace, "surname_gru", score)
        promote.main("surnames", force=True)
        sync()

    assert find_champion("surnames") == "surname_blend"
    assert len(Store(find_uri()).find_versions(["surnames"])) == 2


def leave_alone(folder: Path, client: MlflowClient, run_id: str) -> None:
    pass


def restore_after_a_sync(folder: Path, client: MlflowClient, run_id: str) -> None:
    sync()
    client.restore_run(run_id)


def collect(folder: Path, client: MlflowClient, run_id: str) -> None:
    store = "sqlite:///mlflow.db"
    run(folder, f"mlflow gc --backend-store-uri {store}", MLFLOW_TRACKING_URI=store)


def delete_model(folder: Path, client: MlflowClient, run_id: str) -> None:
    client.delete_registered_model("surnames")


@pytest.mark.parametrize("disturb", [leave_alone, restore_after_a_sync, collect, delete_model])
def test_after_a_sync_a_champion_whose_run_was_deleted_is_there_again(workspace, disturb):
    fill(workspace)
    promote.main("surnames", force=False)
    sync()
    client = Store(find_uri()).client
    version = client.get_model_version_by_alias("surnames", "champion")
    client.delete_run(version.run_id)
    disturb(workspace, client, version.run_id)

    sync()

    check()
    assert list_names() == RUNS
    mlflow.set_tracking_uri(find_uri())
    champion = mlflow.pyfunc.load_model("models:/surnames@champion")
    assert champion.metadata.run_id == find_run("surname_blend").info.run_id
    promote.main("surnames", force=True)
    sync()
    assert find_champion("surnames") == "surname_blend"


def test_a_champion_that_is_not_of_this_lock_is_reported_and_stays(workspace, capsys):
    fill(workspace)
    promote.main("integer_starts", force=False)
    sync()
    retrain(workspace, "carried_rnn", seed=1)
    problem = "integer_starts: the champion carried_rnn of champions.yaml is not that of dvc.lock"

    sync()

    assert f"{problem}, so that MLflow's alias stays" in capsys.readouterr().out
    assert find_champion("integer_starts") == "carried_rnn"
    with pytest.raises(InputError, match=f"{problem}: `srn promote integer_starts`"):
        check()


def test_a_champion_of_other_data_than_these_is_no_difference(workspace, capsys):
    fill(workspace)
    promote.main("surnames", force=False)
    official = {"data/preprocessed/surnames/names.npz": "0" * 32}
    weights = {"data/trained/surname_blend/weights.pt": "0" * 32}
    change_champion("surnames", data_files=official, files=weights)

    check()

    said = capsys.readouterr().out
    problem = "surname_blend of champions.yaml is not that of dvc.lock"
    assert f"{problem}: it was chosen on other data (official)" in said


@pytest.mark.slow
def test_on_a_server_the_alias_moves_only_on_request(workspace, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", find_server())
    promote.main("surnames", force=False)

    sync()

    assert "points to nothing instead of surname_blend" in capsys.readouterr().out
    assert find_champion("surnames") is None
    assert call_sync_champions(workspace) == "surname_blend"


def call_sync_champions(workspace):
    call_srn(workspace, "sync", "--champions", MLFLOW_TRACKING_URI=find_server())
    return find_champion("surnames")


def test_of_two_runs_with_one_key_the_registered_one_stays(workspace):
    fill(workspace)
    spec = find_spec("carried_rnn")
    write_run(Store(find_uri()), spec, None, begin())
    both = Store(find_uri()).find_runs(spec.key)  # by id: without a version the first would stay
    register(both[1])

    sync()

    assert find_run("carried_rnn").info.run_id == both[1].info.run_id


def register(made):
    """Register the model of a run, as a person may in the UI."""
    client = Store(find_uri()).client
    [output] = made.outputs.model_outputs
    mlflow.set_tracking_uri(find_uri())
    client.create_registered_model("forecasters")
    source = f"models:/{output.model_id}"
    client.create_model_version("forecasters", source, made.info.run_id, model_id=output.model_id)
