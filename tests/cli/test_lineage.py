"""From the first data to the run."""

import pytest

from stages.cli import lineage
from stages.shared.errors import InputError
from tests.store import fill, find_run, find_spec

WINDOWS = "data/preprocessed/series/integer_starts.npz"


def test_it_leads_from_the_data_to_the_run(workspace, capsys):
    fill(workspace)
    model, made = find_spec("carried_rnn"), find_run("carried_rnn")
    capsys.readouterr()

    lineage.main("carried_rnn")

    said = capsys.readouterr().out
    data, _, address = said.partition("\n\n")
    rows = read_rows(data)
    makers = {path: stage for path, _, stage in rows}
    table = "data/generated/integer_starts.csv"
    weights = "data/trained/carried_rnn/weights.pt"
    scores = "data/evaluated/details/forecasting/carried_rnn/scores.json"
    assert [path for path in makers if path in (table, weights, scores)] == [
        table,
        weights,
        scores,
    ]
    assert makers[table] == "generate_series@integer_starts"
    assert makers[WINDOWS] == "preprocess_series@integer_starts"
    assert [weights, model.md5s[weights], "train_forecaster@carried_rnn"] in rows
    assert [scores, model.md5s[scores], "evaluate_forecaster@carried_rnn"] in rows
    assert made.info.run_id in address and "mlflow.db" in address
    assert max(len(line) for line in said.splitlines() if "mlflow.db" not in line) <= 100


def read_rows(said):
    """The path, md5 and stage of each file, which are two lines."""
    lines = said.splitlines()
    return [[path, *made.split()] for path, made in zip(lines[::2], lines[1::2], strict=True)]


def test_data_that_no_stage_made_are_given(workspace, capsys):
    lineage.main("surname_gru")

    code, names, *_ = read_rows(capsys.readouterr().out.partition("\n\n")[0])
    assert code[0] == "data/code" and code[2] == "follow_imports"
    assert names[0] == "data/sample" and names[2] == "given"


def test_it_reports_a_missing_run(workspace, capsys):
    lineage.main("carried_rnn")

    assert "run is missing" in capsys.readouterr().out
    assert not (workspace / "mlflow.db").exists()


def test_data_that_depend_on_themselves_are_reported(workspace):
    lock = workspace / "dvc.lock"
    text = lock.read_text(encoding="utf-8")
    start = text.index("    deps:\n", text.index("  download_surnames:\n")) + len("    deps:\n")
    dep = f"    - path: data/preprocessed/surnames/names.npz\n      md5: {'a' * 32}\n"
    lock.write_text(text[:start] + dep + text[start:], encoding="utf-8")

    with pytest.raises(InputError, match=r"dvc\.lock: \w+ reads what is made from its outs"):
        lineage.main("surname_gru")


def test_it_knows_the_models(workspace):
    with pytest.raises(InputError, match="no model nobody: choose one of carried_rnn, integer"):
        lineage.main("nobody")
