import numpy as np
import pytest

from benchmarks import m3
from benchmarks.data import Bench
from benchmarks.m3 import COMBINATION, NETWORK, RECIPES, SEASONS, TRIALS, Forecasts, Panel
from stages.shared.tables import read_table

SEASON = np.array([1.2, 0.8, 0.9, 1.1])


def make_panel(num_series=4, season=4, horizon=8):
    generator = np.random.default_rng(0)
    training, targets = [], []
    for row in range(num_series):
        times = np.arange(40 + row % 2)
        noise = np.exp(0.01 * generator.standard_normal(len(times)))
        samples = 100 * (row + 1) * SEASON[times % 4] * noise
        training.append(samples[:-horizon])
        targets.append(samples[-horizon:])
    return Panel(training, np.array(targets), season)


def test_validation_is_the_end_of_the_training_part():
    panel = make_panel()

    held_out = m3.hold_out(panel)

    for before, after, targets in zip(
        panel.training, held_out.training, held_out.targets, strict=True
    ):
        np.testing.assert_array_equal(np.concatenate([after, targets]), before)


def test_naive_repeats_the_season():
    panel = make_panel()

    errors = m3.measure_errors(panel, m3.forecast_naive(panel))

    assert errors["smape"].max() < 5
    assert m3.measure_errors(panel, Forecasts(np.full((4, 8), 100.0), 0))["smape"].min() > 10


def test_errors_are_those_of_the_competition():
    panel = Panel([np.array([1.0, 3.0, 1.0]), np.ones(3)], np.array([[2.0], [2.0]]), 1)

    errors = m3.measure_errors(panel, Forecasts(np.array([[1.0], [2.0]]), 0))

    assert errors["smape"].tolist() == pytest.approx([200 / 3, 0])
    np.testing.assert_array_equal(errors["mase"], [0.5, np.nan])  # it never changes


def test_the_report_compares_in_pairs():
    parts = {"quarterly": make_panel(30)}
    targets = parts["quarterly"].targets
    methods = {
        name: {"quarterly": Forecasts(targets * factor, 1.0)}
        for name, factor in {
            "Theta": 1.2,
            "AutoETS": 1.01,
            m3.BOTH: 1.1,
            NETWORK: 1.1,
            COMBINATION: 1.05,
            "Naive2": 1.2,
        }.items()
    }

    report = m3.render_report(parts, methods)

    own = next(line for line in report.splitlines() if line.startswith("| network | 9.52 / "))
    assert own.endswith("| 0.512 | 1 |")  # OWA: half the error of Naive2
    network = next(line for line in report.splitlines() if "network before Theta, smape" in line)
    assert "+8.658 [+8.658, +8.658] ahead" in network
    network = next(line for line in report.splitlines() if "network before AutoETS, mase" in line)
    assert network.count("behind") == 2


def test_every_group_has_a_recipe_that_trains(tmp_path):
    parts = {name: make_panel(4, season, 6) for name, season in SEASONS.items()}
    bench = Bench(tmp_path, tmp_path)
    assert not bench.search

    for name, recipe in RECIPES.items():
        short = m3.replace(recipe, updates=2, seeds=1)
        forecasts = m3.forecast_with_networks(name, parts, short)
        assert np.isfinite(forecasts.values).all() and forecasts.seconds > 0


def test_recipes_are_those_of_the_search():
    trials = read_table(TRIALS)

    for name, recipe in RECIPES.items():
        assert m3.describe_recipe(recipe) in [
            row["tried"] for row in trials if row["group"] == name and row["kind"] == NETWORK
        ]
    of_all_groups = [row for row in trials if row["group"] == m3.ALL]
    best = min(of_all_groups, key=lambda row: float(row["owa"]))
    assert best["tried"] == " + ".join(m3.COMBINED)
