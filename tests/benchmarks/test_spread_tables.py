from benchmarks.spread_tables import tabulate_rnn, tabulate_series
from benchmarks.surname_spread import CHECKPOINTS, STARTS, Result
from tests.benchmarks.test_forecasting_spread import PHASES, make_result


def test_a_row_has_the_number_of_trainings_and_the_spread_of_each_score():
    results = []
    for accuracy in (0.5, 0.625, 0.55):
        metrics = {"accuracy": accuracy, "macro_f1": 0.25, "macro_f1_adjusted": 0.375}
        results.append(Result(CHECKPOINTS, 0, metrics, None))
        results.append(Result(STARTS, 0, metrics | {"accuracy": 0.75}, None))

    lines = tabulate_rnn(results).splitlines()[2:]

    spreads = "0.25 [0.25–0.25] | 0.375 [0.375–0.375]"
    assert lines == [
        f"| surname_rnn along its last updates | 3 | 0.55 [0.5–0.625] | {spreads} |",
        f"| surname_rnn from scaled first weights | 3 | 0.75 [0.75–0.75] | {spreads} |",
    ]


def score(result, value):
    result.scores["mse_49"] = value
    return result


def test_a_network_is_below_the_baselines_with_its_improvement_over_the_best():
    results = [
        score(make_result("net", 0, [1.0] * PHASES), 1.0),
        score(make_result("net", 1, [3.0] * PHASES), 3.0),
        score(make_result("ridge", 0, [4.0] * PHASES), 4.0),
        score(make_result("ridge", 1, [6.0] * PHASES), 6.0),
    ]

    rows = tabulate_series(results, ["mse_49"], ["mse_49", "mse_500"])

    spread = "1 [1–1]"  # of validation
    improvement = "+3 [+3, +3] ridge: ahead"
    assert rows == [
        ["*ridge*", "2", "5 [4–6]", spread, spread, "–", "–"],
        ["`net`", "2", "2 [1–3]", spread, spread, improvement, improvement],
    ]
