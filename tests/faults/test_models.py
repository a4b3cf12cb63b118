"""No model answers that is not the one of dvc.lock, and none answers nonsense."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

from stages.cli import promote
from stages.shared.arrays import read_arrays
from stages.shared.checkpoints import read_model
from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.tracking.leaderboards import read_baseline_scores, read_champions, write_champion
from stages.tracking.load_model import load_champion
from stages.tracking.mlflow_sync.checksums import checksum_problem, compute_file_md5
from stages.tracking.mlflow_sync.store import Store
from stages.tracking.run_specs import check_dvc_listings
from stages.tracking.served_models.loader import Classifier
from tests.shell import assert_one_line, call_srn, run
from tests.store import assert_complete, check, fill, find_filled_template, sync
from tests.workspace import take_results

PREDICT = ["predict", "Schmidt"]
FORECAST = ["forecast", "series.csv", "--column", "y"]
STAGES = [f"{kind}_classifier@surname_gru" for kind in ("train", "evaluate", "plot")]


@pytest.fixture(autouse=True)
def series(workspace: Path) -> None:
    """Something to forecast from, in the working folder."""
    (workspace / "series.csv").write_text("y\n0\n0.5\n1\n", encoding="utf-8")


def flip(path: Path) -> None:
    """Flip one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


SPOILED = pytest.mark.parametrize(
    "spoil",
    [
        flip,
        pytest.param(truncate, marks=pytest.mark.slow),
        pytest.param(Path.unlink, marks=pytest.mark.slow),
    ],
)


@pytest.mark.parametrize(
    ("command", "model"),
    [
        (PREDICT, "surname_blend"),
        ([*PREDICT, "--model", "surname_gru"], "surname_gru"),
        ([*FORECAST, "--series", "integer_starts"], "carried_rnn"),
    ],
)
def test_weights_that_differ_from_dvc_lock_are_not_used(workspace, command, model):
    flip(workspace / f"data/trained/{model}/weights.pt")

    stopped = call_srn(workspace, *command)

    assert_one_line(stopped, f"data/trained/{model}/weights.pt differs from dvc.lock")


@pytest.mark.parametrize("is_taken", [False, True], ids=["in_the_cache", "in_dvc_lock_too"])
def test_an_architecture_that_is_a_path_is_never_run(workspace, is_taken):
    (workspace / "data/plotted/evil.py").write_text("open('ran', 'w')", encoding="utf-8")
    path = workspace / "data/trained/surname_gru/config.json"
    write_json(path, read_json(path) | {"architecture": "../../data/plotted/evil"})
    if is_taken:
        take_results(workspace, *STAGES)

    stopped = call_srn(workspace, *PREDICT, "--model", "surname_gru")

    assert_one_line(stopped, "evil" if is_taken else "config.json differs from dvc.lock")
    assert not (workspace / "ran").exists()


def test_a_pickle_in_place_of_weights_is_a_one_line_error(workspace):
    path = workspace / "data/trained/surname_gru/weights.pt"
    path.write_bytes(pickle.dumps(Path("any object"), protocol=2))
    take_results(workspace, *STAGES)

    stopped = call_srn(workspace, *PREDICT, "--model", "surname_gru")

    assert_one_line(stopped, "cannot be loaded", "weights.pt does not have the weights")
    with pytest.raises(InputError, match="does not have the weights of pooled_classifier"):
        read_model(path.parent)


@SPOILED
def test_a_champion_whose_weights_mlflow_lost_does_not_come_from_there(workspace, spoil):
    promote.main("surnames", force=False)
    fill(workspace)
    spoil(find_in_store(workspace, "surname_blend", "artifacts/package.zip"))

    assert_one_line(call_srn(workspace, *PREDICT, "--from-mlflow"), "MLflow")
    assert call_srn(workspace, *PREDICT).stdout.startswith("surname_blend, champion of surnames")


@SPOILED
def test_a_damaged_model_is_not_served_by_mlflow_alone(workspace, spoil):
    fill(workspace)
    spoil(find_in_store(workspace, "carried_rnn", "artifacts/package.zip"))
    folder = find_in_store(workspace, "carried_rnn", "MLmodel").parent

    with pytest.raises(Exception, match=r"package\.zip"):
        mlflow.pyfunc.load_model(str(folder))


@pytest.mark.parametrize("spoil", [flip, Path.unlink])
@pytest.mark.parametrize("name", ["MLmodel", "checksums.json", "artifacts/checksums.py"])
def test_a_local_store_that_lost_a_file_of_a_model_is_to_be_deleted(workspace, name, spoil):
    fill(workspace)
    spoil(find_in_store(workspace, "surname_gru", name))

    for act in (check, sync):
        with pytest.raises(
            InputError, match=r"surname_gru, model: .*: delete it and .*mlartifacts"
        ):
            act()


