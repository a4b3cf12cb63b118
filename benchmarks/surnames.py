"""Section `surnames`: how soon a classifier is as good as asked. Scores are of the test split."""

import shlex
from dataclasses import replace
from functools import partial

import numpy as np
import yaml
from torch import nn

from benchmarks.clock import ROOT
from benchmarks.data import Bench
from benchmarks.table import Row, at_least, say_seconds
from benchmarks.trial import Scores, Trial, run_trial, say_scores, tabulate_trial
from benchmarks.updates import WARM_UP, make_surname_program
from stages.models.blend_classifier import BlendClassifier
from stages.shared.bundle import build_network
from stages.shared.fit import seed_everything
from stages.shared.params import read_params
from stages.surnames.evaluate import EvaluateParams, classify_names, find_prior_strength, score
from stages.surnames.scores import score_guesses
from stages.surnames.train import SurnameParams, make_batches, train

BLEND = "surname_blend"
S3_SCORES = {"accuracy": 0.604, "balanced_accuracy": 0.438}
CHECK_EVERY = 5000  # updates of S3 between two looks at its scores
# Largest share of 1 S3, and lowest scores.
GOALS: dict[str, tuple[float, Scores]] = {
    "surname_fast": (1 / 150, S3_SCORES),
    "surname_gru": (0.32, {"accuracy": 0.80, "macro_f1_corrected": 0.50}),
    "surname_ngrams": (0.05, {"accuracy": 0.82, "macro_f1_corrected": 0.53}),
    BLEND: (0.43, {"accuracy": 0.83, "macro_f1_corrected": 0.53}),
}
QUICK = ["surname_fast", "surname_ngrams"]


def measure(bench: Bench) -> list[Row]:
    """One row a classifier, and one for the moment when S3 is as good as the fast one."""
    s3 = make_surname_program(bench)
    s3.literal(WARM_UP)
    weights, members = read_blend()
    names = QUICK if bench.quick else dict.fromkeys([*GOALS, *members])
    trials = {
        name: run_trial(partial(train_entry, name, bench), s3, bench)
        for name in names
        if name != BLEND
    }
    if not bench.quick:
        trials[BLEND] = blend_trials([trials[member] for member in members], weights)
    rows = [tabulate_classifier(name, trials[name], bench) for name in GOALS if name in trials]
    return rows if bench.quick else [*rows, measure_milestone(trials["surname_fast"], bench)]


def train_entry(name: str, bench: Bench) -> nn.Module:
    """Train an entry of `surnames` whole."""
    params = read_params(f"surnames.{name}", SurnameParams).model_copy(update={"print_every": None})
    return train(params, bench.splits["train"], bench.vocabulary, name)[0]


def read_blend() -> tuple[list[float], list[str]]:
    """Weights from params.yaml, and members as dvc.yaml names them."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    folders = shlex.split(stages["blend_surnames"]["cmd"])[4:]  # python -m MODULE OUT MEMBER...
    weights = read_params("blend_surnames.weights", list[float])
    return weights, [folder.rpartition("/")[2] for folder in folders]


def blend_trials(members: list[Trial], weights: list[float]) -> Trial:
    """The blend costs what its members cost together."""
    pairs = []
    for repeat in zip(*(zip(m.pairs, m.shares, strict=True) for m in members), strict=False):
        seconds = sum(ours for (ours, _), _ in repeat)
        pairs.append((seconds, seconds / sum(share for _, share in repeat)))
    return Trial(BlendClassifier([m.model for m in members], weights).eval(), pairs)


def tabulate_classifier(name: str, trial: Trial, bench: Bench) -> Row:
    """Training time and scores, with goals if the data are those that they were set for."""
    share, bounds = GOALS[name]
    scores = score_classifier(trial.model, bench)
    goals = [at_least(metric, scores[metric], bound) for metric, bound in bounds.items()]
    row = tabulate_trial(name, trial, share, scores, goals)
    return row if bench.vocabulary.data == "official" else replace(row, goals=[])


def score_classifier(model: nn.Module, bench: Bench) -> Scores:
    """All test scores of evaluate_surnames."""
    params = read_params("evaluate_surnames", EvaluateParams)
    train, validation, test = bench.splits.values()
    counts = np.bincount(train.languages, minlength=len(bench.vocabulary.languages))
    prior = counts / counts.sum()
    checks, answers = (classify_names(model, split) for split in (validation, test))
    strength = find_prior_strength(checks, validation.languages, prior, params.prior_strengths)
    unscaled = 1.0  # a temperature moves none of the scores that have a goal
    return score(answers, test.languages, prior, strength, unscaled, params.bins)


def measure_milestone(fast: Trial, bench: Bench) -> Row:
    """How much sooner the fast network is there than S3 itself."""
    first, scores = find_milestone(bench)
    asked = " and ".join(f"{metric} ≥ {bound:g}" for metric, bound in S3_SCORES.items())
    row = Row(
        f"surname_fast beside the moment S3 first has {asked}",
        say_seconds(fast.seconds),
        "never on this split",
        quality=f"S3 ends at {say_scores(scores)}",
    )
    if first is None:
        return row
    share = first / read_params("surnames.surname_rnn.iterations", int)
    return replace(
        row,
        reference=f"{say_seconds(fast.s3_seconds * share)} ({first:,} updates, {share:.2g} S3)",
        ratios=[share / ours for ours in fast.shares],
    )


def find_milestone(bench: Bench) -> tuple[int | None, Scores]:
    """Updates after which S3 first meets both of its scores on test, and its final scores.

    Our updates by hand are S3's own, which a test proves; so they are counted here, and the time
    of a literal update comes from its own clock.
    """
    params = read_params("surnames.surname_rnn", SurnameParams)
    test, num_languages = bench.splits["test"], len(bench.vocabulary.languages)
    sizes = {"num_letters": len(bench.vocabulary.symbols), "num_languages": num_languages}
    device = seed_everything(params)
    model = build_network(params.architecture, {**sizes, **params.network}, "surname_rnn")
    update = model.make_update_by_hand(params.rate)
    first, scores = None, {}
    batches = make_batches(params, bench.splits["train"], device)
    for iteration, batch in enumerate(batches, start=1):
        update(batch, False)
        if iteration % CHECK_EVERY == 0:
            guesses = classify_names(model, test).argmax(axis=1)
            scores = score_guesses(guesses, test.languages, num_languages)
            if all(scores[metric] >= bound for metric, bound in S3_SCORES.items()):
                first = first or iteration
    return first, {metric: scores[metric] for metric in S3_SCORES}
