"""Scores above their baselines, answers beside answers, layers below one another."""

import shutil
import subprocess
import sys

import pytest

from stages.cli import results
from stages.cli.results import CLASSIFIER_COLUMNS, FORECASTER_COLUMNS
from stages.cli.text import align
from stages.layers.tour import Row, tour_layers
from stages.shared.errors import InputError
from stages.shared.json_files import write_json
from stages.shared.tables import write_table
from stages.tracking.leaderboards import Ranking, find_ranking, find_scores
from stages.tracking.run_specs import TOUR
from tests.pipeline import read_scores
from tests.shell import make_environment, run
from tests.workspace import ask_again, rescore

TOUR_TITLE = "layers, each after its number of parameters, and below it the shapes of its weights"
LOW = Ranking("validation/error", "error", -1)
COLUMNS = {"validation/error": ("", ""), "error": ("", ""), "rarely": ("", "")}
MODELS = {
    "slow": {"data": "waves", "error": 0.5, "validation": {"error": 0.5}},
    "fast": {
        "data": "waves",
        "error": 0.75,
        "validation": {"error": 0.125},
        "intervals": {"error": {"low": 0.5, "high": 1.0}},
    },
    "odd": {"data": "steps", "error": 0.0, "rarely": 1.0, "validation": {}},
    "best": {"data": "steps", "baseline": "ar2", "error": 0.5, "validation": {"error": 0.25}},
}
BASELINES = {
    "waves": {
        "hold_last": {"error": 0.1, "validation": {"error": 0.9}},
        "ar2": {"error": 0.25, "validation": {"error": 0.8}},
    },
    "steps": {"hold_last": {"error": 0.125, "validation": {"error": 0.5}}},
}


def test_the_best_of_each_data_is_first_and_marked_above_the_best_baseline():
    rows = results.list_rows(MODELS, BASELINES, LOW, COLUMNS, (".3f", ".2f"))

    assert rows == [
        ("* fast", "0.125", "0.750 ±0.25", "-"),
        ("  slow", "0.500", "0.500", "-"),
        ("   waves: ar2", "0.800", "0.250", "-"),
        ("* ar2 (steps)", "0.250", "0.500", "-"),  # a model that is the best baseline
        ("  odd", "-", "0.000", "1.000"),
        ("   steps: hold_last", "0.500", "0.125", "-"),
    ]


def test_where_more_is_better_the_largest_score_is_first():
    scores = {"small": {"share": 0.25}, "large": {"share": 0.75}, "none": {}}

    assert results.rank(scores, "share", 1) == ["large", "small", "none"]


def test_the_scores_of_the_workspace_are_those_of_scores_json(workspace, capsys):
    rescore(workspace, "surname_gru", 0.7)

    results.main()

    lines = capsys.readouterr().out.splitlines()
    start = lines.index(
        "surnames: shares of names ± half of the 95 % interval; best by validation/macro_f1 first"
    )
    rows = [line.split() for line in lines[start + 3 : start + 8]]
    scores = read_scores(workspace, "surname_gru")
    validation, test = scores["validation"]["macro_f1"], scores["macro_f1"]
    assert rows[0][:4] == ["*", "surname_gru", f"{validation:.3f}", f"{test:.3f}"]
    others = ["surname_blend", "surname_ngrams", "surname_markov", "official:"]
    assert [row[0] for row in rows[1:]] == others
    assert rows[4][1:4] == ["majority", "0.100", "0.100"]


@pytest.mark.parametrize(
    ("task", "columns", "model", "data", "baseline", "score", "digits"),
    [
        (
            "forecasting",
            FORECASTER_COLUMNS,
            "windowed_lstm_fast",
            "integer_starts",
            "copy_period",
            1.5e-17,
            (".2g", ".1g"),
        ),
        (
            "surnames",
            CLASSIFIER_COLUMNS,
            "surname_ngrams",
            "official",
            "majority",
            1.2345,
            (".3f", ".3f"),
        ),
    ],
)
def test_the_tables_of_the_published_models_fit_into_100_columns(
    task, columns, model, data, baseline, score, digits
):
    scores = {column.removeprefix("validation/"): score for column in columns}
    intervals = {}
    for column in columns:
        if "/" not in column and column != "walkthrough_mse":
            intervals[column] = {"low": 0.0, "high": score}
    labels = {"data": data, "horizon_long": 500}
    metrics = {**labels, "validation": scores, "intervals": intervals} | scores
    beside = {data: {baseline: metrics}}
    top, bottom = zip(*columns.values(), strict=True)

    ranking = find_ranking(task, metrics)
    rows = results.list_rows({model: metrics}, beside, ranking, columns, digits)

    table = align([("model", *top), ("   data: best baseline", *bottom), *rows])
    assert max(len(line) for line in table.splitlines()) <= 100


def test_the_titles_fit_into_100_columns(workspace, capsys):
    results.main()

    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 100


def test_each_classifier_has_its_best_languages_of_every_query(workspace, capsys):
    ask_again(workspace, "surname_gru", ("English", -0.5))

    results.main()

    lines = capsys.readouterr().out.splitlines()
    start = lines.index("queries: the likeliest languages and their log-probabilities")
    assert [line.split() for line in lines[start + 1 : start + 6]] == [
        ["model", "Yue", "Tingsong", "test", "your", "name"],
        ["surname_blend", "German", "-1.31", "Polish", "-0.25"],
        ["Spanish", "-4.00", "Spanish", "-4.00"],
        ["surname_gru", "English", "-0.50", "English", "-0.50"],
        ["Spanish", "-4.00", "Spanish", "-4.00"],
    ]


