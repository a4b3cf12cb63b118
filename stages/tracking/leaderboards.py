"""Leaderboards: the models of dvc.lock by their scores, the best on validation first.

There is one for the surnames and one per series: errors on different series are not comparable.
"""

from dataclasses import dataclass
from pathlib import Path

from stages.shared.errors import InputError
from stages.tracking.mlflow_sync.run_spec import RunSpec
from stages.tracking.run_specs import read_models
from stages.tracking.scores import Scores, find_scores, list_scores, read_scores

TASKS = ("forecasting", "surnames")
QUESTIONS = {
    "surnames": "Which language is a surname from?",
    "forecasting": "How does a series go on?",
}


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

    model: RunSpec
    data: str  # official, sample, the name of an archive, or the series
    ranking: Ranking
    validation: float
    test: float

    @property
    def leaderboard(self) -> str:
        """Its leaderboard, by which its champion is registered."""
        return self.model.experiment if self.model.experiment == "surnames" else self.data


def find_ranking(task: str, scores: Scores) -> Ranking:
    """What decides: macro F1, or the error over the long horizon (`mse_long`).

    Args:
        task: forecasting or surnames.
        scores: of any model of the leaderboard.
    """
    if task == "surnames":
        return SURNAMES
    horizon = scores["horizon_long"]
    score = f"mse_{horizon}"
    return Ranking(f"validation/{score}", score, -1, "validation/mse_long", horizon)


def read_leaderboard(name: str) -> list[Candidate]:
    """Scored models of the workspace, the best on validation first.

    Args:
        name: surnames, or a series.

    Raises:
        InputError: there is none.
    """
    models = read_models()
    candidates = []
    for task in TASKS:
        candidates += list_candidates(task, models)
    known = sorted({candidate.leaderboard for candidate in candidates})
    if not known:
        raise InputError("no model with scores is here: run `dvc repro` or `make pull`")
    if name not in known:
        raise InputError(f"no model of {name} is here: choose one of {', '.join(known)}")
    return [candidate for candidate in candidates if candidate.leaderboard == name]


def list_candidates(task: str, models: list[RunSpec]) -> list[Candidate]:
    """All candidates of a task, the best on validation of each leaderboard first."""
    candidates = []
    for model in list_scored(task, models):
        scores = read_scores(task, model.name)
        ranking = find_ranking(task, scores)
        numbers = list_scores(scores)
        validation, test = numbers[ranking.validation], numbers[ranking.test]
        candidates.append(Candidate(model, scores["data"], ranking, validation, test))
    return sorted(candidates, key=lambda found: -found.ranking.sign * found.validation)


def list_scored(task: str, models: list[RunSpec]) -> list[RunSpec]:
    """The models of a task that are in the workspace with their scores."""
    scored = []
    for model in models:
        if model.experiment == task:
            config = Path("data/trained", model.name, "config.json")
            if config.exists() and find_scores(task, model.name).exists():
                scored.append(model)
    return scored
