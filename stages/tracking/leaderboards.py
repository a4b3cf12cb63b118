"""Which model is best: the scores in the working folder of the models in dvc.lock.

Surnames are compared with one another, forecasters with those of the same series: the error on
another one says nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from stages.shared.bundle import read_config
from stages.shared.errors import InputError
from stages.tracking.metrics import Scores, find_scores, list_scores, read_scores
from stages.tracking.subjects import Model, read_models

TASKS = ("forecasting", "surnames")


@dataclass(frozen=True)
class Ranking:
    """How models are compared: on validation; the test score is only shown.

    Args:
        validation: path of the score in scores.json.
        test: likewise.
        sign: 1: more is better, -1: less is.
        metric: name of the validation score in MLflow.
        horizon: steps over which errors are taken; None: they are no forecasts.
    """

    validation: str
    test: str
    sign: int
    metric: str
    horizon: int | None = None


SURNAMES = Ranking("validation/macro_f1", "macro_f1", 1, "validation/macro_f1")


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


def find_ranking(task: str, scores: Scores) -> Ranking:
    """What decides: macro F1, or the error over the long horizon (`mse_long`).

    Args:
        task: forecasting or surnames.
        scores: of any model of the contest.
    """
    if task == "surnames":
        return SURNAMES
    horizon = scores["horizon_long"]
    score = f"mse_{horizon}"
    return Ranking(f"validation/{score}", score, -1, "validation/mse_long", horizon)


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
        is_here = (folder / "config.json").exists() and find_scores(model).exists()
        if is_here and read_config(folder).task == task:
            scored.append(model)
    return scored


def read_candidate(model: Model, task: str) -> Candidate:
    """Read the scores of a model."""
    scores = read_scores(model)
    ranking = find_ranking(task, scores)
    numbers = list_scores(scores)
    validation, test = numbers[ranking.validation], numbers[ranking.test]
    return Candidate(model, scores["data"], ranking, validation, test)
