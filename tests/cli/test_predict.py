"""Names in, languages out: by a named model, the champion, or else the best of the workspace."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from stages.cli import lineage, promote
from stages.cli.predict import list_cells
from stages.shared.errors import InputError
from stages.shared.networks import read_model
from stages.surnames.alphabet import encode_name
from stages.tracking.predictors import load_named
from tests.shell import call, find_server
from tests.store import fill, find_run, sync
from tests.workspace import SYMBOLS, rescore

SCORED = {"language", "probability", "log_probability"}


def predict(workspace: Path, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "stages/run.py", "cli", "predict", *arguments]
    done = call(workspace, *command, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_it_takes_the_workspace_where_nothing_is_registered(workspace):
    said = predict(workspace, "Yue Tingsong", "Schmidt", "ß")

    origin, _, first, second, third = said.splitlines()
    assert origin == "surname_blend, best of the workspace"
    assert first.startswith("Yue Tingsong ") and second.startswith("Schmidt ")
    assert len(first.removeprefix("Yue Tingsong").split()) == 6  # three languages, three numbers
    assert "no letter that the model knows" in third
    assert not (workspace / "mlflow.db").exists()


@pytest.mark.slow
def test_it_takes_the_champion(workspace):
    rescore(workspace, "surname_gru", 0.7)
    sync()
    promote.main("surnames", force=False)
    rescore(workspace, "surname_gru", 0.2)
    sync()

    said = predict(workspace, "Schmidt")

    assert said.startswith("surname_gru, champion of surnames (version 1)")


def test_a_named_model_answers_from_the_workspace(workspace):
    rescore(workspace, "surname_gru", 0.7)
    sync()
    promote.main("surnames", force=False)

    said = predict(workspace, "Schmidt", "--model", "surname_ngrams")

    assert said.startswith("surname_ngrams of the workspace\n")


@pytest.mark.slow
def test_a_named_model_answers_alike_from_mlflow_where_its_files_are_missing(workspace):
    fill(workspace)
    before = predict(workspace, "Schmidt", "--model", "surname_ngrams", "--log")
    (workspace / "data/trained/surname_ngrams/weights.pt").unlink()

    said = predict(workspace, "Schmidt", "--model", "surname_ngrams", "--log")

    origin, *answers = said.splitlines()
    assert origin == f"surname_ngrams of run {find_run('surname_ngrams').info.run_id}"
    assert answers == before.splitlines()[1:]


def test_it_says_that_a_named_model_is_nowhere(workspace):
    shutil.rmtree(workspace / "data/trained/surname_ngrams")

    with pytest.raises(InputError, match=r"surname_ngrams is neither in data/ nor in MLflow"):
        load_named("surnames", "surname_ngrams")

    assert not (workspace / "mlflow.db").exists()


@pytest.mark.parametrize("name", ["nobody", "carried_rnn"])
def test_it_names_the_models_that_know_surnames(workspace, name):
    known = "surname_blend, surname_gru, surname_markov, surname_ngrams"

    with pytest.raises(InputError, match=f"no model {name} of surnames: choose of {known}$"):
        load_named("surnames", name)


def test_log_probabilities_are_the_network_s_own(workspace):
    model = read_model(workspace / "data/trained/surname_gru")
    letters = torch.tensor([encode_name("Schmidt", SYMBOLS)])
    with torch.no_grad():
        best = model(letters, torch.tensor([7]))[0].max()

    said = predict(workspace, "Schmidt", "--model", "surname_gru", "--top", "1", "--log")

    assert said.split()[-1] == f"{best:.2f}"


def test_a_model_that_was_logged_without_log_probabilities_says_so():
    answer = {"name": "Schmidt", "top": [{"language": "German", "probability": 0.5}]}

    assert "0.50" in list_cells(answer, "probability")[1]
    with pytest.raises(InputError, match="leave out --log"):
        list_cells(answer, "log_probability")


@pytest.mark.slow
def test_champions_work_over_a_server_too(workspace, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", find_server())
    sync()
    promote.main("surnames", force=False)

    said = predict(workspace, "Schmidt", MLFLOW_TRACKING_URI=find_server())
    lineage.main("surname_blend")

    assert said.startswith("surname_blend, champion of surnames")
    assert f"run {find_server()}/#/experiments/" in capsys.readouterr().out


def test_json_has_one_object_a_name(workspace):
    answers = json.loads(predict(workspace, "Yue Tingsong", "Schmidt", "--json"))

    assert [answer["name"] for answer in answers] == ["Yue Tingsong", "Schmidt"]
    for answer in answers:
        assert [set(guess) for guess in answer["top"]] == [SCORED] * 3
        probabilities = [guess["probability"] for guess in answer["top"]]
        assert sorted(probabilities, reverse=True) == probabilities
        assert 0 < sum(probabilities) <= 1
