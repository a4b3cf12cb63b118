"""Names in, languages out: by a named model, the champion, or else the best of the workspace."""

import csv
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from stages.cli import lineage, promote
from stages.cli import predict as cli_predict
from stages.shared.checkpoints import read_model
from stages.shared.errors import InputError
from stages.surnames.alphabet import encode_name
from stages.surnames.names import PUBLISHED_QUERIES
from stages.tracking import track
from stages.tracking.leaderboards import read_champions, write_champion
from stages.tracking.load_model import load_champion, load_named
from stages.tracking.served_models.loader import Classifier, Forecaster
from tests.shell import call_srn, find_server
from tests.store import fill
from tests.workspace import SYMBOLS, rescore, retrain

SCORED = {"language", "probability", "log_probability"}


def predict(workspace: Path, *arguments: str, **environment: str) -> str:
    done = call_srn(workspace, "predict", *arguments, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_it_takes_the_workspace_where_there_is_no_champion(workspace):
    said = predict(workspace, "Yue Tingsong", "Schmidt")

    origin, _, first, second = said.splitlines()
    assert origin == "surname_blend, best of the workspace"
    assert first.startswith("Yue Tingsong ") and second.startswith("Schmidt ")
    assert len(first.removeprefix("Yue Tingsong").split()) == 6  # three languages, three numbers
    assert not (workspace / "mlflow.db").exists()


@pytest.mark.slow
def test_it_takes_the_champion_though_another_model_is_better_by_now(workspace):
    promote.main("surnames", force=False)
    rescore(workspace, "surname_gru", 0.7)

    said = predict(workspace, "Schmidt")

    assert said.startswith("surname_blend, champion of surnames\n")


def test_a_champion_that_was_trained_again_predicts_from_the_cache(workspace):
    promote.main("integer_starts", force=False)
    before = load_champion(Forecaster, "integer_starts", from_mlflow=False)
    retrain(workspace, "carried_rnn", seed=1)

    after = load_champion(Forecaster, "integer_starts", from_mlflow=False)

    assert before.origin == after.origin == "carried_rnn, champion of integer_starts"
    for old, new in zip(list_weights(before), list_weights(after), strict=True):
        assert torch.equal(old, new)
    named = load_named(Forecaster, "forecasting", "carried_rnn")
    assert not torch.equal(list_weights(named)[0], list_weights(before)[0])


def list_weights(loaded):
    return list(loaded.model.model.parameters())


def test_without_the_champions_files_the_best_model_predicts_and_this_is_printed(workspace):
    promote.main("surnames", force=False)
    entry = read_champions()["surnames"]
    lost = dict.fromkeys(entry.files, "0" * 32)
    write_champion("surnames", entry.model_copy(update={"files": lost}))

    said = predict(workspace, "Schmidt")

    assert "surname_blend, best of the workspace\n" in said
    assert "the champion surname_blend is not here: `make pull` or --from-mlflow gets it" in said


def test_a_named_model_predicts_from_the_workspace(workspace):
    promote.main("surnames", force=False)

    said = predict(workspace, "Schmidt", "--model", "surname_ngrams")

    assert said.startswith("surname_ngrams of the workspace\n")


@pytest.mark.slow
def test_a_named_model_without_files_predicts_the_same_from_the_cache(workspace):
    before = predict(workspace, "Schmidt", "--model", "surname_ngrams", "--log")
    shutil.rmtree(workspace / "data/trained/surname_ngrams")

    said = predict(workspace, "Schmidt", "--model", "surname_ngrams", "--log")

    origin, *answers = said.splitlines()
    assert origin == "surname_ngrams from DVC's cache"
    assert answers == before.splitlines()[1:]


def test_it_reports_that_a_named_model_is_missing(workspace):
    shutil.rmtree(workspace / "data/trained/surname_ngrams")
    shutil.rmtree(workspace / ".dvc/cache")

    with pytest.raises(InputError, match=r"config.json is missing: run `make pull`"):
        load_named(Classifier, "surnames", "surname_ngrams")


# From MLflow


def forget_results(workspace):
    """As in a clone that has pulled nothing."""
    for folder in ("data/trained", "data/evaluated", "data/preprocessed", ".dvc/cache"):
        shutil.rmtree(workspace / folder)


def test_the_champions_weights_come_from_mlflow_on_request(workspace):
    promote.main("surnames", force=False)
    fill(workspace)
    before = predict(workspace, "Schmidt")
    forget_results(workspace)

    said = predict(workspace, "Schmidt", "--from-mlflow")

    origin, *answers = said.splitlines()
    assert origin == "surname_blend, champion of surnames (version 1 in MLflow)"
    assert answers == before.splitlines()[1:]


def test_code_that_somebody_put_into_mlflow_is_never_run(workspace):
    promote.main("surnames", force=False)
    fill(workspace)
    evil = "open('ran', 'w')\n"
    for package in workspace.glob("mlartifacts/surnames/models/*/artifacts/artifacts/package.zip"):
        poison(package, evil, weights=None)
    for path in workspace.glob("mlartifacts/surnames/models/*/artifacts/**/*.py"):
        path.write_text(evil, encoding="utf-8")
    forget_results(workspace)

    said = predict(workspace, "Schmidt", "--from-mlflow")

    assert said.startswith("surname_blend, champion of surnames (version 1 in MLflow)")
    assert not (workspace / "ran").exists()


def test_weights_in_mlflow_that_are_not_those_of_champions_yaml_are_rejected(workspace):
    promote.main("surnames", force=False)
    fill(workspace)
    for package in workspace.glob("mlartifacts/surnames/models/*/artifacts/artifacts/package.zip"):
        poison(package, "", weights=b"others")

    with pytest.raises(InputError, match=r"no version of surnames with the md5s of champions.yaml"):
        load_champion(Classifier, "surnames", from_mlflow=True)


def poison(package, code, weights):
    """Write other code into a package, and other weights if some are given."""
    with zipfile.ZipFile(package) as whole:
        files = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(package, "w") as changed:
        for name, content in files.items():
            if name.endswith(".py"):
                content = code.encode()
            if name == "weights.pt" and weights:
                content = weights
            changed.writestr(name, content)


def test_without_a_champion_nothing_comes_from_mlflow(workspace):
    with pytest.raises(InputError, match=r"champions.yaml has no champion of surnames"):
        load_champion(Classifier, "surnames", from_mlflow=True)


def test_more_than_three_languages_are_several_lines(workspace):
    said = predict(workspace, "Yue Tingsong", "--model", "surname_gru", "--top", "4")

    first, second = said.splitlines()[2:]
    assert first.startswith("Yue Tingsong  ") and len(first.split()) == 8
    assert second.startswith(" " * len("Yue Tingsong  ")) and len(second.split()) == 2


@pytest.mark.parametrize("name", ["nobody", "carried_rnn"])
def test_it_names_the_models_that_know_surnames(workspace, name):
    known = "surname_blend, surname_gru, surname_markov, surname_ngrams"

    with pytest.raises(InputError, match=f"no model {name} of surnames: choose one of {known}$"):
        load_named(Classifier, "surnames", name)


def test_log_probabilities_are_the_network_s_own(workspace):
    model = read_model(workspace / "data/trained/surname_gru")
    letters = torch.tensor([encode_name("Schmidt", SYMBOLS)])
    with torch.no_grad():
        best = model(letters, torch.tensor([7]))[0].max()

    said = predict(workspace, "Schmidt", "--model", "surname_gru", "--top", "1", "--log")

    assert said.split()[-1] == f"{best:.2f}"


@pytest.mark.slow
def test_champions_work_over_a_server_too(workspace, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", find_server())
    promote.main("surnames", force=False)
    track.main(champions=True)
    lineage.main("surname_blend")
    forget_results(workspace)

    said = predict(workspace, "Schmidt", "--from-mlflow", MLFLOW_TRACKING_URI=find_server())

    assert said.startswith("surname_blend, champion of surnames (version")
    assert f"run {find_server()}/#/experiments/" in capsys.readouterr().out


def test_walkthrough_predictions_are_the_networks_own(workspace):
    printed = predict(workspace, "Schmidt", "--model", "surname_gru", "--walkthrough")
    published = predict(workspace, "--model", "surname_gru", "--walkthrough")

    logs = predict(workspace, "Schmidt", "--model", "surname_gru", "--log").splitlines()[-1].split()
    origin, _, *answer = printed.splitlines()
    assert origin == "surname_gru of the workspace"
    pairs = zip(logs[1::2], logs[2::2], strict=True)
    assert answer == ["> Schmidt", *(f"({logarithm}) {language}" for language, logarithm in pairs)]
    names = [line for line in published.splitlines() if line.startswith("> ")]
    assert names == [f"> {name}" for name in PUBLISHED_QUERIES]


def test_walkthrough_predictions_are_made_by_the_published_network(workspace):
    with pytest.raises(InputError, match="no model surname_rnn of surnames"):
        predict_here([], as_published=True)


def test_json_has_one_object_a_name(workspace):
    answers = json.loads(predict(workspace, "Yue Tingsong", "Schmidt", "--json"))

    assert [answer["name"] for answer in answers] == ["Yue Tingsong", "Schmidt"]
    for answer in answers:
        assert [set(guess) for guess in answer["top"]] == [SCORED] * 3
        probabilities = [guess["probability"] for guess in answer["top"]]
        assert sorted(probabilities, reverse=True) == probabilities
        assert 0 < sum(probabilities) <= 1


@pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["table", "json"])
def test_control_characters_in_a_name_are_escaped(workspace, arguments):
    name = "M\x1b]0;title\x07\x1b[2J\x9b5n\u202e"

    said = predict(workspace, *arguments, name)

    assert said.replace("\n", "").isprintable() and "title" in said
    if arguments:
        assert json.loads(said)[0]["name"] == name


# A file


def predict_file(workspace, content, **options):
    source, out = workspace / "queries.csv", workspace / "queries_predicted.csv"
    source.write_bytes(content)
    predict_here([], file=source, **options)
    with out.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def predict_here(names, top=3, **options):
    cli_predict.main(names, None, top, False, False, False, **options)


def test_predictions_for_a_file_keep_its_rows_and_their_order(workspace, capsys):
    rows = ["7;Schmidt", '8;"Van\nHalen"', "9;ß", "10", f"11;{'x' * 1001}"]

    header, *answers = predict_file(workspace, "\n".join(["id;name", *rows]).encode(), top=2)
    predict_here(["Schmidt"], top=2)

    assert header == ["id", "name", "label_1", "probability_1", "label_2", "probability_2", "note"]
    assert [row[0] for row in answers] == ["7", "8", "9", "10", "11"]
    assert [row[-1] for row in answers] == [
        *["", "", "no known letter", "no known letter", "more than 1,000 letters"]
    ]
    said = capsys.readouterr().out
    assert "5 names, 3 of them marked in the column note -> " in said
    best, probability = answers[0][2:4]
    assert f"Schmidt  {best:10} {float(probability):.2f}" in said


def test_predictions_below_a_probability_are_marked(workspace, capsys):
    header, answer = predict_file(workspace, b"name\nSchmidt\n", unsure=0.99)
    predict_here(["Schmidt"], unsure=0.99)

    assert header[-1] == "note" and answer[-1] == "unsure"
    assert capsys.readouterr().out.endswith("  unsure\n")


def test_chunks_and_batches_do_not_change_a_prediction(workspace, monkeypatch):
    table = ("name\n" + "Li\nSchmidt\nYue Tingsong\n" * 5).encode()
    whole = predict_file(workspace, table)
    monkeypatch.setattr(cli_predict, "_CHUNK", 2)

    assert predict_file(workspace, table) == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Name\nSchmidt\n", "has the columns 'Name': name its columns name in the first"),
        (b"name\nM\xfcller\n", "is not a CSV file in UTF-8"),
    ],
)
def test_a_file_of_another_kind_is_a_one_line_error_and_nothing_is_written(
    workspace, content, message
):
    with pytest.raises(InputError, match=message):
        predict_file(workspace, content)

    assert not [*workspace.glob("*queries_predicted.csv")]


def test_a_pipe_or_a_missing_file_is_rejected_at_once(workspace):
    os.mkfifo(workspace / "pipe.csv")

    for name in ("pipe.csv", "missing.csv"):
        with pytest.raises(InputError, match=f"{name} is not a regular file"):
            predict_here([], file=workspace / name)


def test_an_endless_line_is_not_read_to_its_end(workspace):
    with (workspace / "sparse.csv").open("wb") as file:
        file.truncate(2**36)  # 64 GiB of nothing

    with pytest.raises(InputError, match="has a line of more than 1,048,576 letters: rejected"):
        predict_here([], file=workspace / "sparse.csv")


def test_the_file_that_is_read_is_not_overwritten(workspace):
    (workspace / "queries.csv").write_text("name\nSchmidt\n", encoding="utf-8")

    with pytest.raises(InputError, match="is the input: name another file with --out"):
        predict_here([], file=workspace / "queries.csv", out=workspace / "queries.csv")


@pytest.mark.parametrize("name", ["ß", "...", "123"])
def test_a_name_without_known_letters_is_an_error(workspace, name):
    with pytest.raises(InputError, match="has no letter or digit that the model knows"):
        predict_here(["Schmidt", name])
