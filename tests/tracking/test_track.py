"""MLflow always agrees with dvc.lock: real SQLite stores, a real server, real git and DVC."""

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Thread
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from stages.tracking import track
from stages.tracking.lockfile import Model, Stage, compute_md5, read_models
from stages.tracking.store import Store, find_uri
from tests.workspace import commit, copy_workspace, find_server, make_environment, run, set_param

MODELS = ["tiny_blend", "tiny_elman", "tiny_lstm", "tiny_rnn"]
STARTED = 1767225600000  # of every training in the workspace, 2026-01-01 UTC
ENDED = STARTED + 100_000
EXPERIMENT = "dvc.experiment"


def isolate(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Work in a folder, without the settings of whoever runs the tests."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = copy_workspace(tmp_path / "workspace")
    isolate(monkeypatch, folder)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose store is complete."""
    folder = copy_workspace(tmp_path_factory.mktemp("shared") / "workspace")
    run(folder, "python -m stages.tracking.track")
    return folder


@pytest.fixture
def tracked(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared workspace; a test may only read it."""
    isolate(monkeypatch, shared)
    return shared


def sync() -> None:
    track.main(check=False)


def list_runs(uri: str | None = None) -> list[Run]:
    store = Store(uri or find_uri())
    ids = list(store.experiments.values())
    return sorted(store.client.search_runs(ids), key=lambda r: r.info.run_name) if ids else []


def list_logged_models(uri: str | None = None) -> list[str | None]:
    store = Store(uri or find_uri())
    models = store.client.search_logged_models(list(store.experiments.values()))
    return sorted(model.source_run_id for model in models)


def assert_complete(uri: str | None = None) -> None:
    runs = list_runs(uri)
    assert [r.info.run_name for r in runs] == MODELS
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert {r.data.tags["key"] for r in runs} == {model.key for model in read_models()}
    assert list_logged_models(uri) == sorted(r.info.run_id for r in runs)
    for r in runs:
        assert {"loss", "gradient_norm"} < set(r.data.metrics)


def list_files(folder: Path) -> dict[str, tuple[str, int]]:
    """Md5 and time of writing of every file of the store."""
    files = [folder / "mlflow.db", *(folder / "mlartifacts").rglob("*")]
    return {str(f): (compute_md5(f), f.stat().st_ctime_ns) for f in files if f.is_file()}


# 1. identity


def make_model(**changes: Any) -> Model:
    train = Stage(
        "train_sine@m",
        "python -m stages.sine.train",
        {"data/windows.npz": "1", "stages/sine/train.py": "2"},
        {"data/trained/m/weights.pt": "3", "data/trained/m/curves.csv": "4"},
        {"params.yaml": {"sine.m": {"network": {"hidden": 3}}}, "pyproject.toml": {"torch": "2"}},
    )
    evaluate = Stage("evaluate_sine@m", "", {}, {"data/evaluated/m/metrics.json": "5"}, {})
    plot = Stage("plot_sine@m", "", {}, {"data/plotted/m": "6"}, {})
    stages = {"train": train, "evaluate": evaluate, "plot": plot}
    for role, change in changes.items():
        stages[role] = dataclasses.replace(stages[role], **change)
    return Model("m", **stages)


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"deps": {"data/windows.npz": "other", "stages/sine/train.py": "2"}}},
        {"train": {"outs": {"data/trained/m/weights.pt": "9", "data/trained/m/curves.csv": "4"}}},
        {"train": {"outs": {"data/trained/m/weights.pt": "3", "data/trained/m/curves.csv": "9"}}},
        {"train": {"params": {"params.yaml": {"sine.m": {"network": {"hidden": 4}}}}}},
        {"evaluate": {"outs": {"data/evaluated/m/metrics.json": "9"}}},
    ],
)
def test_data_params_weights_curves_and_scores_make_the_identity(changes):
    assert make_model(**changes).key != make_model().key


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"deps": {"data/windows.npz": "1", "stages/sine/train.py": "9"}}},
        {"train": {"cmd": "python -m stages.sine.train --verbose"}},
        {"evaluate": {"deps": {"stages/sine/evaluate.py": "9"}}},
        {"plot": {"outs": {"data/plotted/m": "9"}}},
    ],
)
def test_code_commands_and_figures_do_not(changes):
    assert make_model(**changes).key == make_model().key


