import numpy as np
import pytest

from benchmarks.forecasting_spread import (
    Result,
    choose_baseline,
    measure_improvements,
    pool_errors,
    read_evaluation,
    try_baselines,
    try_entry,
)
from stages.shared.intervals import describe_difference
from stages.shared.params import read_value

SCORE = "mse_49"
HORIZONS = ("mse_49", "mse_500")
PHASES = 64


def make_result(name, draw, errors, validation=1.0):
    metrics = {"validation": dict.fromkeys(HORIZONS, validation)}
    return Result(name, "series", draw, metrics, dict.fromkeys(HORIZONS, np.array(errors)))


def test_errors_are_pooled_by_draw_one_row_per_training():
    results = [
        make_result("net", 0, [1.0, 3.0]),
        make_result("net", 1, [10.0, 30.0]),
        make_result("net", 0, [2.0, 5.0]),
        make_result("net", 1, [20.0, 50.0]),
    ]

    assert pool_errors(results, SCORE).tolist() == [
        [1.0, 3.0, 10.0, 30.0],
        [2.0, 5.0, 20.0, 50.0],
    ]


def test_improvement_is_the_error_of_the_best_baseline_on_validation_minus_the_models():
    own = [make_result("net", draw, [1.0 + draw] * PHASES) for draw in (0, 1)]
    good, bad = [], []
    for draw, validation in enumerate([9.0, 0.1]):
        good.append(make_result("good", draw, [2.0 + 2 * draw] * PHASES))
        bad.append(make_result("bad", draw, [0.0] * PHASES, validation))
    baselines = {"good": good, "bad": bad}

    improvement = measure_improvements(own, baselines)[SCORE]

    assert improvement.baseline == choose_baseline(baselines, SCORE) == "good"
    assert improvement.difference == pytest.approx(1.5)  # 2 - 1 and 4 - 2
    assert improvement.interval == pytest.approx(
        {"low": 1.5, "high": 1.5}
    )  # each draw keeps its phases


def test_an_improvement_with_only_some_seeds_is_within_the_noise():
    leads = [0.000, 0.014, 0.057, -0.013, -0.014]  # over all phases alike
    own = [make_result("net", 0, [0.07 - lead] * PHASES) for lead in leads]
    baselines = {"ridge": [make_result("ridge", 0, [0.07] * PHASES)]}

    improvement = measure_improvements(own, baselines)[SCORE]

    assert improvement.difference == pytest.approx(0.0088)
    assert describe_difference(improvement.interval) == "within the noise"


def test_no_draw_shares_test_phases_with_another_or_with_validation():
    given = read_value("evaluate_forecasters")

    seeds = []
    for draw in range(3):
        params = read_evaluation(draw)
        seeds.extend([params.seed, params.validation_seed])

    assert seeds[:2] == [given["seed"], given["validation_seed"]]
    assert len(set(seeds)) == 6


def test_a_forecaster_is_scored_on_every_draw_by_each_seed():
    first, second = try_entry("carried_rnn", 0, 2), try_entry("carried_rnn", 1, 2)
    baselines = try_baselines("integer_starts", 1)

    assert [result.draw for result in first] == [0, 1]
    errors = {result.scores[SCORE] for result in first + second}
    assert len(errors) == 4
    names = read_value("forecasting_baselines")
    assert [of.name for of in baselines] == [*names["names"], *names["periodic_names"]]
    assert baselines[0].errors[SCORE].shape == first[0].errors[SCORE].shape
