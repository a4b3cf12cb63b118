"""Make the best model the champion.

`srn promote surnames`, or the name of a series.
The models of dvc.lock are compared on validation, forecasters with those of the same series. The
best one is registered in MLflow as `surnames` or under the name of the series, and the alias
`champion`, by which it is served, moves to it.
"""

from dataclasses import dataclass

from stages.cli.text import align
from stages.shared.errors import InputError
from stages.shared.params import SECTIONS
from stages.tracking.content import find_obstacle
from stages.tracking.description import say_score
from stages.tracking.location import find_uri, lock_store
from stages.tracking.lockfile import check_dvc_listings
from stages.tracking.metrics import name_interval, read_scores
from stages.tracking.pages import QUESTIONS
from stages.tracking.ranking import Candidate, rank_candidates
from stages.tracking.store import CHAMPION, Store, open_store
from stages.tracking.subjects import read_models


@dataclass(frozen=True)
class Champion:
    """What the alias points to now."""

    version: str
    run_id: str
    name: str
    data: str
    validation: float | None  # None: its run lacks the score, or has it over another horizon


def check_workspace() -> None:
    """Refuse scores that are not those of dvc.lock.

    Raises:
        InputError: a file departs from dvc.lock.
    """
    for model in read_models():
        obstacle = find_obstacle(model)
        if obstacle:
            raise InputError(f"{model.name}: {obstacle}")


def tabulate(candidates: list[Candidate]) -> str:
    """The ranking as text."""
    ranking = candidates[0].ranking
    interval = name_interval(read_scores(candidates[0].model))
    rows = [("model", "data", ranking.validation, f"{ranking.test} [{interval}]")]
    for candidate in candidates:
        test = say_score(read_scores(candidate.model), ranking.test)
        rows.append((candidate.model.name, candidate.data, f"{candidate.validation:.4g}", test))
    return align(rows)


def read_champion(store: Store, best: Candidate) -> Champion | None:
    """Read the champion that a candidate has to beat, and how it scored."""
    version = store.find_champion(best.contest)
    if not version:
        return None
    run = store.find_origin(version)
    metrics = run.data.metrics
    is_comparable = metrics.get("horizon_long") == best.ranking.horizon
    return Champion(
        version.version,
        run.info.run_id,
        run.info.run_name,
        run.data.tags["data"],
        metrics.get(best.ranking.metric) if is_comparable else None,
    )


def find_objection(best: Candidate, champion: Champion) -> str | None:
    """Say why the champion should stay, or nothing."""
    ranking = best.ranking
    if best.data == "sample" and champion.data != "sample":
        return (
            f"{best.model.name} was scored on the sample, the champion {champion.name} on "
            f"{champion.data} data: get the official data"
        )
    if champion.data == "sample" and best.data != "sample":
        return None  # scores on the sample mean nothing beside real ones
    if champion.validation is None:
        return f"the run of the champion {champion.name} has no {ranking.validation}"
    if ranking.sign * best.validation < ranking.sign * champion.validation:
        return (
            f"{best.model.name} ({ranking.validation} {best.validation:.4g}) is worse than the "
            f"champion {champion.name} ({champion.validation:.4g})"
        )
    return None


def promote(store: Store, best: Candidate, champion: Champion | None, reason: str) -> str:
    """Register a model, unless it is registered, and give it the alias; tells what was done.

    Args:
        store: that has the run.
        best: what is promoted.
        champion: of now.
        reason: for the page of the version.

    Raises:
        InputError: MLflow does not have the model.
    """
    name, contest = best.model.name, best.contest
    runs = store.find_runs(best.model.key)
    if not runs:
        raise InputError(f"{name} has no run in MLflow: run `make sync` first")
    run_id = runs[0].info.run_id
    if champion and champion.run_id == run_id:
        return f"{name} is the champion already (version {champion.version})"
    version = find_version(store, contest, run_id) or register(store, best, run_id)
    store.client.update_model_version(contest, version, f"**{name}**: {reason} Run {run_id}.")
    store.client.set_registered_model_alias(contest, CHAMPION, version)
    return f"{name} is the champion now (models:/{contest}@{CHAMPION}, version {version})"


def explain_choice(candidates: list[Candidate], objection: str | None) -> str:
    """Say why the first of the candidates is promoted, and how good it is."""
    best = candidates[0]
    ranking = best.ranking
    reason = f"best of {len(candidates)} on validation"
    if objection:
        reason = f"promoted by force, although {objection}"
    scores = f"{ranking.validation} {best.validation:.4g}, {ranking.test} {best.test:.4g}"
    return f"{reason}; {scores}, data: {best.data}."


def find_version(store: Store, contest: str, run_id: str) -> str | None:
    """The number under which a run's model is registered already."""
    for version in store.find_versions(contest):
        if version.run_id == run_id:
            return version.version
    return None


def register(store: Store, best: Candidate, run_id: str) -> str:
    """Make a version of a run's model; returns its number."""
    import mlflow

    client, contest = store.client, best.contest
    if not client.search_registered_models(f"name = '{contest}'"):
        question = QUESTIONS[best.model.experiment]
        client.create_registered_model(contest, description=question)
    mlflow.set_tracking_uri(store.uri)  # by which MLflow finds the model that is registered
    [model_id] = store.list_models(client.get_run(run_id))
    made = client.create_model_version(contest, f"models:/{model_id}", run_id, model_id=model_id)
    return made.version


def main(contest: str, force: bool) -> None:
    """Print the ranking and move the alias.

    Args:
        contest: surnames, or a series.
        force: even if the champion is better.

    Raises:
        InputError: the best model may not or cannot be promoted.
    """
    check_dvc_listings()
    check_workspace()
    candidates = rank_candidates(contest)
    print(tabulate(candidates))
    best = candidates[0]
    if "split" in read_scores(best.model):
        section = f"evaluate_{SECTIONS[best.model.experiment]}"
        raise InputError(f"these hide the test: set {section}.split: test in params.yaml")
    uri = find_uri()
    with lock_store(uri), open_store(uri, to_write=True) as store:
        champion = read_champion(store, best)
        objection = None
        if champion:
            objection = find_objection(best, champion)
        if objection and not force:
            raise InputError(f"{objection}; --force overrules")
        reason = explain_choice(candidates, objection)
        print(promote(store, best, champion, reason))
