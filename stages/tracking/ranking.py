"""Which model of a task is best: the scores in the working folder of the models in dvc.lock."""

from dataclasses import dataclass
from pathlib import Path

from stages.shared.bundle import read_config
from stages.shared.errors import InputError
from stages.tracking.metrics import find_metrics, list_scores, read_metrics
from stages.tracking.subjects import Model, read_models


@dataclass(frozen=True)
class Ranking:
    """How the models of a task are compared: on validation; the test score is only shown."""

    validation: str
    test: str
    sign: int  # 1: more is better, -1: less is


RANKINGS = {
    "surnames": Ranking("validation/macro_f1", "macro_f1", 1),
    "sine": Ranking("validation/free_run_mse_500", "free_run_mse_500", -1),
}


@dataclass(frozen=True)
class Candidate:
    """A model with its scores."""

    model: Model
    data: str  # official, sample, custom, or the series
    validation: float
    test: float


def rank_candidates(task: str) -> list[Candidate]:
    """Scored models of the working folder, the best on validation first.

    Raises:
        InputError: there is none.
    """
    candidates = list_candidates(task, read_models())
    if not candidates:
        raise InputError(f"no model of {task} is here: run `dvc repro` or `dvc pull`")
    return candidates


def list_candidates(task: str, models: list[Model]) -> list[Candidate]:
    """The same, without complaint."""
    ranking = RANKINGS[task]
    candidates = [read_candidate(model, ranking) for model in list_scored(task, models)]
    return sorted(candidates, key=lambda candidate: -ranking.sign * candidate.validation)


def list_scored(task: str, models: list[Model]) -> list[Model]:
    """Those of this task that lie in the working folder with their scores."""
    scored = []
    for model in models:
        folder = Path("data/trained", model.name)
        is_here = (folder / "config.json").exists() and find_metrics(model.name).exists()
        if is_here and read_config(folder).task == task:
            scored.append(model)
    return scored


def read_candidate(model: Model, ranking: Ranking) -> Candidate:
    """Read the scores of a model.

    Raises:
        InputError: the score that decides is missing.
    """
    metrics = read_metrics(model.name)
    scores = list_scores(metrics)
    if ranking.validation not in scores:
        raise InputError(
            f"{find_metrics(model.name)} has no {ranking.validation}: score it in the evaluate "
            "section of params.yaml"
        )
    return Candidate(model, metrics["data"], scores[ranking.validation], scores[ranking.test])