@pytest.mark.slow
def test_a_comment_in_training_code_makes_no_run(workspace):
    sync()
    with (workspace / "stages/shared/bundle.py").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")

    assert "Running stage 'train_sine@tiny_rnn'" in run(workspace, "dvc repro")

    assert len(list_runs()) == len(MODELS)
    track.main(check=True)


def test_of_two_runs_with_one_key_the_smaller_id_stays(workspace):
    sync()
    [model] = [m for m in read_models() if m.name == "tiny_rnn"]
    track.publish(Store(find_uri()), model, None)
    both = [r.info.run_id for r in Store(find_uri()).find_runs(model.key)]
    assert len(both) == 2

    with pytest.raises(SystemExit, match="tiny_rnn: 2 runs"):
        track.main(check=True)
    sync()

    assert [r.info.run_id for r in Store(find_uri()).find_runs(model.key)] == [min(both)]
    assert_complete()


@pytest.mark.slow
def test_two_clones_that_publish_at_once_to_one_server_make_each_run_once(workspace, tmp_path):
    clone = Path(shutil.copytree(workspace, tmp_path / "clone"))
    uri = find_server()

    # both and the server share the cores: this test is not about patience
    patient = {"MLFLOW_TRACKING_URI": uri, "TRACK_SECONDS": "60"}

    both = [start_sync(folder, **patient) for folder in (workspace, clone)]

    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert_complete(uri)


# 2. sync


def test_a_second_sync_writes_nothing(workspace):
    sync()
    before = list_files(workspace)

    sync()

    assert list_files(workspace) == before


def test_a_store_that_was_deleted_is_made_again(workspace):
    sync()
    (workspace / "mlflow.db").unlink()
    shutil.rmtree(workspace / "mlartifacts")

    sync()

    assert_complete()


def test_runs_keep_steps_and_times_of_the_real_training(tracked):
    r = list_runs()[0]
    history = MlflowClient(find_uri()).get_metric_history(r.info.run_id, "loss")
    assert (r.info.start_time, r.info.end_time) == (STARTED, ENDED)
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert [m.timestamp - STARTED for m in history] == [25_000, 50_000, 75_000, 100_000]
    sparse = MlflowClient(find_uri()).get_metric_history(r.info.run_id, "mean_loss")
    assert [m.step for m in sparse] == [2, 4]


def test_a_fresh_clone_has_all_runs_after_dvc_pull(workspace, tmp_path):
    run(workspace, f"dvc remote add -d shared {tmp_path / 'remote'} && dvc push -q")
    commit(workspace, "remote")
    run(tmp_path, f"git clone -q {workspace} clone")
    clone = tmp_path / "clone"

    run(clone, "dvc pull -q")
    run(clone, "python -m stages.tracking.track")

    assert_complete(f"sqlite:///{clone}/mlflow.db")
    assert list(clone.glob("mlartifacts/sine/*/artifacts/figures/loss.png"))


def test_an_older_commit_has_its_runs_after_dvc_checkout(workspace):
    [old] = [m for m in read_models() if m.name == "tiny_rnn"]
    set_param(workspace, "sine.tiny_rnn.seed", 1)
    run(workspace, "dvc repro -q")
    commit(workspace, "other weights")
    run(workspace, "git checkout -q HEAD~1 && dvc checkout -q")

    sync()

    assert len(Store(find_uri()).find_runs(old.key)) == 1
    assert len(list_runs()) == len(MODELS) + 1
    track.main(check=True)


@pytest.mark.slow
def test_a_stage_that_dvc_takes_from_its_cache_has_its_run(workspace):
    set_param(workspace, "sine.tiny_rnn.seed", 1)
    run(workspace, "dvc repro -q")
    (workspace / "mlflow.db").unlink()
    set_param(workspace, "sine.tiny_rnn.seed", 0)

    said = run(workspace, "dvc repro && python -m stages.tracking.track")

    assert "'train_sine@tiny_rnn' is cached" in said
    assert_complete()