@pytest.mark.slow
def test_a_local_store_that_lost_a_figure_is_filled_again_once_it_is_deleted(workspace):
    run(workspace, "python stages/run.py tracking.track")  # this process would keep the file open
    figures = workspace.glob("mlartifacts/forecasting/*/artifacts/figures/loss.png")
    next(figures).unlink()
    lost = r"figures/loss.png is missing or damaged\): delete it and mlartifacts beside it"
    with pytest.raises(InputError, match=lost):
        sync()

    run(workspace, "rm -r mlflow.db mlartifacts && python stages/run.py tracking.track")

    assert_complete()


@pytest.mark.parametrize(
    ("checksums", "problem"),
    [
        ("[1]", "checksums.json is missing or damaged"),
        ("[" * 100_000, "checksums.json is missing or damaged"),
        ('{"/dev/zero": "x"}', "/dev/zero is missing"),
        ('{"../outside": "098f6bcd4621d373cade4e832627b4f6"}', "../outside is missing"),
        ('{"pipe": "x"}', "pipe is missing"),
        ('{"link": "x"}', "link is missing"),
    ],
)
def test_checksums_name_files_of_the_model_alone(tmp_path, checksums, problem):
    (tmp_path / "outside").write_text("test", encoding="utf-8")
    model = tmp_path / "model"
    model.mkdir()
    os.mkfifo(model / "pipe")
    (model / "link").symlink_to("/dev/zero")
    (model / "checksums.json").write_text(checksums, encoding="utf-8")

    assert checksum_problem(model) == problem


