"""The classifiers of surnames over seeds and splits, and their improvements over a baseline."""

from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.data import Division, divide_names
from benchmarks.improvements import Improvement, Trainings, find_improvements
from benchmarks.surnames import BLEND, list_members
from stages.shared.intervals import BootstrapParams, Items
from stages.shared.params import read_params
from stages.surnames.archive import LabelledNames
from stages.surnames.assessment import (
    IMPROVED,
    Classes,
    EvaluateParams,
    Predictions,
    collect_predictions,
    score_items,
)
from stages.surnames.blend import BlendParams, blend
from stages.surnames.evaluate import evaluate
from stages.surnames.names import Names
from stages.surnames.score_baselines import BaselineParams, score_baselines
from stages.surnames.train import ClassifierParams, Trained, train

RNN = "surname_rnn"
CHECKPOINTS = f"{RNN} along its last updates"
STARTS = f"{RNN} from scaled first weights"
NO_INTERVALS = BootstrapParams(resamples=1, seed=0)  # of single trainings, which are not shown


@dataclass(frozen=True)
class Source:
    """The raw names, which every job divides by itself."""

    names: LabelledNames
    data: str  # official, sample or custom

    def divide(self, split: int) -> Division:
        """The names as the seed `split` divides them."""
        return divide_names(self.names, self.data, split)


@dataclass(frozen=True)
class Result:
    """How one classifier does on one split."""

    name: str
    split: int
    scores: dict[str, Any]  # as in scores.json
    predictions: Predictions  # on test


@dataclass(frozen=True)
class Pool:
    """The pairs of name and language that are in the test of any split.

    Args:
        languages: `(P,)`, of the pairs.
        tests: of each split, the test names.
        places: of each split `(P,)`, where among its test names a pair is; -1: nowhere.
    """

    languages: Classes
    tests: list[Names]
    places: list[Items]


def try_entries(names: list[str], source: Source, split: int, shift: int) -> list[Result]:
    """Train entries of `surnames` on one split, blend and score them.

    Args:
        names: of the entries; they are blended if all members are among them.
        source: the raw names.
        split: seed that divides them.
        shift: added to the seed of each entry. What no seed changes is scored for 0 alone.
    """
    division = source.divide(split)
    results = []
    trained: dict[str, Trained] = {}
    for name in names:
        params = shift_seed(read_params(f"classifiers.{name}", ClassifierParams), shift)
        trained[name] = train(params, division.splits.train, division.vocabulary, name)
        if shift == 0 or has_chance(params):
            results.append(score(name, trained[name].model, division, split))
    if set(list_members()) <= trained.keys():
        members = [trained[member] for member in list_members()]
        results.append(score(BLEND, blend_members(members), division, split))
    return results


def shift_seed(params: ClassifierParams, shift: int) -> ClassifierParams:
    """The same training by another seed."""
    return params.model_copy(update={"seed": params.seed + shift})


def has_chance(params: ClassifierParams) -> bool:
    """Whether another seed gives another classifier: counts of all names know no order."""
    return params.gradient != "counting"


def blend_members(members: list[Trained]) -> nn.Module:
    """The blend of params.yaml."""
    models, configs = [], []
    for member in members:
        models.append(member.model.eval())
        configs.append(member.config)
    params = read_params("blend_classifiers", BlendParams)
    assert params.official_weights
    model, _ = blend(models, configs, params.official_weights)
    return model


def score(name: str, model: nn.Module, division: Division, split: int) -> Result:
    """Score a classifier as evaluate_classifiers does; intervals are left to the pool."""
    params = read_params("evaluate_classifiers", EvaluateParams)
    params = params.model_copy(update={"bootstrap": NO_INTERVALS})
    evaluation = evaluate(model.eval(), division.splits, division.vocabulary, params)
    return Result(name, split, evaluation.scores, evaluation.predictions)


def try_baselines(source: Source, split: int) -> list[Result]:
    """Fit and score the baselines on one split."""
    division = source.divide(split)
    params = read_params("surname_baselines", BaselineParams)
    evaluation = read_params("evaluate_classifiers", EvaluateParams)
    evaluation = evaluation.model_copy(update={"bootstrap": NO_INTERVALS})
    scored = score_baselines(division.splits, division.vocabulary, params, evaluation)
    rows: Any = scored.predictions.to_dict("records")
    predictions = collect_predictions(rows, division.vocabulary)
    results = []
    for name, scores in scored.scores.items():
        results.append(Result(name, split, scores, predictions[name]))
    return results


