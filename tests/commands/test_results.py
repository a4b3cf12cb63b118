"""Scores beside baselines, answers beside answers, layers below one another."""

import shutil

from stages.commands import results
from stages.commands.text import align
from tests.workspace import ask_again, rescore

SINE = {
    "fast": {
        "data": "waves",
        "one_step_mse": 0.1,
        "free_run_mse_49": 0.25,
        "baselines": {"ar2": {"one_step_mse": 0.5}},
    },
    "slow": {
        "data": "waves",
        "one_step_mse": 0.2,
        "baselines": {"ar2": {"one_step_mse": 0.5}},
    },
}


def test_baselines_come_first_and_once_for_all_models_of_their_data():
    rows = results.list_rows(SINE, ["one_step_mse", "free_run_mse_49"], ".2f")

    assert rows == [
        ("waves", "baseline", "ar2", "0.50", "-"),
        ("waves", "network", "fast", "0.10", "0.25"),
        ("waves", "network", "slow", "0.20", "-"),
    ]


def test_the_scores_of_the_workspace_are_printed_task_by_task(workspace, capsys):
    rescore(workspace, "surname_gru", 0.7)

    results.main()

    lines = capsys.readouterr().out.splitlines()
    assert lines.index("sine") < lines.index("surnames")
    rows = [line.split() for line in lines]
    assert [row for row in rows if "hold_last" in row] == [
        ["integer_starts", "baseline", "hold_last", "-", "-", "-", "0.9", "-"]
    ]
    [gru] = [row for row in rows if row[1:3] == ["network", "surname_gru"]]
    assert gru[:3] == ["official", "network", "surname_gru"] and "0.690" in gru


def test_each_query_has_the_best_language_of_every_classifier(workspace, capsys):
    ask_again(workspace, "surname_gru", ("English", -0.5))

    results.main()

    lines = capsys.readouterr().out.splitlines()
    start = lines.index("asked: the likeliest language and its log-probability")
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        ["query", "surname_blend", "surname_gru", "surname_markov", "surname_ngrams"],
        ["Yue", "Tingsong", "German", "-1.31", "English", "-0.50", *["German", "-1.31"] * 2],
        ["test", "your", "name", "Polish", "-0.25", "English", "-0.50", *["Polish", "-0.25"] * 2],
    ]


def test_a_query_that_a_classifier_was_not_asked_has_a_dash():
    row = {"query": "Li", "rank": "1", "language": "Chinese", "log_probability": "-0.1"}

    table = results.list_answers({"asked": [row], "spared": []})

    assert table == [("query", "asked", "spared"), ("Li", "Chinese -0.10", "-")]


def test_the_published_queries_fit_into_100_columns():
    queries = ("Yue Tingsong", "Yue tingsong", "yutingsong", "test your name")
    answer = {"rank": "1", "language": "Japanese", "log_probability": "-1.31"}
    rows = [{"query": query, **answer} for query in queries]
    models = ("surname_rnn", "surname_fast", "surname_gru", "surname_ngrams", "surname_blend")

    table = align(results.list_answers(dict.fromkeys(models, rows)))

    assert max(len(line) for line in table.splitlines()) <= 100


def test_the_layer_tour_is_printed(workspace, capsys):
    results.main()

    lines = capsys.readouterr().out.splitlines()
    start = lines.index("layers")
    assert lines[start + 1].split() == ["module", "input", "output", "final", "states"]
    assert lines[start + 2] == "RNN     (10, 3, 100)  (10, 3, 20)  h (1, 3, 20)"


def test_what_is_not_here_is_not_printed(workspace, capsys):
    shutil.rmtree(workspace / "data/plotted/layers")
    for path in workspace.glob("data/evaluated/*/asked.csv"):
        path.unlink()

    results.main()

    said = capsys.readouterr().out
    assert "surname_gru" in said and "asked" not in said and "layers" not in said
