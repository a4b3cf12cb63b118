"""What the walk-throughs fix, entry by entry: params.yaml has to say the same.

A table of facts. Not in it are what no walk-through fixes: most seeds, and how often is printed.
"""

import math

import pytest

from stages.forecasting.signals import GeneratedParams
from stages.forecasting.train import ForecasterParams
from stages.shared.params import read_params
from stages.surnames.train import ClassifierParams

PLAIN = {  # all five take one example an update, and nothing beside the bare optimizer
    "batch": 1,
    "schedule": "constant",
    "weight_decay": 0.0,
    "momentum": False,
    "clip_norm": None,
}
PLAIN_SINE = PLAIN | {
    "first": None,  # all windows
    "closed_loop": None,  # one-step forecasts
    "refine": None,
    "precision": "float32",
}
TEN_RADIANS = {  # sin(linspace(s, s + 10, 50)) for s = 0, 1, 2, …
    "points": 50,
    "span": 10.0,
    "step": None,
    "period": 2 * math.pi,
    "noise": 0.0,
    "drift": 0.0,
    "trend": 0.0,
}

SERIES = {
    "carried_rnn": TEN_RADIANS | {"starts": {"count": 10, "apart": 1.0, "below": None}},
    "small_init_rnn": TEN_RADIANS | {"starts": {"count": 3, "apart": 1.0, "below": None}},
    "lagged_rnn": {  # sin(linspace(kπ, (k + 1)π, 21)) for k in 0..99
        "points": 21,
        "span": math.pi,
        "step": None,
        "starts": {"count": 100, "apart": math.pi, "below": None},
        "period": 2 * math.pi,
        "noise": 0.0,
        "drift": 0.0,
        "trend": 0.0,
    },
    "windowed_lstm": {  # sin(t · 2 · 3.1416 / 40) for t in 0..799
        "points": 800,
        "span": None,
        "step": 1.0,
        "starts": {"count": 1, "apart": 0.0, "below": None},
        "period": pytest.approx(40 * math.pi / 3.1416, abs=1e-8),
        "noise": 0.0,
        "drift": 0.0,
        "trend": 0.0,
    },
}
WINDOWS = {  # of all others a sample's target is the next one
    "windowed_lstm": {"window": 40, "test_points": 40},
}
TRAINING = {
    "carried_rnn": {
        "architecture": "sequence_forecaster",
        "network": {"cell": "rnn_tanh", "hidden": 10},
        "optimizer": "adam",
        "rate": 0.01,
        "iterations": 100,
        "order": "random",  # a segment is drawn for each iteration
        "carry_state": True,
    },
    "lagged_rnn": {
        "architecture": "sequence_forecaster",
        "network": {"cell": "rnn_tanh", "hidden": 32},
        "optimizer": "adam",
        "rate": 0.01,
        "iterations": 100,
        "order": "in_order",
        "carry_state": True,
    },
    "windowed_lstm": {
        "architecture": "window_forecaster",
        "network": {"cell": "lstm", "hidden": 50, "window": 40},
        "optimizer": "sgd",
        "rate": 0.01,
        "iterations": 10 * 720,  # epochs
        "mean_every": 720,
        "order": "in_order",
        "carry_state": False,  # zero at each window
        "seed": 42,
    },
    "small_init_rnn": {
        "architecture": "sequence_forecaster",
        "network": {"cell": "rnn_tanh", "hidden": 16, "init_std": 0.001},
        "optimizer": "adam",
        "rate": 0.01,
        "iterations": 6000,
        "order": "random",
        "carry_state": True,
    },
}
SURNAME_TRAINING = PLAIN | {
    "architecture": "elman_classifier",
    "network": {"hidden": 128},
    "optimizer": "sgd",
    "rate": 0.005,
    "iterations": 200_000,
    "mean_every": 5000,
    "sampling": "independent",
    "balance": 1.0,  # a language uniformly, then a name of it uniformly
    "sorted_batches": 1,
    "label_smoothing": 0.0,
    "seed": 1,
}
QUERIES = ["Yue Tingsong", "Yue tingsong", "yutingsong", "test your name"]


@pytest.mark.parametrize("model", TRAINING)
def test_a_sine_model_is_trained_as_its_walk_through_says(model):
    facts = PLAIN_SINE | TRAINING[model]

    params = read_params(f"forecasters.{model}", ForecasterParams).model_dump()

    assert {name: params[name] for name in facts} == facts


@pytest.mark.parametrize("model", SERIES)
def test_a_sine_model_reads_the_series_of_its_walk_through(model):
    facts = SERIES[model]
    name = read_params(f"forecasters.{model}.series", str)

    series = read_params(f"generated_series.{name}", GeneratedParams).model_dump()

    assert {field: series[field] for field in facts} == facts


@pytest.mark.parametrize("model", SERIES)
def test_a_series_is_cut_as_its_walk_through_says(model):
    name = read_params(f"forecasters.{model}.series", str)

    series = read_params(f"generated_series.{name}", GeneratedParams)

    cut = {"window": series.window, "test_points": series.test_points}
    assert cut == WINDOWS.get(model, {"window": None, "test_points": None})


def test_surname_rnn_is_trained_as_its_walk_through_says():
    params = read_params("classifiers.surname_rnn", ClassifierParams).model_dump()

    assert {name: params[name] for name in SURNAME_TRAINING} == SURNAME_TRAINING


def test_the_queries_are_those_of_the_walk_through():
    section = read_params("evaluate_classifiers", dict)

    assert section["queries"] == QUERIES
    assert section["top"] == 3