def change_json(path: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a file of the champion of the surnames, and its md5 in champions.yaml."""
    content = read_json(Path(path))
    write_json(Path(path), change(content) or content)
    champion = read_champions()["surnames"]
    files = champion.files | {path: compute_file_md5(Path(path))}
    write_champion("surnames", champion.model_copy(update={"files": files}))


VOCABULARY = "data/preprocessed/surnames/vocabulary.json"
CONFIG = "data/trained/surname_blend/config.json"
SCORES = "data/evaluated/details/surnames/surname_blend/scores.json"


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (SCORES, lambda scores: scores | {"temperature": "x"}),
        (SCORES, lambda scores: scores | {"temperature": 0}),
        (SCORES, lambda scores: [scores]),
        (VOCABULARY, lambda vocabulary: vocabulary | {"symbols": 5}),
        (VOCABULARY, lambda vocabulary: vocabulary | {"symbols": vocabulary["symbols"] * 2}),
        (VOCABULARY, lambda vocabulary: vocabulary | {"languages": []}),
        (VOCABULARY, lambda vocabulary: {"data": "official"}),
        (CONFIG, lambda config: [1, 2]),
        (CONFIG, lambda config: config | {"network": 5}),
        (CONFIG, lambda config: config | {"network": {}}),
        (CONFIG, lambda config: config | {"network": {"members": [1]}}),
        (CONFIG, lambda config: config | {"architecture": ["blend_classifier"]}),
        (CONFIG, lambda config: config | {"another": 1}),
    ],
)
def test_a_model_file_with_another_structure_is_a_one_line_error(workspace, path, change):
    promote.main("surnames", force=False)
    change_json(path, change)

    with pytest.raises(InputError, match=r"^.+$") as error:
        load_champion(Classifier, "surnames", from_mlflow=False)

    assert Path(path).name in str(error.value) or "weights.pt" in str(error.value)


def test_a_champion_without_config_or_of_another_task_is_a_one_line_error(workspace):
    promote.main("surnames", force=False)
    promote.main("integer_starts", force=False)
    champions = read_champions()
    files = {path: md5 for path, md5 in champions["surnames"].files.items() if path != CONFIG}

    write_champion("surnames", champions["surnames"].model_copy(update={"files": files}))
    with pytest.raises(InputError, match=r"champions\.yaml does not list .*config\.json"):
        load_champion(Classifier, "surnames", from_mlflow=False)
    write_champion("surnames", champions["integer_starts"])
    with pytest.raises(InputError, match="carried_rnn is a model of forecasting"):
        load_champion(Classifier, "surnames", from_mlflow=False)


@pytest.mark.parametrize("text", ["[core", "[core]\n    another = 1\n"])
def test_damaged_settings_of_dvc_are_a_one_line_error(workspace, text):
    (workspace / ".dvc/config").write_text(text, encoding="utf-8")

    with pytest.raises(InputError, match=r"^DVC's settings are damaged \(.*git checkout \.dvc"):
        check_dvc_listings()


@pytest.mark.parametrize(
    "change",
    [
        {"data": None},
        {"data": "a" * 10**6},
        {"macro_f1": [1]},
        {"macro_f1": None},
        {"validation": {"macro_f1": None}},
        {"validation": {}},
        {"intervals": {"macro_f1": 5}},
    ],
)
def test_scores_with_another_structure_are_a_one_line_error(workspace, change):
    write_json(Path(SCORES), read_json(Path(SCORES)) | change)

    with pytest.raises(InputError, match=r"surname_blend/scores\.json .*: delete it and run"):
        promote.main("surnames", force=False)


@pytest.mark.parametrize("content", [[1], 5, {}, {"data": "official"}, {"majority": {}}])
def test_invalid_scores_of_baselines_are_a_one_line_error(workspace, content):
    path = Path("data/evaluated/details/surnames/baselines/scores.json")
    write_json(path, content)

    if content == {"data": "official"}:
        assert read_baseline_scores("surnames", "official") == {}
        return
    with pytest.raises(InputError, match=r"baselines/scores\.json is damaged"):
        read_baseline_scores("surnames", "official")


def find_in_store(workspace: Path, model: str, name: str) -> Path:
    """A file of a model's package in MLflow."""
    store = Store(f"sqlite:///{workspace}/mlflow.db")
    for logged in store.client.search_logged_models(list(store.experiments.values())):
        if logged.name == model:
            return Path(logged.artifact_location.removeprefix("file://"), name)
    raise FileNotFoundError(f"{model} has no {name}")


ODD: list[tuple[str, Callable[[], object], dict[str, int], str]] = [
    ("carried_rnn", lambda: np.ones((1, 5)), {"horizon": 0}, "horizon must be 1 to"),
    ("carried_rnn", lambda: np.ones((1, 5)), {"horizon": -1}, "horizon must be 1 to"),
    ("carried_rnn", lambda: np.ones((1, 5)), {"horizon": 30_000_000}, "horizon must be 1 to"),
    ("windowed_lstm_fast", lambda: np.ones((1, 5)), {"horizon": 10_001}, "be 1 to 10,000 for 1"),
    ("carried_rnn", lambda: np.ones((500, 5)), {"horizon": 2_001}, "be 1 to 2,000 for 500"),
    ("windowed_lstm_fast", lambda: np.ones((1, 0)), {}, "a history must have 1 to"),
    ("windowed_lstm_fast", lambda: np.full((1, 5), np.nan), {}, "NaN"),
    ("windowed_lstm_fast", lambda: np.full((1, 5), 1e300), {}, "or too large"),
    ("surname_gru", lambda: ["a" * 10_000_000], {}, "a name has 10,000,000 letters"),
    ("surname_gru", lambda: ["a"] * 10_001, {}, "send fewer"),
    ("surname_gru", lambda: ["a" * 900] * 300, {}, "the names have more than 200,000 letters"),
    ("surname_gru", lambda: ["a"], {"top": 0}, "top must be at least 1"),
]


@pytest.fixture(scope="module")
def published() -> Path:
    """A workspace whose store is complete; tests may only read it."""
    return find_filled_template()


@pytest.mark.parametrize(("name", "make", "params", "reason"), ODD)
def test_an_invalid_request_is_rejected(published, name, make, params, reason):
    model = mlflow.pyfunc.load_model(str(find_in_store(published, name, "MLmodel").parent))

    with pytest.raises(MlflowException, match=reason) as rejected:
        model.predict(make(), params=params)

    assert rejected.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    "model", ["surname_gru", "surname_ngrams", "surname_markov", "surname_blend"]
)
def test_a_name_in_a_batch_has_the_same_prediction_as_alone(published, model):
    served = mlflow.pyfunc.load_model(str(find_in_store(published, model, "MLmodel").parent))
    names = ["Schmidt", "O", "O...1", "Yue Tingsong", "Ó", "Abc" * 40] + ["Nguyen"] * 150

    together = served.predict(names, params={"top": 4})

    assert [answer["name"] for answer in together] == names
    for name, answer in zip(names[:7], together, strict=False):
        [alone] = served.predict([name], params={"top": 4})
        assert probabilities(answer) == pytest.approx(probabilities(alone), abs=1e-6)
    assert together[-1]["top"] == together[6]["top"]


def probabilities(answer: dict[str, Any]) -> dict[str, float]:
    return {guess["language"]: guess["probability"] for guess in answer["top"]}


class Planted:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("planted",)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_pickle_in_a_numpy_file_is_a_one_line_error_and_is_not_run(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"state{suffix}"
    planted = np.array([Planted()], dtype=object)
    if suffix == ".npz":
        np.savez(path, state=planted)
    else:
        np.save(path, planted, allow_pickle=True)

    with pytest.raises(InputError, match=rf"state\{suffix} is damaged \(.*allow_pickle"):
        read_arrays(path)

    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x80\x04."])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_file_that_numpy_cannot_read_is_a_one_line_error(tmp_path, content, suffix):
    path = tmp_path / f"state{suffix}"
    path.write_bytes(content)

    with pytest.raises(InputError, match="is damaged"):
        read_arrays(path)
