"""Champions, the models that answer, by leaderboard: champions.yaml, a file in git.

Only `srn promote` writes it, so that a promotion is a diff that a teammate reviews. MLflow shows
the champions as registered models with the alias `champion`; nothing is read from there.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from stages.shared.params import DataPath, Name, Params, check_params
from stages.shared.yaml_files import format_yaml
from stages.tracking.leaderboards import QUESTIONS
from stages.tracking.mlflow_sync.dvc_files import Md5s, read_yaml
from stages.tracking.mlflow_sync.run_spec import RunSpec
from stages.tracking.mlflow_sync.sync import Registration
from stages.tracking.run_specs import MODEL_KINDS

CHAMPIONS = "champions.yaml"

_HEADER = """\
# The model that answers, by leaderboard: surnames, or a series. Written by `srn promote`.
"""
_Md5 = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class Champion(Params):
    """One entry of champions.yaml."""

    model: Name
    date: str  # of the promotion, such as 2026-01-31
    reason: str
    scores: dict[str, float]  # at the promotion, by path in scores.json
    data: str  # official, sample, the name of an archive, or the series
    data_files: dict[DataPath, _Md5]  # that it was trained and scored on
    files: dict[DataPath, _Md5]  # that it is loaded from


def read_champions() -> dict[str, Champion]:
    """The champions by leaderboard.

    Raises:
        InputError: champions.yaml is damaged.
    """
    if not Path(CHAMPIONS).exists():
        return {}
    return check_params(read_yaml(CHAMPIONS), dict[Name, Champion], CHAMPIONS)


def write_champion(leaderboard: str, champion: Champion) -> None:
    """Write the entry of a leaderboard; the others stay."""
    champions = read_champions() | {leaderboard: champion}
    entries = {name: champions[name].model_dump() for name in sorted(champions)}
    Path(CHAMPIONS).write_text(_HEADER + format_yaml(entries, width=1000), encoding="utf-8")


def list_data_files(model: RunSpec) -> Md5s:
    """The preprocessed data that a model was trained and scored on."""
    files = model.data | model.test_data
    return {path: md5 for path, md5 in files.items() if path.startswith("data/preprocessed/")}


def list_model_files(model: RunSpec) -> Md5s:
    """The files below data/ that a model is loaded from."""
    assert model.package
    md5s = model.md5s
    return {path: md5s[path] for path in model.package.list_files() if path.startswith("data/")}


def _find_model(champion: Champion, specs: list[RunSpec]) -> RunSpec | None:
    """The model of dvc.lock that a champion is: weights and config have its md5s."""
    folder = f"data/trained/{champion.model}"
    identity = [f"{folder}/weights.pt", f"{folder}/config.json"]
    for spec in specs:
        if spec.kind in MODEL_KINDS and spec.name == champion.model:
            md5s = spec.md5s
            is_same = all(md5s.get(path) == champion.files.get(path) for path in identity)
            return spec if is_same else None
    return None


def champion_problem(leaderboard: str, champion: Champion, specs: list[RunSpec]) -> str | None:
    """That a champion is none of this dvc.lock, or None."""
    if _find_model(champion, specs):
        return None
    return f"{leaderboard}: the champion {champion.model} of {CHAMPIONS} is not that of dvc.lock"


def has_other_data(champion: Champion, specs: list[RunSpec]) -> bool:
    """Whether the data of a champion are others in this dvc.lock, such as the sample."""
    md5s: Md5s = {}
    for spec in specs:
        md5s |= spec.md5s
    return any(md5s.get(path) != md5 for path, md5 in champion.data_files.items())


def list_registrations(specs: list[RunSpec]) -> list[Registration]:
    """What MLflow should register: the champions, those of this dvc.lock with their runs."""
    registrations = []
    for leaderboard, champion in read_champions().items():
        spec = _find_model(champion, specs)
        task = "surnames" if leaderboard == "surnames" else "forecasting"
        registration = Registration(
            name=leaderboard,
            question=QUESTIONS[task],
            champion=champion.model,
            key=spec.key if spec else None,
            result=[*spec.result.values()] if spec else [],
            reason=champion.reason,
        )
        registrations.append(registration)
    return registrations
