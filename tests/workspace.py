"""A tiny workspace with a real git and DVC repository, for the tests of tracking.

Its stages have the names, files and shapes of the real ones, but training copies weights that
were drawn beforehand, so that a whole `dvc repro` takes seconds.
"""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from stages.shared.bundle import build_network

PROJECT = Path(__file__).parents[1]
SYMBOLS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,;'"
LANGUAGES = ["English", "German", "Polish", "Spanish"]
LETTERS = {"num_letters": len(SYMBOLS), "num_languages": len(LANGUAGES)}
ELMAN = {"architecture": "elman_classifier", "network": LETTERS | {"hidden": 6}}
POOLED = {
    "architecture": "pooled_classifier",
    "network": LETTERS
    | {"cell": "gru", "embedding": 4, "hidden": 5, "bidirectional": True, "dropout": 0.1},
}
NGRAM = {
    "architecture": "ngram_classifier",
    "network": LETTERS | {"num_buckets": 64, "longest": 3, "dropout": 0.0},
}
RNN = {"architecture": "sequence_forecaster", "network": {"cell": "rnn_tanh", "hidden": 3}}
LSTM = {"architecture": "window_forecaster", "network": {"cell": "lstm", "hidden": 3, "window": 8}}
BLEND = {
    "architecture": "blend_classifier",
    "network": {"members": [ELMAN, POOLED, NGRAM], "weights": [0.5, 0.4, 0.3]},
}
MODELS: dict[str, dict[str, dict[str, Any]]] = {
    "sine": {"tiny_rnn": RNN, "tiny_lstm": LSTM},
    "surnames": {"tiny_elman": ELMAN, "tiny_blend": BLEND},
}
SEEDS = (0, 1, 2)  # of which weights are there to copy

BAKE = '''\
"""python bake.py train|evaluate|plot TASK MODEL"""
import json, shutil, sys
from pathlib import Path
import yaml

step, task, name = sys.argv[1:]
params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))[task][name]

def write(path, content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")

if step == "train":
    folder = Path("data/trained", name)
    write(folder / "sizes.json", json.dumps({"task": task} | {
        key: params[key] for key in ("architecture", "network")}))
    shutil.copy(f"baked/{name}-{params['seed']}.pt", folder / "weights.pt")
    rows = [f"{i},{1 / i},{'' if i % 2 else 2 / i},{3 / i}" for i in range(1, params["steps"] + 1)]
    write(folder / "curves.csv", "iteration,loss,mean_loss,gradient_norm\\n" + "\\n".join(rows))
    write(folder / "times.json", json.dumps({
        "started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:40+00:00"}))
if step == "evaluate":
    score = params["score"]
    scores = {
        "sine": {"data": "half_periods", "series": "half_periods", "free_run_mse_500": score,
                 "validation_free_run_mse_500": score, "hold_last_free_run_mse_500": 0.9},
        "surnames": {"data": params.get("data", "official"), "macro_f1": score - 0.01,
                     "validation_macro_f1": score, "majority_macro_f1": 0.1,
                     "temperature": 1.5},
    }[task]
    write(f"data/evaluated/{name}/metrics.json", json.dumps(scores))
if step == "plot":
    write(f"data/plotted/{name}/loss.png", Path("colour.txt").read_text() + name)
'''


def make_workspace(folder: Path) -> Path:
    """Write the workspace, run its stages but `track`, and commit it."""
    folder.mkdir(parents=True)
    shutil.copytree(PROJECT / "stages", folder / "stages", ignore=_ignore_caches)
    (folder / "bake.py").write_text(BAKE, encoding="utf-8")
    (folder / "colour.txt").write_text("red", encoding="utf-8")
    bake_weights(folder / "baked")
    write_yaml(folder / "params.yaml", _make_params())
    write_yaml(folder / "dvc.yaml", {"stages": _make_stages()})
    (folder / ".gitignore").write_text("/data/\nmlflow.db\nmlartifacts/\n__pycache__/\n")
    for name, content in _make_data().items():
        path = folder / "given" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    run(folder, "git init -q")
    run(folder, "dvc init -q")
    run(folder, "dvc repro -q plot_sine plot_surnames")
    commit(folder, "first")
    return folder


