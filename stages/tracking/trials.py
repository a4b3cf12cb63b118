"""The trials of a search as runs below its own: what trials.csv and curves.csv hold of each.

They have no key: the run of the search answers for them, and they are made and dropped with it.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.searching.outcome import FAILURE, LABELS, SCORE, is_error, read_losses, read_trials
from stages.tracking.metrics import has_logarithm, shorten
from stages.tracking.store import PARENT_TAG, Store
from stages.tracking.subjects import Search

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import Run

MOST_METRICS = 900  # of a trial, so that one request takes them all: MLflow takes 1,000


@dataclass(frozen=True)
class Trial:
    """One row of trials.csv, and its curve."""

    name: str
    params: dict[str, str]
    scores: dict[str, float]  # as scores.json names them, with `rank`: 1, the best of the search
    losses: list[tuple[int, float]]  # iteration and loss
    failure: str


def list_trials(search: Search) -> list[Trial]:
    """What the files of a search say of its trials."""
    curves = read_losses(search.folder)
    trials = []
    for row in read_trials(search.folder):
        params = {}
        scores = {}
        for column, cell in row.items():
            if column.startswith(SCORE) and cell:
                scores[column] = float(cell)
            elif column != FAILURE and not column.startswith(SCORE):
                params[column] = cell
        recipe, seed = (row[label] for label in LABELS)
        losses = curves.get((recipe, seed), [])
        name = f"{search.base} {recipe}, seed {seed}"
        trials.append(Trial(name, params, scores, losses, row[FAILURE]))
    add_ranks(trials, f"{SCORE}{search.score}")
    return trials


def add_ranks(trials: list[Trial], score: str) -> None:
    """Give each trial that has a score its place."""
    sign = 1 if is_error(score) else -1
    scored = [trial for trial in trials if score in trial.scores]
    scored.sort(key=lambda trial: sign * trial.scores[score])
    for place, trial in enumerate(scored, start=1):
        trial.scores["rank"] = place


def log_trials(store: Store, run: "Run", search: Search, data: str) -> None:
    """Make the runs of all trials, three requests each.

    Args:
        store: to write to.
        run: of the search.
        search: whose trials they are.
        data: that they were trained on.
    """
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    for trial in list_trials(search):
        store.restart_time_limit()
        tags = {PARENT_TAG: run.info.run_id, "kind": "trial", "data": data}
        if trial.failure:
            tags[FAILURE] = trial.failure
        child = store.client.create_run(run.info.experiment_id, now, tags, trial.name)
        metrics = [Metric(name, value, now, 0) for name, value in shorten(trial.scores).items()]
        for iteration, loss in trial.losses[:MOST_METRICS]:
            metrics.append(Metric("loss", loss, now, iteration))
        params = [Param(name, value) for name, value in trial.params.items()]
        store.client.log_batch(child.info.run_id, metrics, params)
        status = "FAILED" if trial.failure else "FINISHED"
        store.client.set_terminated(child.info.run_id, status, now)
    store.forget_searched()


def find_lack(store: Store, run: "Run", search: Search) -> str | None:
    """Say whether trials of a search are missing or more than they were, or nothing."""
    found, wanted = len(store.find_trials(run)), len(read_trials(search.folder))
    return f"{found} trials instead of {wanted}" if found != wanted else None


def name_metric(search: Search) -> str:
    """What the score that decides is called in MLflow; of an error it is the logarithm."""
    prefix = "log10_" if has_logarithm(search.score) else ""
    return f"{SCORE}{prefix}{search.score}"


def list_drawn(search: Search) -> list[str]:
    """The params that were drawn, as trials.csv names them."""
    return list(search.section["space"])
