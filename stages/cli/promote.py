"""Make the best model on validation the champion: `srn promote surnames`, or a series.

The models of dvc.lock on the same data are compared on validation. The best one is written to
champions.yaml, which `srn predict` and `srn forecast` use. `srn sync` registers it in MLflow.
"""

from datetime import date

from stages.cli.text import align
from stages.shared.command import show
from stages.shared.errors import InputError
from stages.shared.params import SECTIONS
from stages.tracking.leaderboards import (
    CHAMPIONS,
    Candidate,
    Champion,
    format_choice,
    format_score,
    list_data_files,
    list_model_files,
    list_scores,
    read_champions,
    read_leaderboard,
    read_scores,
    write_champion,
)
from stages.tracking.mlflow_sync.runs import run_problem
from stages.tracking.run_specs import check_dvc_listings, read_models


def promotion_problem(best: Candidate, champion: Champion) -> str | None:
    """Return why the champion should stay, or None."""
    score = best.ranking.validation
    if best.data == "sample" and champion.data != "sample":
        return (
            f"{best.spec.name} was scored on the sample, the champion {champion.model} on "
            f"{champion.data} data: get the official data"
        )
    if list_data_files(best.spec) != champion.data_files:
        return None  # scores on other data are not comparable
    if score not in champion.scores:
        return f"the champion {champion.model} has no {score} in {CHAMPIONS}"
    if best.ranking.sign * best.validation < best.ranking.sign * champion.scores[score]:
        return (
            f"{best.spec.name} ({score} {best.validation:.4g}) is worse than the "
            f"champion {champion.model} ({champion.scores[score]:.4g})"
        )
    return None


def main(leaderboard: str, force: bool) -> None:
    """Print the leaderboard of the surnames or a series, and write champions.yaml.

    Raises:
        InputError: if the best model may not be promoted, or the workspace differs from dvc.lock.
    """
    check_dvc_listings()
    candidates = read_leaderboard(leaderboard, read_models())
    for candidate in candidates:
        if problem := run_problem(candidate.spec):
            raise InputError(f"{candidate.spec.name}: {problem}")
    best = candidates[0]
    ranking = best.ranking
    best_scores = read_scores(best.spec.experiment, best.spec.name)
    rows = [("model", "data", ranking.validation, f"{ranking.test} [95 % interval]")]
    for candidate in candidates:
        name = candidate.spec.name
        test = format_score(read_scores(candidate.spec.experiment, name), ranking.test)
        rows.append((name, candidate.data, f"{candidate.validation:.4g}", test))
    show(align(rows))
    if "split" in best_scores:
        section = f"evaluate_{SECTIONS[best.spec.experiment]}"
        raise InputError(
            f"these are scores of the validation split: set {section}.split: test in params.yaml"
        )
    champion = read_champions().get(leaderboard)
    files, data_files = list_model_files(best.spec), list_data_files(best.spec)
    is_champion = champion is not None and champion.files == files
    if champion and is_champion and champion.data_files == data_files:
        print(f"{best.spec.name} is the champion of {leaderboard} already")
        return
    # no comparison if only the data are others, such as the series preprocessed again
    problem = promotion_problem(best, champion) if champion and not is_champion else None
    if problem and not force:
        raise InputError(f"{problem}; --force overrules")
    reason = format_choice(candidates)
    if problem:
        reason = f"promoted by force, although {problem}; {reason}"
    scores = list_scores(best_scores)
    entry = Champion(
        model=best.spec.name,
        date=date.today().isoformat(),
        reason=f"{reason}.",
        scores={name: float(scores[name]) for name in (ranking.validation, ranking.test)},
        data=best.data,
        data_files=data_files,
        files=files,
    )
    write_champion(leaderboard, entry)
    print(
        f"{best.spec.name} is the champion of {leaderboard} now:\n"
        f"  commit {CHAMPIONS}; `srn sync` registers it in MLflow"
    )