def test_models_that_left_params_are_ignored(workspace):
    params = (workspace / "params.yaml").read_text(encoding="utf-8")
    before, _, after = params.partition("  tiny_lstm:")
    rest = after[after.index("surnames:") :]
    (workspace / "params.yaml").write_text(before + rest, encoding="utf-8")

    assert [model.name for model in read_models()] == ["tiny_blend", "tiny_elman", "tiny_rnn"]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (Path.unlink, "is missing: run `dvc pull`"),
        (lambda path: path.write_bytes(b""), "differs from dvc.lock"),
    ],
)
def test_a_model_whose_files_are_not_those_of_the_lock_is_not_tracked(
    workspace, capsys, spoil: Callable[[Path], object], line
):
    spoil(workspace / "data/trained/tiny_rnn/weights.pt")

    sync()

    assert (
        f"tiny_rnn: not tracked, data/trained/tiny_rnn/{line[-30:]}"[:40] in capsys.readouterr().out
    )
    assert [r.info.run_name for r in list_runs()] == MODELS[:-1]


def test_figures_that_changed_are_replaced_in_the_same_run(workspace):
    sync()
    before = {r.info.run_id: r.data.tags["dvc.plot.outs"] for r in list_runs()}
    (workspace / "colour.txt").write_text("blue", encoding="utf-8")
    run(workspace, "dvc repro -q plot_sine plot_surnames")
    with pytest.raises(SystemExit, match="tiny_rnn: stale figures"):
        track.main(check=True)

    sync()

    after = {r.info.run_id: r.data.tags["dvc.plot.outs"] for r in list_runs()}
    assert after.keys() == before.keys() and not set(after.values()) & set(before.values())
    figures = sorted(workspace.glob("mlartifacts/*/*/artifacts/figures/*"))
    assert len(figures) == len(MODELS)
    assert all(f.read_text(encoding="utf-8").startswith("blue") for f in figures)
    track.main(check=True)


def test_check_lists_what_is_missing_and_writes_nothing(workspace):
    with pytest.raises(SystemExit, match="tiny_rnn: no run") as ended:
        track.main(check=True)

    assert isinstance(ended.value.code, str)  # printed, and exit status 1
    assert not (workspace / "mlflow.db").exists()


def test_check_writes_nothing_to_a_store_that_lacks_runs(workspace):
    sync()
    Store(find_uri()).drop_run(list_runs()[0])
    before = list_files(workspace)

    with pytest.raises(SystemExit, match="tiny_blend: no run"):
        track.main(check=True)

    assert list_files(workspace) == before


def test_an_experiment_that_somebody_deleted_is_restored(workspace):
    sync()
    store = Store(find_uri())
    store.client.delete_experiment(store.experiments["sine"])

    sync()

    assert_complete()


def test_artifacts_lie_in_the_repository_wherever_the_process_works(
    workspace, tmp_path, monkeypatch
):
    elsewhere = Path(shutil.copytree(workspace, tmp_path / "elsewhere"))
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(workspace))

    sync()

    assert (workspace / "mlflow.db").exists()
    assert list((workspace / "mlartifacts/sine").iterdir())
    assert not [
        name for name in ("mlflow.db", "mlartifacts", "mlruns") if (elsewhere / name).exists()
    ]


# 3. lineage


def test_the_commit_is_noted_only_once_it_holds_the_model(workspace):
    set_param(workspace, "sine.tiny_rnn.seed", 1)
    run(workspace, "dvc repro -q")
    assert track.COMMIT_TAG not in list_runs()[-1].data.tags

    commit(workspace, "other weights")
    sync()

    head = run(workspace, "git rev-parse HEAD").strip()
    assert {r.data.tags[track.COMMIT_TAG] for r in list_runs()} == {head}
    before = list_files(workspace)
    run(workspace, "git commit -q --allow-empty -m later")
    sync()
    assert list_files(workspace) == before  # the first commit that held it stays


def test_a_run_names_stages_dependencies_and_data_with_their_md5(tracked):
    [model] = [m for m in read_models() if m.name == "tiny_rnn"]

    r = list_runs()[-1]

    tags = r.data.tags
    assert tags["dvc.train.stage"] == "train_sine@tiny_rnn"
    assert tags["dvc.evaluate.stage"] == "evaluate_sine@tiny_rnn"
    assert json.loads(tags["dvc.train.deps"]) == model.train.deps
    assert json.loads(tags["dvc.train.outs"]) == model.train.outs
    assert "stages/models/sequence_forecaster.py" in model.train.deps
    [dataset] = [i.dataset for i in r.inputs.dataset_inputs]
    assert dataset.name == "data/preprocessed/sine/half_periods.csv"
    assert dataset.digest == compute_md5(tracked / dataset.name)


