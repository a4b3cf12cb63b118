"""Which model is best: the scores in the working folder of the models in dvc.lock.

Surnames are compared with one another, forecasters with those of the same series: the error on
another one says nothing.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from stages.shared.bundle import read_config
from stages.shared.errors import InputError
from stages.tracking.metrics import Metrics, find_metrics, list_scores, read_metrics
from stages.tracking.subjects import Model, read_models

TASKS = ("sine", "surnames")
FREE_RUN = "free_run_mse_"
COMPARED = "log10_vs_baseline"


@dataclass(frozen=True)
class Ranking:
    """How models are compared: on validation; the test score is only shown."""

    validation: str
    test: str
    sign: int  # 1: more is better, -1: less is


SURNAMES = Ranking("validation/macro_f1", "macro_f1", 1)


@dataclass(frozen=True)
class Candidate:
    """A model with its scores."""

    model: Model
    data: str  # official, sample, the name of an archive, or the series
    ranking: Ranking
    validation: float
    test: float

    @property
    def contest(self) -> str:
        """What the candidate competes in, and what its champion is registered as."""
        return self.model.experiment if self.model.experiment == "surnames" else self.data


def find_ranking(task: str, metrics: Metrics) -> Ranking:
    """What decides: macro F1, or the longest free run that validation has.

    Args:
        task: sine or surnames.
        metrics: of any model of the contest.

    Raises:
        InputError: validation has no free run.
    """
    if task == "surnames":
        return SURNAMES
    steps = []
    for score in metrics.get("validation", {}):
        if score.startswith(FREE_RUN):
            steps.append(int(score.removeprefix(FREE_RUN)))
    if not steps:
        raise InputError(
            f"a model of {metrics['data']} has no free run on validation: run `dvc repro`"
        )
    score = f"{FREE_RUN}{max(steps)}"
    return Ranking(f"validation/{score}", score, -1)


def compare_errors(metrics: Metrics, baselines: dict[str, Metrics]) -> dict[str, float]:
    """How many orders of magnitude the errors that decide are above those without a network.

    Unlike the errors they can be compared between series. Below 0: ahead.

    Args:
        metrics: of a forecaster.
        baselines: of its series, by name; the best on validation is compared with.
    """
    ranking = find_ranking("sine", metrics)
    errors = list_scores(metrics)
    scored = [list_scores(baseline) for baseline in baselines.values()]
    if not scored:
        return {}
    best = min(scored, key=lambda scores: scores[ranking.validation])
    compared = {}
    for name, score in ((f"validation/{COMPARED}", ranking.validation), (COMPARED, ranking.test)):
        error, least = errors.get(score, 0.0), best.get(score, 0.0)
        if error > 0 and least > 0:
            compared[name] = round(math.log10(error / least), 3)
    return compared


def rank_candidates(contest: str) -> list[Candidate]:
    """Scored models of the working folder, the best on validation first.

    Args:
        contest: surnames, or a series.

    Raises:
        InputError: there is none.
    """
    models = read_models()
    candidates = []
    for task in TASKS:
        candidates += list_candidates(task, models)
    known = sorted({candidate.contest for candidate in candidates})
    if not known:
        raise InputError("no model with scores is here: run `dvc repro` or `make pull`")
    if contest not in known:
        raise InputError(f"no model of {contest} is here: choose of {', '.join(known)}")
    return [candidate for candidate in candidates if candidate.contest == contest]


def list_candidates(task: str, models: list[Model]) -> list[Candidate]:
    """All candidates of a task, in each contest the best on validation first."""
    candidates = [read_candidate(model, task) for model in list_scored(task, models)]
    return sorted(candidates, key=lambda found: -found.ranking.sign * found.validation)


def list_scored(task: str, models: list[Model]) -> list[Model]:
    """Those of this task that lie in the working folder with their scores."""
    scored = []
    for model in models:
        folder = Path("data/trained", model.name)
        is_here = (folder / "config.json").exists() and find_metrics(model.name).exists()
        if is_here and read_config(folder).task == task:
            scored.append(model)
    return scored


def read_candidate(model: Model, task: str) -> Candidate:
    """Read the scores of a model.

    Raises:
        InputError: the score that decides is missing.
    """
    metrics = read_metrics(model.name)
    ranking = find_ranking(task, metrics)
    scores = list_scores(metrics)
    for score in (ranking.validation, ranking.test):
        if score not in scores:
            raise InputError(
                f"{find_metrics(model.name)} has no {score}: score it in the evaluate section of "
                "params.yaml"
            )
    return Candidate(
        model, metrics["data"], ranking, scores[ranking.validation], scores[ranking.test]
    )
