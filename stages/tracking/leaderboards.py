"""Scores of models and baselines, leaderboards by them, and the champion of each leaderboard.

There is one leaderboard for the surnames and one per series: errors on different series are not
comparable. The champion of a leaderboard is the model that `srn predict` or `srn forecast` uses.
champions.yaml, a file in git, lists the champions. Only `srn promote` writes it, so that a
promotion is a diff that a teammate reviews. MLflow shows the champions as registered models with
the alias `champion`; nothing is read from there.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from stages.forecasting.assessment import name_metrics, name_ranked_score
from stages.shared.errors import InputError
from stages.shared.files import replacing
from stages.shared.intervals import describe_difference
from stages.shared.json_files import BaselineScores, Label, read_baselines, read_json
from stages.shared.params import DataPath, Name, Params, check_params
from stages.shared.yaml_files import format_yaml, read_yaml
from stages.tracking.mlflow_sync.dvc_files import Md5s
from stages.tracking.mlflow_sync.runs import RunSpec, flatten
from stages.tracking.mlflow_sync.sync import Registration

QUESTIONS = {
    "surnames": "Which language is a surname from?",
    "forecasting": "What are the next samples of a series?",
}
DETAILS = {  # task -> folder of all scores
    "forecasting": "data/evaluated/details/forecasting",
    "surnames": "data/evaluated/details/surnames",
}
CHAMPIONS = "champions.yaml"

_NOT_METRICS = (
    "intervals",
    "improvement",
)  # only in the note; as metrics they would fill the page
_HEADER = """\
# The champion of each leaderboard: surnames, or a series. Written by `srn promote`.
"""
_Md5 = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class _ClassifierScores(BaselineScores):
    data: Label


class _ForecasterScores(_ClassifierScores):
    horizon_short: int
    horizon_long: int


_SCHEMAS = {"surnames": _ClassifierScores, "forecasting": _ForecasterScores}

Scores = dict[str, Any]  # test scores and labels; more below `validation`, `intervals` …


# Scores


def find_scores(task: str, name: str) -> Path:
    """Return the path of the scores of a model, which may not exist."""
    return Path(DETAILS[task], name, "scores.json")


def read_scores(task: str, name: str) -> Scores:
    """Read the scores of a model.

    Raises:
        InputError: if they are damaged.
    """
    scores: Scores = read_json(find_scores(task, name), _SCHEMAS[task])
    return scores


def read_baseline_scores(task: str, data: str) -> dict[str, Scores]:
    """Read the scores of the baselines of a series or the surnames, if they are here."""
    folder = Path(DETAILS[task], "baselines")
    if task == "forecasting":
        folder /= data
    return read_baselines(folder) if (folder / "scores.json").exists() else {}


def list_scores(scores: Scores) -> dict[str, float]:
    """List the numbers by path: `macro_f1`, `validation/macro_f1`."""
    kept = {name: value for name, value in scores.items() if name not in _NOT_METRICS}
    values = flatten(kept, "/")
    return {name: value for name, value in values.items() if not isinstance(value, str)}


def list_metrics(scores: Scores) -> dict[str, float]:
    """List the numbers by their names in MLflow: `test/macro_f1`, `validation/macro_f1`.

    The numbers of a metrics file keep their names. Settings and counts, such as the horizons or the
    number of test names, are `details/…`, so that each page has the curves first.
    """
    names = {}
    if "horizon_long" in scores:
        names = {name: metric for metric, name in name_metrics(scores).items()}
    compared = {*scores.get("validation", {}), *scores.get("intervals", {})}
    metrics = {}
    for path, value in list_scores(scores).items():
        section, slash, name = path.rpartition("/")
        if not slash:
            is_score = name in compared or name.startswith(("walkthrough", "interval"))
            section = "test" if is_score else "details"
        metrics[f"{section}/{names.get(name, name)}"] = value
    return metrics


def list_labels(scores: Scores) -> dict[str, str]:
    """List the labels that are not numbers, such as the data that the model was scored on."""
    return {name: value for name, value in scores.items() if isinstance(value, str)}


def shorten(metrics: dict[str, float], charted: str = "ratio_to_baseline") -> dict[str, float]:
    """Round metrics to four digits, and add the logarithms of metrics that charts show.

    Errors and their ratios span 25 orders of magnitude, and charts of MLflow have linear bars.

    Args:
        metrics: by name.
        charted: last part of the names of metrics in charts.
    """
    shortened = {}
    for name, value in metrics.items():
        shortened[name] = float(f"{value:.4g}")
        section, slash, last = name.rpartition("/")
        if last == charted and has_logarithm(last) and value > 0:
            shortened[f"{section}{slash}log10_{last}"] = round(math.log10(value), 3)
    return shortened


def has_logarithm(name: str) -> bool:
    """Whether a score spans orders of magnitude: an error, or a ratio of errors."""
    return "mse" in name or "ratio" in name


def format_score(scores: Scores, name: str) -> str:
    """Format a score with its interval; empty if there is no such score."""
    if name not in scores:
        return ""
    interval = scores.get("intervals", {}).get(name)
    if not interval:
        return f"{scores[name]:.3g}"
    return f"{scores[name]:.3g} [{interval['low']:.3g}, {interval['high']:.3g}]"


def format_verdict(scores: Scores) -> str:
    """Describe how a model compares with the best baseline on test, if it was compared."""
    if "baseline" in scores:
        return "best baseline"
    improvement = scores.get("improvement", {})
    if "horizon_long" in scores:
        ranked = improvement.get(name_ranked_score(scores, scores["horizon_long"]))
        return describe_difference(ranked) if ranked else ""
    verdicts = {score: describe_difference(of) for score, of in improvement.items()}
    for verdict in ("ahead", "behind"):
        scores_of_it = [score for score, found in verdicts.items() if found == verdict]
        if scores_of_it:
            is_all = len(scores_of_it) == len(verdicts)
            return verdict if is_all else f"{verdict} in {', '.join(scores_of_it)}"
    return "within the noise" if verdicts else ""


# Leaderboards


@dataclass(frozen=True)
class Ranking:
    """The scores that rank models: on validation; the test score is only displayed."""

    validation: str  # path of the score in scores.json
    test: str  # the same score on test
    sign: int  # 1: more is better, -1: less is
    horizon: int | None = None  # steps ahead of the errors; None for classifiers


@dataclass(frozen=True)
class Candidate:
    """A model with its scores."""

    spec: RunSpec
    leaderboard: str  # name of the registered model: surnames, or a series
    data: str  # what it was scored on: official, sample, the name of an archive, or the series
    ranking: Ranking
    validation: float
    test: float

    @property
    def is_network(self) -> bool:
        """Whether it is a trained model, not a baseline or a combination."""
        return self.spec.kind in ("walk-through", "own")


def find_ranking(task: str, scores: Scores) -> Ranking:
    """Return the ranking of the leaderboard of a model: by macro F1, MASE or squared error."""
    if task == "surnames":
        return Ranking("validation/macro_f1", "macro_f1", 1)
    horizon = scores["horizon_long"]
    score = name_ranked_score(scores, horizon)
    return Ranking(f"validation/{score}", score, -1, horizon)


def read_best_baseline(task: str, scores: Scores) -> dict[str, Scores]:
    """Return name and scores of the best baseline on validation, if there are baselines."""
    baselines = read_baseline_scores(task, scores["data"])
    ranking = find_ranking(task, scores)

    def rank(name: str) -> float:
        return ranking.sign * list_scores(baselines[name]).get(ranking.validation, -math.inf)

    best = max(baselines, key=rank, default=None)
    return {best: baselines[best]} if best else {}


def read_leaderboard(name: str, models: list[RunSpec]) -> list[Candidate]:
    """Return the scored models of the surnames or a series, the best on validation first.

    Raises:
        InputError: if there is none.
    """
    candidates = []
    for task in DETAILS:
        candidates += list_candidates(task, models)
    known = sorted({candidate.leaderboard for candidate in candidates})
    if not known:
        raise InputError("there is no model with scores: run `dvc repro` or `make pull`")
    if name not in known:
        raise InputError(
            f"there is no model of {name}: train one by `make repro`, or choose one of "
            f"{', '.join(known)}"
        )
    return [candidate for candidate in candidates if candidate.leaderboard == name]


def format_choice(candidates: list[Candidate]) -> str:
    """Describe the choice: the best candidate, the runner-up and the best network.

    Args:
        candidates: of one leaderboard, the best on validation first.
    """
    best = candidates[0]
    parts = [f"best of {len(candidates)} by {best.ranking.validation} ({best.validation:.4g})"]
    networks = [candidate for candidate in candidates if candidate.is_network]
    for title, others in (("runner-up", candidates[1:]), ("best network", networks)):
        for other in others[:1]:
            parts.append(f"{title} {other.spec.name} ({other.validation:.4g})")
    return ", ".join(parts)


def list_candidates(task: str, models: list[RunSpec]) -> list[Candidate]:
    """List all candidates of a task by leaderboard, the best on validation first."""
    candidates = []
    for model in list_scored(task, models):
        scores = read_scores(task, model.name)
        ranking = find_ranking(task, scores)
        numbers = list_scores(scores)
        for path in (ranking.validation, ranking.test):
            if path not in numbers:
                where = find_scores(task, model.name)
                raise InputError(f"{where} has no {path}: delete it and run `dvc checkout`")
        candidate = Candidate(
            spec=model,
            leaderboard="surnames" if task == "surnames" else scores["data"],
            data=scores["data"],
            ranking=ranking,
            validation=numbers[ranking.validation],
            test=numbers[ranking.test],
        )
        candidates.append(candidate)
    return sorted(candidates, key=lambda found: -found.ranking.sign * found.validation)


def list_scored(task: str, models: list[RunSpec]) -> list[RunSpec]:
    """List the models of a task that have scores in the workspace."""
    scored = []
    for model in models:
        if model.experiment == task:
            config = Path("data/trained", model.name, "config.json")
            if config.exists() and find_scores(task, model.name).exists():
                scored.append(model)
    return scored


# Champions


class Champion(Params):
    """One entry of champions.yaml."""

    model: Name
    date: str  # of the promotion, such as 2026-01-31
    reason: str
    scores: dict[str, float]  # at the time of the promotion, by path in scores.json
    data: str  # official, sample, the name of an archive, or the series
    data_files: dict[DataPath, _Md5]  # data that it was trained and scored on
    files: dict[DataPath, _Md5]  # files that it is loaded from


def read_champions() -> dict[str, Champion]:
    """Read the champions by leaderboard.

    Raises:
        InputError: if champions.yaml is damaged.
    """
    if not Path(CHAMPIONS).exists():
        return {}
    return check_params(read_yaml(CHAMPIONS), dict[Name, Champion], CHAMPIONS)


def write_champion(leaderboard: str, champion: Champion) -> None:
    """Replace the entry of a leaderboard in champions.yaml."""
    champions = read_champions() | {leaderboard: champion}
    entries = {name: champion.model_dump() for name, champion in champions.items()}
    with replacing(Path(CHAMPIONS)) as new:
        new.write_text(format_champions(entries), encoding="utf-8")


def format_champions(entries: dict[str, Any]) -> str:
    """Return the text of champions.yaml."""
    return _HEADER + format_yaml(dict(sorted(entries.items())), width=1000)


def list_data_files(model: RunSpec) -> Md5s:
    """List the preprocessed data that a model was trained and scored on."""
    files = model.data | model.test_data
    return {path: md5 for path, md5 in files.items() if path.startswith("data/preprocessed/")}


def list_model_files(model: RunSpec) -> Md5s:
    """List the files below data/ that a model is loaded from."""
    assert model.package
    md5s = model.md5s
    return {path: md5s[path] for path in model.package.list_files() if path.startswith("data/")}


def list_registrations(specs: list[RunSpec]) -> list[Registration]:
    """List the champions for MLflow to register, with the run specs of those in dvc.lock."""
    models = {spec.name: spec for spec in specs if spec.package}
    registrations = []
    for name, champion in read_champions().items():
        spec = models.get(champion.model)
        if spec:
            # a model of the same name may have other weights or another config
            md5s, folder = spec.md5s, f"data/trained/{champion.model}"
            for path in (f"{folder}/weights.pt", f"{folder}/config.json"):
                if md5s.get(path) != champion.files.get(path):
                    spec = None
        question = QUESTIONS["surnames" if name == "surnames" else "forecasting"]
        registrations.append(Registration(name, question, champion.model, spec, champion.reason))
    return registrations


def champion_problem(registration: Registration) -> str | None:
    """Return an error message if a champion is not a model of dvc.lock, or None."""
    if registration.spec:
        return None
    return (
        f"{registration.name}: the champion {registration.champion} of {CHAMPIONS} is not that of "
        "dvc.lock"
    )