# 4. nothing is lost and nothing waits


def start_sync(folder: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command or [sys.executable, "-m", "stages.tracking.track"],
        cwd=folder,
        env=make_environment(folder) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(status: str) -> Callable[[socket], None]:
    """A server that answers every request with a status."""

    def serve(connection: socket) -> None:
        connection.recv(65536)
        connection.sendall(
            f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".encode()
        )
        connection.close()

    return serve


def drip(connection: socket) -> None:
    """A server that never finishes its answer, though some of it always comes."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(60):
        connection.sendall(b" ")
        time.sleep(1)


@contextmanager
def listen(serve: Callable[[socket], None] | None) -> Iterator[str]:
    """A server on a free port; without `serve` nobody is there."""
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        connections: list[socket] = []

        def accept() -> None:
            with suppress(OSError):  # the listener was closed
                while True:
                    connections.append(listener.accept()[0])
                    Thread(target=attempt, args=connections[-1:], daemon=True).start()

        def attempt(connection: socket) -> None:
            with suppress(OSError):  # the client went away
                serve(connection)

        if serve:
            listener.listen()
            Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        if serve:
            listener.shutdown(SHUT_RDWR)  # wakes the thread that accepts
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        pytest.param(None, "refused", id="refused"),
        pytest.param(answer("401 Unauthorized"), "401", id="401"),
        pytest.param(answer("403 Forbidden"), "403", id="403"),
    ],
)
def test_a_server_that_refuses_ends_track_with_one_line(workspace, serve, reason, check):
    assert_gives_up(workspace, serve, reason, *(["--check"] if check else []))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        pytest.param(answer("500 Internal Server Error"), "500", id="500"),
        pytest.param(lambda _: time.sleep(60), "TRACK_SECONDS", id="silent"),
        pytest.param(drip, "TRACK_SECONDS", id="dripping"),
    ],
)
def test_a_server_that_is_slow_ends_track_with_one_line(workspace, serve, reason):
    assert_gives_up(workspace, serve, reason)


def assert_gives_up(
    workspace: Path, serve: Callable[[socket], None] | None, reason: str, *options: str
) -> None:
    with listen(serve) as uri:
        started = time.monotonic()
        command = [sys.executable, "-m", "stages.tracking.track", *options]
        process = start_sync(workspace, *command, MLFLOW_TRACKING_URI=uri)
        _, said = process.communicate()
        seconds = time.monotonic() - started
    assert process.returncode == 1
    assert seconds < 20
    [line] = said.splitlines()
    assert uri in line and reason in line and "try again" in line


@pytest.mark.slow
def test_dvc_runs_track_again_after_a_server_was_dead(workspace):
    with listen(None) as uri:
        failed = run(workspace, "dvc repro", check=False, MLFLOW_TRACKING_URI=uri)
    assert "failed to run: python -m stages.tracking.track" in failed
    assert "training and evaluation do not need it" in failed

    assert "Running stage 'track'" in run(workspace, "dvc repro")

    assert_complete()


KILLER = """
import os, signal, sys
from mlflow import MlflowClient
from stages.tracking import track

method, nth = sys.argv[1], int(sys.argv[2])
original = getattr(MlflowClient, method)
calls = []

def call_or_die(*arguments, **options):
    calls.append(method)
    if len(calls) == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)

