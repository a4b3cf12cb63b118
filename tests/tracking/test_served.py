"""The models in MLflow answer wherever they are loaded, and as the trained network does."""

import json
import math
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.error import HTTPError

import mlflow
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from packaging.requirements import Requirement

from stages.shared.checkpoints import read_model
from stages.surnames.alphabet import clean_name, encode_name
from stages.tracking.mlflow_sync.store import Store
from tests.shell import find_free_port, make_environment, start_server, stop_server, wait_for
from tests.workspace import LANGUAGES, MODELS, SYMBOLS, TEMPERATURE

NAMES = ["O", "Schmidt", "Wolfeschlegelsteinhausenbergerdorffscamp", "Ślusàrski-ß", "Yue Tingsong"]


@pytest.fixture(scope="module")
def models(published: Path) -> dict[str, Path]:
    """Where MLflow keeps the model of each run."""
    store = Store(f"sqlite:///{published}/mlflow.db")
    found = store.client.search_logged_models(list(store.experiments.values()))
    return {model.name: Path(model.artifact_location.removeprefix("file://")) for model in found}


def make_history(length: int) -> np.ndarray:
    return np.sin(np.arange(float(length))[None] / 5)


@pytest.mark.parametrize("name", ["surname_blend", "surname_gru"])
def test_a_served_classifier_predicts_like_the_trained_model(published, models, name):
    model = read_model(published / "data/trained" / name)
    scores = []
    for surname in NAMES:
        letters = torch.tensor([encode_name(clean_name(surname, SYMBOLS), SYMBOLS)])
        with torch.no_grad():
            [answer] = model(letters, torch.tensor([letters.shape[1]]))
        scores.append((answer / TEMPERATURE).softmax(0))

    answers = mlflow.pyfunc.load_model(str(models[name])).predict(NAMES, params={"top": 2})

    assert [answer["name"] for answer in answers] == NAMES
    for answer, probabilities in zip(answers, scores, strict=True):
        best, second = (guess["language"] for guess in answer["top"])
        ranked = probabilities.sort(descending=True, stable=True)
        assert [LANGUAGES[i] for i in ranked.indices[:2]] == [best, second]
        assert [guess["probability"] for guess in answer["top"]] == pytest.approx(
            ranked.values[:2].tolist()
        )


@pytest.mark.parametrize("name", ["ß", "", " . '"])
def test_a_name_without_known_letters_is_an_error(models, name):
    model = mlflow.pyfunc.load_model(str(models["surname_gru"]))

    with pytest.raises(MlflowException, match="no letter or digit that the model knows"):
        model.predict(["Schmidt", name])


