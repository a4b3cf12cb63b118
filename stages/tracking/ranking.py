"""Which model of a task is best: data/evaluated/<model>/metrics.json of the models in dvc.lock."""

from dataclasses import dataclass
from pathlib import Path

from stages.shared.errors import InputError
from stages.tracking.content import read_json
from stages.tracking.lockfile import Model, read_models


@dataclass(frozen=True)
class Ranking:
    """How the models of a task are compared: on validation; the test score is only shown."""

    validation: str
    test: str
    sign: int  # 1: more is better, -1: less is


RANKINGS = {
    "surnames": Ranking("validation_macro_f1", "macro_f1", 1),
    "sine": Ranking("validation_free_run_mse_500", "free_run_mse_500", -1),
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
    ranking = RANKINGS[task]
    candidates = []
    for model in read_models():
        sizes = Path("data/trained", model.name, "sizes.json")
        scores = Path("data/evaluated", model.name, "metrics.json")
        if sizes.exists() and scores.exists() and read_json(sizes)["task"] == task:
            metrics = read_json(scores)
            if ranking.validation not in metrics:
                raise InputError(
                    f"{scores} has no {ranking.validation}: score it in the evaluate section of "
                    "params.yaml"
                )
            candidates.append(
                Candidate(
                    model, metrics["data"], metrics[ranking.validation], metrics[ranking.test]
                )
            )
    if not candidates:
        raise InputError(f"no model of {task} is here: run `dvc repro` or `dvc pull`")
    return sorted(candidates, key=lambda c: ranking.sign * c.validation, reverse=True)