setattr(MlflowClient, method, call_or_die)
track.BATCH = 5
track.main(check=False)
"""


@pytest.mark.parametrize(
    ("method", "nth"),
    [
        pytest.param("log_inputs", 1, id="after_create"),
        pytest.param("log_batch", 3, id="in_the_curves"),
        pytest.param("log_model_artifacts", 1, id="in_the_model"),
        pytest.param("log_outputs", 1, id="before_the_model_belongs_to_the_run"),
        pytest.param("set_terminated", 2, id="before_the_end_of_the_second_run"),
        pytest.param("set_tag", 1, id="before_the_key"),
    ],
)
def test_the_next_sync_repairs_what_a_kill_left(workspace, method, nth):
    process = start_sync(workspace, sys.executable, "-c", KILLER, method, str(nth))
    process.communicate()
    assert process.returncode == -9
    assert "RUNNING" in {r.info.status for r in list_runs()} or method == "set_tag"
    with pytest.raises(SystemExit, match="unfinished"):
        track.main(check=True)

    sync()

    assert_complete()
    track.main(check=True)


def test_unfinished_runs_of_others_are_left_alone(workspace):
    sync()
    store = Store(find_uri())
    other = store.client.create_run(
        store.experiments["sine"], tags={"key": "pending elsewhere:/clone"}, run_name="other"
    )

    sync()

    assert store.client.get_run(other.info.run_id).info.lifecycle_stage == "active"


# 6. parallel start


@pytest.mark.slow
def test_four_processes_at_once_on_a_fresh_store_make_each_run_once(workspace):
    four = [start_sync(workspace) for _ in range(4)]

    said = [process.communicate() for process in four]

    assert [process.returncode for process in four] == [0] * 4, said
    made = Counter(line for out, _ in said for line in out.splitlines() if "run made" in line)
    assert made == Counter({f"{name}: run made": 1 for name in MODELS})
    assert_complete()


# 9. the UI


def test_scores_belong_to_the_run_and_to_its_model_at_step_0(tracked):
    r = list_runs()[-1]
    client = MlflowClient(find_uri())

    [output] = client.get_run(r.info.run_id).outputs.model_outputs
    metrics = client.get_logged_model(output.model_id).metrics

    assert {m.key: m.value for m in metrics} == {
        "free_run_mse_500": 0.2,
        "validation_free_run_mse_500": 0.2,
        "reference/hold_last_free_run_mse_500": 0.9,
    }
    assert {m.step for m in metrics} == {0}
    assert set(r.data.metrics) == {m.key for m in metrics} | {"loss", "mean_loss", "gradient_norm"}


def test_params_are_flat_and_named_alike_across_models(tracked):
    params = {r.info.run_name: r.data.params for r in list_runs()}

    assert params["tiny_rnn"]["network.hidden"] == "3"
    assert params["tiny_rnn"].keys() | {"network.window"} == params["tiny_lstm"].keys()


def test_a_run_tells_what_it_is_and_how_it_compares(tracked):
    tags = list_runs()[-1].data.tags

    note = tags["mlflow.note.content"]
    assert "tiny_rnn" in note and "recurrent layer" in note
    assert "series: half_periods" in note
    assert "| free_run_mse_500 | 0.2 | 0.9 |" in note
    assert tags["data"] == tags["series"] == "half_periods"


# 5. DVC experiments


@pytest.mark.slow
def test_an_experiment_of_dvc_has_its_run_with_its_name(workspace):
    sync()

    run(workspace, "dvc exp run -q -n here -S sine.tiny_rnn.seed=1")
    run(workspace, "dvc exp run -q -n aside --temp -S sine.tiny_rnn.seed=2")

    named = {r.data.tags[EXPERIMENT]: r for r in list_runs() if EXPERIMENT in r.data.tags}
    assert {name: r.data.params["seed"] for name, r in named.items()} == {"here": "1", "aside": "2"}
    assert len(list_runs()) == len(MODELS) + 2
    assert all(r.info.status == "FINISHED" for r in list_runs())
    assert "here" in run(workspace, "dvc exp show --csv")
    run(workspace, "dvc exp apply -q aside")
    before = list_files(workspace)
    sync()
    assert list_files(workspace) == before


@pytest.mark.slow
def test_queued_experiments_end_with_their_runs_in_the_store(workspace):
    sync()
    for seed in (1, 2):
        run(workspace, f"dvc exp run -q -n queued-{seed} --queue -S sine.tiny_rnn.seed={seed}")

    run(workspace, "dvc queue start -q -j 2")
    for _ in range(120):
        time.sleep(1)
        if run(workspace, "dvc queue status").count("Success") == 2:
            break

    names = {r.data.tags.get(EXPERIMENT) for r in list_runs()}
    assert names == {None, "queued-1", "queued-2"}
    assert len(list_runs()) == len(MODELS) + 2
    assert all(r.info.status == "FINISHED" for r in list_runs())
