"""Section `surnames`: how soon a classifier reaches the test scores of its goals."""

import shlex
from dataclasses import replace
from functools import partial

import numpy as np
from torch import nn

from benchmarks.clock import ROOT, Turns
from benchmarks.data import Bench
from benchmarks.table import Row, at_least
from benchmarks.trial import Scores, Trial, run_trial, tabulate_trial
from benchmarks.updates import WARM_UP, make_surname_program
from stages.shared.params import read_params
from stages.shared.yaml_files import parse_yaml
from stages.surnames.assessment import EvaluateParams
from stages.surnames.blend import BlendParams, blend
from stages.surnames.evaluate import evaluate
from stages.surnames.train import ClassifierParams, Trained, train

BLEND = "surname_blend"
# Largest share of the published program's time, and lowest scores.
GOALS: dict[str, tuple[float, Scores]] = {
    "surname_fast": (1 / 150, {"accuracy": 0.604, "balanced_accuracy": 0.438}),  # as published
    "surname_gru": (0.2, {"accuracy": 0.79, "macro_f1_adjusted": 0.45}),
    "surname_ngrams": (0.05, {"accuracy": 0.82, "macro_f1_adjusted": 0.53}),
    "surname_markov": (0.02, {"accuracy": 0.82, "macro_f1_adjusted": 0.53}),
    BLEND: (0.25, {"accuracy": 0.84, "macro_f1_adjusted": 0.53}),
}
QUICK = ["surname_fast", "surname_ngrams"]


def measure(bench: Bench) -> list[Row]:
    """One row per classifier; the blend comes after its members."""
    published = make_surname_program(bench)
    published.literal(WARM_UP)
    trials: dict[str, Trial[Trained]] = {}
    rows = []
    for name in QUICK if bench.quick else GOALS:
        if name == BLEND:
            model, turns = blend_trials([trials[member] for member in list_members()])
        else:
            trials[name] = run_trial(partial(train_entry, name, bench), published, bench)
            model, turns = trials[name].trained.model, trials[name].turns
        rows.append(tabulate_classifier(name, model, turns, bench))
    return rows


def train_entry(name: str, bench: Bench) -> Trained:
    """Train an entry of `surnames` whole."""
    params = read_params(f"classifiers.{name}", ClassifierParams)
    return train(params, bench.splits.train, bench.vocabulary, name)


def list_members() -> list[str]:
    """Members of the blend, as dvc.yaml names them."""
    stages = parse_yaml((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    # python stages/run.py MODULE SURNAMES MEMBER... OUT
    folders = shlex.split(stages["blend_classifiers"]["cmd"])[4:-1]
    return [folder.rpartition("/")[2] for folder in folders]


def blend_trials(members: list[Trial[Trained]]) -> tuple[nn.Module, Turns]:
    """The blend, and its times: it costs what its members cost together."""
    params = read_params("blend_classifiers", BlendParams)
    models, configs, turns = [], [], []
    for member in members:
        models.append(member.trained.model.eval())
        configs.append(member.trained.config)
        turns.append(member.turns)
    assert params.official_weights
    model, _ = blend(models, configs, params.official_weights)
    return model, add_turns(turns)


def add_turns(members: list[Turns]) -> Turns:
    """Times and shares of several trainings together, as long as all were repeated."""
    num_repeats = min(len(turns.ours) for turns in members)
    seconds = np.zeros(num_repeats)
    shares = np.zeros(num_repeats)
    for turns in members:
        seconds += turns.ours[:num_repeats]
        shares += turns.shares[:num_repeats]
    return Turns(seconds.tolist(), (seconds / shares).tolist())


def tabulate_classifier(name: str, model: nn.Module, turns: Turns, bench: Bench) -> Row:
    """Training time and scores, with goals if the data are those that they were set for."""
    params = read_params("evaluate_classifiers", EvaluateParams)
    scores = evaluate(model.eval(), bench.splits, bench.vocabulary, params).scores
    share, bounds = GOALS[name]
    goals = [at_least(score, scores[score], bound) for score, bound in bounds.items()]
    row = tabulate_trial(name, turns, share, goals)
    return row if bench.vocabulary.data == "official" else replace(row, goals=[])