def try_updates(source: Source, updates: int) -> list[Result]:
    """Score surname_rnn after its first updates: those of a shorter training by the same seed."""
    params = read_params(f"classifiers.{RNN}", ClassifierParams)
    division = source.divide(0)
    shorter = params.model_copy(update={"iterations": updates})
    trained = train(shorter, division.splits.train, division.vocabulary, RNN)
    return [score(CHECKPOINTS, trained.model, division, 0)]


def try_start(source: Source, updates: int, factor: float) -> list[Result]:
    """Score surname_rnn from first weights that are scaled."""
    params = read_params(f"classifiers.{RNN}", ClassifierParams)
    division = source.divide(0)
    shorter = params.model_copy(update={"iterations": updates})
    start = partial(scale_weights, factor=factor)
    trained = train(shorter, division.splits.train, division.vocabulary, RNN, start)
    return [score(STARTS, trained.model, division, 0)]


@torch.no_grad()
def scale_weights(model: nn.Module, factor: float) -> None:
    """Multiply all weights."""
    for weight in model.parameters():
        weight.mul_(factor)


def pool_tests(divisions: list[Division]) -> Pool:
    """The pairs of all tests, each once."""
    rows = np.unique(np.concatenate([division.test_rows for division in divisions]))
    languages = np.zeros(len(rows), dtype=np.int64)
    tests, places = [], []
    for division in divisions:
        test = division.splits.test
        where = np.searchsorted(rows, division.test_rows)
        languages[where] = test.languages
        place = np.full(len(rows), -1)
        place[where] = np.arange(len(where))
        tests.append(test)
        places.append(place)
    return Pool(languages, tests, places)


def score_pooled(
    predictions: list[list[Predictions]], pool: Pool, chosen: Items, trainings: Trainings
) -> dict[str, float]:
    """Mean over splits of the mean over trainings, of chosen pairs and trainings.

    Args:
        predictions: of splits and trainings, on the test names.
        pool: the pairs.
        chosen: pairs; in each split those count that are in its test, as often as they are chosen.
        trainings: `(splits, n)`, which are averaged in each split.
    """
    num_languages = int(pool.languages.max()) + 1
    scores: dict[str, list[float]] = {}
    for of_split, numbers, test, places in zip(
        predictions, trainings, pool.tests, pool.places, strict=True
    ):
        items = places[chosen]
        items = items[items >= 0]
        # improvements are not of the top three
        unknown = np.zeros(len(test.languages), dtype=np.bool_)
        by_training = {}
        for number in set(numbers.tolist()):
            by_training[number] = score_items(
                of_split[number], unknown, test.languages, num_languages, items
            )
        for metric in IMPROVED:
            mean = fmean(by_training[number][metric] for number in numbers.tolist())
            scores.setdefault(metric, []).append(mean)
    return {metric: fmean(of_splits) for metric, of_splits in scores.items()}


def measure_improvements(
    results: list[Result], baselines: dict[str, list[Result]], divisions: list[Division]
) -> dict[str, Improvement]:
    """The improvement of a classifier over the best baseline, by score.

    Args:
        results: of the classifier, on all splits.
        baselines: results of the baselines, by name.
        divisions: the names of each split.
    """
    params = read_params("evaluate_classifiers", EvaluateParams).bootstrap
    pool = pool_tests(divisions)
    own = group_by_split(results)
    improvements = {}
    for metric in IMPROVED:
        best = choose_baseline(baselines, metric)
        theirs = group_by_split(baselines[best])
        improvements[metric] = find_improvements(
            partial(score_pooled, own, pool),
            partial(score_pooled, theirs, pool),
            pool.languages,
            ((len(own), len(own[0])), (len(theirs), len(theirs[0]))),
            params,
            best,
        )[metric]
    return improvements


def group_by_split(results: list[Result]) -> list[list[Predictions]]:
    """The predictions of splits, in their order, and trainings, as many in each."""
    by_split: dict[int, list[Predictions]] = {}
    for result in results:
        by_split.setdefault(result.split, []).append(result.predictions)
    return [by_split[split] for split in sorted(by_split)]


def choose_baseline(baselines: dict[str, list[Result]], metric: str) -> str:
    """The baseline with the best mean over the validation parts."""
    means = {}
    for name, results in baselines.items():
        means[name] = fmean(result.scores["validation"][metric] for result in results)
    return max(means, key=lambda name: means[name])
