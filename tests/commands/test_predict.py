"""Names in, languages out: by the champion, or else by the best model of the workspace."""

import json
import sys
from pathlib import Path

import pytest

from stages.commands import lineage, promote
from tests.shell import call, find_server
from tests.store import sync
from tests.workspace import rescore


def predict(workspace: Path, *arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "stages.commands.predict", *arguments]
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


def test_it_takes_the_champion(workspace):
    rescore(workspace, "surname_gru", 0.7)
    sync()
    promote.main("surnames", force=False)
    rescore(workspace, "surname_gru", 0.2)
    sync()

    said = predict(workspace, "Schmidt")

    assert said.startswith("surname_gru, champion of surnames (version 1)")


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
        assert [set(guess) for guess in answer["top"]] == [{"language", "probability"}] * 3
        probabilities = [guess["probability"] for guess in answer["top"]]
        assert sorted(probabilities, reverse=True) == probabilities
        assert 0 < sum(probabilities) <= 1