@pytest.mark.parametrize("length", [1, 20, 500])
@pytest.mark.parametrize("name", ["carried_rnn", "windowed_lstm_fast"])
def test_a_served_forecaster_forecasts_like_the_trained_model(published, models, name, length):
    model = read_model(published / "data/trained" / name)
    history = make_history(length)
    with torch.no_grad():
        expected = model.forecast(torch.tensor(history, dtype=torch.float32), 7)

    forecast = mlflow.pyfunc.load_model(str(models[name])).predict(history, params={"horizon": 7})

    assert forecast.shape == (1, 7)
    np.testing.assert_allclose(forecast, expected, rtol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_signature_input_example_and_exact_requirements(models, name):
    model = Model.load(str(models[name]))

    assert model.signature.inputs and model.signature.outputs and model.signature.params
    assert model.load_input_example(str(models[name])) is not None
    required = (models[name] / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert {line.partition("==")[0] for line in required} == {
        "mlflow",
        "numpy",
        "pydantic",
        "torch",
    }
    assert all("==" in line and "+" not in line for line in required)


# Run in another process: prints what each model answers.
ASK = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import mlflow, numpy
for name, path in json.loads(sys.argv[2]).items():
    model = mlflow.pyfunc.load_model(path)
    if not name.startswith("surname"):
        answer = model.predict(numpy.ones((2, 3)), params={"horizon": 4}).tolist()
    else:
        answer = model.predict(["Schmidt"], params={"top": 1})
    print(json.dumps({name: answer}))
"""


def call_models(models: dict[str, Path], *options: str, path: Path, before: str = "") -> list[str]:
    done = subprocess.run(
        [
            *(sys.executable, *options, "-c", before + ASK),
            *(json.dumps([str(path)]), json.dumps({n: str(p) for n, p in models.items()})),
        ],
        cwd=path,
        env=make_environment(path) | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def link_packages(folder: Path, requirements: list[str]) -> None:
    """Make a folder of packages: the named ones, and what they in turn require."""
    waiting, seen = [Requirement(line).name for line in requirements], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # only required on other systems
        wanted = [Requirement(line) for line in package.requires or []]
        waiting += [w.name for w in wanted if not w.marker or w.marker.evaluate({"extra": ""})]
        for top in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(package.locate_file(top))


@pytest.mark.slow
def test_models_load_with_only_the_packages_that_they_name(models, tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    required = (models["carried_rnn"] / "requirements.txt").read_text(encoding="utf-8").splitlines()
    link_packages(packages, required)
    assert (packages / "torch").exists() and not (packages / "dvc").exists()
    without_ours = "import importlib.util as u; assert not u.find_spec('stages')\n"

    # -I -S: nothing but the standard library, to which ASK adds the folder
    said = call_models(models, "-I", "-S", path=packages, before=without_ours)

    assert len(said) == len(MODELS)


@pytest.mark.slow
def test_models_do_not_depend_on_imported_stages(models, tmp_path):
    for module in ("models/pooled_classifier", "models/sequence_forecaster", "surnames/alphabet"):
        path = tmp_path / "other" / "stages" / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    alien = f"import sys; sys.path.insert(0, {str(tmp_path / 'other')!r})\n" + (
        "import stages.models.pooled_classifier, stages.models.sequence_forecaster\n"
        "import stages.surnames.alphabet\n"
    )

    assert call_models(models, path=tmp_path / "other", before=alien) == call_models(
        models, path=tmp_path / "empty"
    )


def test_models_do_not_need_the_workspace_that_made_them(models, tmp_path):
    copies = {
        name: Path(shutil.copytree(path, tmp_path / name))
        for name, path in models.items()
        if name in ("surname_blend", "windowed_lstm_fast")
    }
    texts = [p.read_text(encoding="utf-8") for p in tmp_path.rglob("*.py")]

    assert len(call_models(copies, path=tmp_path)) == 2
    assert not [text for text in texts if "import stages" in text or "from stages" in text]


@pytest.fixture
def served(request: pytest.FixtureRequest, models: dict[str, Path]) -> Iterator[str]:
    """Address of `mlflow models serve` for one model."""
    port = find_free_port()
    folder = models[request.param]
    server = start_server(f"mlflow models serve -m {folder} -p {port} --env-manager local", folder)
    wait_for(f"http://127.0.0.1:{port}/ping")
    yield f"http://127.0.0.1:{port}/invocations"
    stop_server(server)


def post(address: str, content: object) -> object:
    request = urllib.request.Request(
        address, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["predictions"]


@pytest.mark.slow
@pytest.mark.parametrize("served", ["surname_blend"], indirect=True)
def test_surnames_are_predicted_over_http(served, models):
    answers = post(served, {"inputs": NAMES, "params": {"top": 3}})

    model = mlflow.pyfunc.load_model(str(models["surname_blend"]))
    for answer, expected in zip(answers, model.predict(NAMES), strict=True):
        assert answer["name"] == expected["name"]
        for guess, wanted in zip(answer["top"], expected["top"], strict=True):
            assert guess["language"] == wanted["language"]
            assert math.isclose(guess["probability"], wanted["probability"], rel_tol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("served", ["windowed_lstm_fast"], indirect=True)
def test_series_are_forecast_over_http(served, models):
    model = mlflow.pyfunc.load_model(str(models["windowed_lstm_fast"]))
    for length in (1, 20, 500):
        history = make_history(length)

        forecast = post(served, {"inputs": history.tolist(), "params": {"horizon": 5}})

        np.testing.assert_allclose(forecast, model.predict(history, params={"horizon": 5}))

    with pytest.raises(HTTPError) as rejected:
        post(served, {"inputs": make_history(5).tolist(), "params": {"horizon": 0}})
    assert rejected.value.code == 400
    assert "horizon must be 1 to" in rejected.value.read().decode()
