"""Promotion, and the commands that use the champion."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stages.commands import forecast, lineage, promote
from stages.shared.errors import InputError
from stages.tracking import track
from stages.tracking.lockfile import read_models
from stages.tracking.store import Store, find_uri
from tests.workspace import (
    copy_workspace,
    find_server,
    make_environment,
    run,
    set_param,
)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    folder = copy_workspace(tmp_path / "workspace")
    monkeypatch.chdir(folder)
    return folder


def find_champion(task: str) -> str | None:
    store = Store(find_uri())
    version = store.find_champion(task)
    return version and store.client.get_run(version.run_id).info.run_name


def rescore(workspace: Path, **params: object) -> None:
    """Change how models score, and make MLflow agree."""
    for path, value in params.items():
        set_param(workspace, path.replace("__", "."), value)
    run(workspace, "dvc repro -q plot_sine plot_surnames")
    track.main(check=False)


def test_the_model_best_on_validation_becomes_the_champion(workspace, capsys):
    track.main(check=False)

    promote.main("surnames", force=False)
    promote.main("sine", force=False)

    assert find_champion("surnames") == "tiny_blend"  # the highest macro F1
    assert find_champion("sine") == "tiny_rnn"  # the lowest error
    said = capsys.readouterr().out
    assert "tiny_blend  official  0.6                  0.59" in said
    assert said.index("tiny_blend  off") < said.index("tiny_elman  off")


def test_promoting_twice_makes_one_version(workspace, capsys):
    track.main(check=False)
    promote.main("surnames", force=False)

    promote.main("surnames", force=False)

    assert "tiny_blend is the champion already (version 1)" in capsys.readouterr().out
    assert len(Store(find_uri()).find_versions("surnames")) == 1


def test_a_better_model_takes_over_and_a_worse_one_needs_force(workspace):
    track.main(check=False)
    promote.main("surnames", force=False)
    rescore(workspace, surnames__tiny_elman__score=0.7)
    promote.main("surnames", force=False)
    assert find_champion("surnames") == "tiny_elman"

    rescore(workspace, surnames__tiny_elman__score=0.1)
    with pytest.raises(InputError, match=r"tiny_blend .* 0.6\) is worse than .* tiny_elman \(0.7"):
        promote.main("surnames", force=False)
    assert find_champion("surnames") == "tiny_elman"
    promote.main("surnames", force=True)

    assert find_champion("surnames") == "tiny_blend"
    assert len(Store(find_uri()).find_versions("surnames")) == 2  # its first version came back


def test_scores_on_the_sample_do_not_beat_official_ones(workspace):
    track.main(check=False)
    promote.main("surnames", force=False)
    rescore(workspace, surnames__tiny_blend__score=0.99, surnames__tiny_blend__data="sample")

    with pytest.raises(InputError, match=r"scored on the sample, the champion .* official data"):
        promote.main("surnames", force=False)


def test_official_scores_replace_those_on_the_sample_even_if_lower(workspace):
    rescore(workspace, surnames__tiny_blend__score=0.99, surnames__tiny_blend__data="sample")
    promote.main("surnames", force=False)
    before = Store(find_uri()).find_champion("surnames")

    rescore(workspace, surnames__tiny_blend__score=0.55, surnames__tiny_blend__data="official")
    promote.main("surnames", force=False)

    assert Store(find_uri()).find_champion("surnames").version != before.version


@pytest.mark.parametrize(
    "file", ["trained/tiny_elman/weights.pt", "evaluated/tiny_blend/metrics.json"]
)
def test_a_workspace_that_departs_from_the_lock_is_refused(workspace, file):
    track.main(check=False)
    with (workspace / "data" / file).open("a", encoding="utf-8") as text:
        text.write(" ")

    with pytest.raises(InputError, match=f"{file} differs from dvc.lock"):
        promote.main("surnames", force=True)

    assert find_champion("surnames") is None


def test_a_model_without_a_run_cannot_be_promoted(workspace):
    with pytest.raises(InputError, match="tiny_blend has no run in MLflow: run `make sync` first"):
        promote.main("surnames", force=False)


def predict(workspace: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stages.commands.predict", *arguments],
        cwd=workspace,
        env=make_environment(workspace) | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predict_takes_the_workspace_where_nothing_is_registered(workspace):
    said = predict(workspace, "Yue Tingsong", "Schmidt", "ß")

    origin, _, first, second, third = said.splitlines()
    assert origin == "tiny_blend, best of the workspace"
    assert first.startswith("Yue Tingsong  ") and second.startswith("Schmidt       ")
    assert len(first[14:].split()) == 6  # three languages, three probabilities
    assert "no letter that the model knows" in third
    assert not (workspace / "mlflow.db").exists()


def test_predict_takes_the_champion(workspace):
    rescore(workspace, surnames__tiny_elman__score=0.7)
    promote.main("surnames", force=False)
    rescore(workspace, surnames__tiny_elman__score=0.2)

    said = predict(workspace, "Schmidt")

    assert said.startswith("tiny_elman, champion of surnames (version 1)")


@pytest.mark.slow
def test_champions_work_over_a_server_too(workspace, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", find_server())
    track.main(check=False)
    promote.main("surnames", force=False)

    said = predict(workspace, "Schmidt", MLFLOW_TRACKING_URI=find_server())
    lineage.main("tiny_blend")

    assert said.startswith("tiny_blend, champion of surnames")
    assert f"run {find_server()}/#/experiments/" in capsys.readouterr().out


def test_predict_prints_json_with_one_object_a_name(workspace):
    answers = json.loads(predict(workspace, "Yue Tingsong", "Schmidt", "--json"))

    assert [answer["name"] for answer in answers] == ["Yue Tingsong", "Schmidt"]
    for answer in answers:
        assert [set(guess) for guess in answer["top"]] == [{"language", "probability"}] * 3
        probabilities = [guess["probability"] for guess in answer["top"]]
        assert sorted(probabilities, reverse=True) == probabilities
        assert 0 < sum(probabilities) <= 1


def test_forecast_writes_csv_and_png(workspace):
    rows = "\n".join(f"{i},{i / 10}" for i in range(30))
    (workspace / "series.csv").write_text(f"t,y\n{rows}\n", encoding="utf-8")

    run(workspace, "python -m stages.commands.forecast series.csv y out.csv --horizon 4")

    lines = (workspace / "out.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "step,y"
    assert [line.split(",")[0] for line in lines[1:]] == ["30", "31", "32", "33"]
    assert (workspace / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("t,z\n1,2\n", r"no column y \(t, z\)"),
        ("", "no column y"),
        ("t,y\n1,high\n", "'high'"),
        ("t,y\n1,nan\n", "NaN"),
    ],
)
def test_forecast_says_what_is_wrong_with_a_file(tmp_path, content, reason):
    (tmp_path / "series.csv").write_text(content, encoding="utf-8")

    with pytest.raises(InputError, match=reason):
        forecast.read_column(tmp_path / "series.csv", "y")


def test_lineage_leads_from_the_data_to_the_run(workspace, capsys):
    track.main(check=False)
    [model] = [m for m in read_models() if m.name == "tiny_rnn"]
    [made] = Store(find_uri()).find_runs(model.key)
    capsys.readouterr()

    lineage.main("tiny_rnn")

    data, weights, scores, _, address = capsys.readouterr().out.splitlines()
    assert data.split() == [*model.data.popitem(), "preprocess_sine"]
    path = "data/trained/tiny_rnn/weights.pt"
    assert weights.split() == [path, model.md5s[path], "train_sine@tiny_rnn"]
    path = "data/evaluated/tiny_rnn/metrics.json"
    assert scores.split() == [path, model.md5s[path], "evaluate_sine@tiny_rnn"]
    assert made.info.run_id in address and "mlflow.db" in address


def test_lineage_says_that_a_run_is_missing(workspace, capsys):
    lineage.main("tiny_rnn")

    assert "run is missing" in capsys.readouterr().out
    assert not (workspace / "mlflow.db").exists()


def test_lineage_knows_the_models(workspace):
    with pytest.raises(InputError, match="no model nobody: choose one of tiny_blend, tiny_elman"):
        lineage.main("nobody")