def test_a_query_without_an_answer_has_a_dash():
    row = {"query": "Li", "rank": "1", "language": "Chinese", "log_probability": "-0.1"}

    table = results.list_answers({"first": [row], "second": []})

    assert table == [("model", "Li"), ("first", "Chinese -0.10"), ("second", "-")]


def test_a_query_has_a_row_for_each_rank():
    ranked = [("Chinese", -0.1), ("Korean", -2.5), ("Irish", -3.0)]
    rows = [
        {"query": "Li", "rank": f"{rank}", "language": language, "log_probability": f"{logarithm}"}
        for rank, (language, logarithm) in enumerate(ranked, start=1)
    ]

    _, *table = results.list_answers({"first": rows})

    assert table == [("first", "Chinese -0.10"), ("", "Korean -2.50"), ("", "Irish -3.00")]


def test_the_published_queries_fit_into_100_columns_however_many_models_answer():
    queries = ("Yue Tingsong", "Yue tingsong", "yutingsong", "test your name")
    answer = {"rank": "1", "language": "Vietnamese", "log_probability": "-1.31"}
    rows = [{"query": query, **answer} for query in queries]
    models = [f"surname_model_{number}" for number in range(20)]

    table = align(results.list_answers(dict.fromkeys(models, rows)))

    assert max(len(line) for line in table.splitlines()) <= 100


def test_the_layer_tour_is_printed(workspace, capsys):
    results.main()

    lines = capsys.readouterr().out.splitlines()
    start = lines.index(TOUR_TITLE)
    assert lines[start + 1].split() == [*("count", "module", "input", "output", "final", "states")]
    assert lines[start + 2] == " 2440 RNN(100, 20)  (10, 3, 100)  (10, 3, 20)  h (1, 3, 20)"
    assert lines[start + 3] == "    weight_ih (20, 100); weight_hh (20, 20)"


def test_the_whole_layer_tour_fits_into_100_columns(workspace, capsys):
    write_table(workspace / TOUR / "layers.csv", Row._fields, tour_layers())

    results.main()

    lines = capsys.readouterr().out.splitlines()
    tour = lines[lines.index(TOUR_TITLE) :]
    assert len(tour) == 2 + 2 * len(tour_layers()) and max(map(len, tour)) <= 100
    assert tour[4].startswith(" 4960 RNN(100, 20, num_layers=4)  ")  # and not as that of one layer


def test_missing_results_are_not_printed(workspace, capsys):
    shutil.rmtree(workspace / "data/plotted/layers")
    for path in workspace.glob("data/evaluated/details/surnames/*/queries.csv"):
        path.unlink()

    results.main()

    said = capsys.readouterr().out
    assert "surname_gru" in said and "queries" not in said and "layers" not in said


def test_a_fresh_clone_says_how_to_get_results(workspace, monkeypatch):
    run(workspace, "git clone -q . ../fresh")
    monkeypatch.chdir(workspace.parent / "fresh")

    with pytest.raises(InputError, match=r"there are no results yet: `make repro` makes them"):
        results.main()


def test_a_reader_that_closes_the_pipe_gets_no_traceback(workspace):
    buffered = {"PYTHONUNBUFFERED": ""}  # then the pipe is met as late as it can be
    command = subprocess.Popen(
        [sys.executable, "stages/run.py", "cli", "results"],
        cwd=workspace,
        env=make_environment(workspace) | buffered,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    command.stdout.close()  # what `| head` does once it has its lines

    assert command.stderr.read() == b""
    assert command.wait() == 1
    command.stderr.close()


def test_the_table_of_a_file_has_its_own_horizons_the_longest_first():
    scores = {"mse_5": 0.2, "mse_11": 0.3, "mase_11": 0.9}
    labels = {"data": "sunspots", "horizon_long": 11}
    scored = {**labels, **scores, "interval_coverage": 0.5, "validation": scores}

    columns = results.list_columns({"sunspots_rnn": scored})

    assert list(columns) == [
        "validation/mase_11",
        "mase_11",
        "mse_5",
        "mse_11",
        "interval_coverage",
        "origins",
    ]


def test_large_errors_of_a_file_fit_100_columns(workspace, capsys):
    intervals = {name: {"low": 1e7, "high": 9.87654e7} for name in ("mse_1", "mse_12")}
    intervals["mase_12"] = {"low": 0.5, "high": 1.5}
    scores = {"mse_1": 1.23456e7, "mse_12": 7.65432e7, "mase_12": 0.98765}
    described = {
        "data": "a_name_of_some_length",
        "horizon_short": 1,
        "horizon_long": 12,
        **scores,
        "intervals": intervals,
        "validation": scores,
        "interval_coverage": 0.81234,
        "origins": 25.0,
    }
    write_json(find_scores("forecasting", "carried_rnn"), described)

    results.main()

    table = capsys.readouterr().out.partition("a_name_of_some_length: ")[2].splitlines()[:4]
    assert max(map(len, table)) <= 100
    assert "0.9877 ±0.5" in table[-1] and "1.235e+07 " in table[-1]


def test_control_characters_in_scores_are_escaped(workspace, capsys):
    rescore(workspace, "surname_gru", 0.7, data="official\x1b]0;title\x07\x1b[2J")

    results.main()

    printed = capsys.readouterr().out
    assert printed.replace("\n", "").isprintable() and r"official\x1b]0;title" in printed