def call(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command; stdout holds all that it printed."""
    return subprocess.run(
        command,
        cwd=folder,
        env=make_environment(folder) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def run(folder: Path, command: str, check: bool = True, **environment: str) -> str:
    """Run a command as a person would; returns what it printed."""
    done = call(folder, "sh", "-c", command, **environment)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def make_environment(folder: Path) -> dict[str, str]:
    """An environment that knows nothing of the machine's own settings of git, DVC and MLflow."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("DVC_", "MLFLOW_", "GIT_", "TRACK_"))
    }
    settings = folder.parent / f"{folder.name}-settings"
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "true",
        "DVC_GLOBAL_CONFIG_DIR": str(settings / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(settings / "system"),
        "DVC_SITE_CACHE_DIR": str(settings / "site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Test",
        "GIT_AUTHOR_EMAIL": "test@example.org",
        "GIT_COMMITTER_NAME": "Test",
        "GIT_COMMITTER_EMAIL": "test@example.org",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }


def commit(folder: Path, message: str) -> None:
    """Commit everything."""
    run(folder, f"git add -A && git commit -qm '{message}'")


def set_param(folder: Path, path: str, value: Any) -> None:
    """Change one value of params.yaml: `sine.tiny_rnn.seed`."""
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    *sections, last = path.split(".")
    section = params
    for name in sections:
        section = section[name]
    section[last] = value
    write_yaml(folder / "params.yaml", params)


def bake_weights(folder: Path) -> None:
    """Draw the weights that training will copy."""
    folder.mkdir()
    for models in MODELS.values():
        for name, sizes in models.items():
            for seed in SEEDS:
                torch.manual_seed(seed)
                network = build_network(sizes["architecture"], sizes["network"], name)
                torch.save(network.state_dict(), folder / f"{name}-{seed}.pt")


def write_yaml(path: Path, content: Any) -> None:
    """Write YAML in the order given."""
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _make_params() -> dict[str, Any]:
    scores = {"tiny_rnn": 0.2, "tiny_lstm": 0.4, "tiny_elman": 0.5, "tiny_blend": 0.6}
    return {
        task: {
            name: json.loads(json.dumps(sizes)) | {"seed": 0, "steps": 4, "score": scores[name]}
            for name, sizes in models.items()
        }
        for task, models in MODELS.items()
    }


def _make_data() -> dict[str, str]:
    vocabulary = {"data": "official", "symbols": SYMBOLS, "languages": LANGUAGES}
    return {"surnames/vocabulary.json": json.dumps(vocabulary), "sine/half_periods.csv": "t,y\n"}


def _make_stages() -> dict[str, Any]:
    data = {
        "sine": "data/preprocessed/sine/half_periods.csv",
        "surnames": "data/preprocessed/surnames/vocabulary.json",
    }
    stages: dict[str, Any] = {}
    for task, path in data.items():
        given = path.replace("data/preprocessed", "given")
        stages[f"preprocess_{task}"] = {
            "cmd": f"mkdir -p {Path(path).parent} && cp {given} {path}",
            "deps": [given],
            "outs": [path],
        }
    for task, path in data.items():
        trained, key = "data/trained/${key}", "${key}"
        stages[f"train_{task}"] = _loop(
            task,
            cmd=f"python bake.py train {task} {key}",
            deps=[path, "stages/models/${item.architecture}.py", "stages/shared/bundle.py"],
            params=[f"{task}.{key}"],
            outs=[
                f"{trained}/{out}"
                for out in ("weights.pt", "sizes.json", "curves.csv", "times.json")
            ],
        )
        stages[f"evaluate_{task}"] = _loop(
            task,
            cmd=f"python bake.py evaluate {task} {key}",
            deps=[path, f"{trained}/weights.pt"],
            params=[f"{task}.{key}"],
            outs=[f"data/evaluated/{key}/metrics.json"],
        )
        stages[f"plot_{task}"] = _loop(
            task,
            cmd=f"python bake.py plot {task} {key}",
            deps=[f"data/evaluated/{key}/metrics.json", f"{trained}/curves.csv", "colour.txt"],
            outs=[f"data/plotted/{key}"],
        )
    stages["track"] = {
        "cmd": "python -m stages.tracking.track",
        "deps": ["data/trained", "data/evaluated", "data/plotted"],
    }
    return stages


def _loop(task: str, **stage: Any) -> dict[str, Any]:
    return {"foreach": f"${{{task}}}", "do": stage}


def _ignore_caches(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]


@cache
def find_template() -> Path:
    """The workspace that tests copy; made once a process."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return make_workspace(Path(folder.name, "template"))


def copy_workspace(folder: Path) -> Path:
    """A workspace of a test's own: all stages done and committed, nothing tracked."""
    return Path(shutil.copytree(find_template(), folder, symlinks=True))


@cache
def find_server() -> str:
    """Address of a real `mlflow server`, started once a process."""
    folder = tempfile.TemporaryDirectory()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--port {port} --workers 1 --backend-store-uri sqlite:///mlflow.db"
    server = subprocess.Popen(
        f"exec mlflow server {options} --artifacts-destination ./artifacts",
        shell=True,
        cwd=folder.name,
        env=make_environment(Path(folder.name)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # its workers end with it
    )
    atexit.register(folder.cleanup)
    atexit.register(server.wait)
    atexit.register(os.killpg, server.pid, signal.SIGTERM)
    # not /health: the first request that needs the database makes its tables
    wait_for(f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get?experiment_id=0")
    return f"http://127.0.0.1:{port}"


def wait_for(address: str, seconds: int = 90) -> None:
    """Wait until a server answers."""
    for _ in range(seconds * 5):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{address} does not answer")
