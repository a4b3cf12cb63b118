"""What has a run of its own in MLflow, by dvc.lock: models, baselines, the layer tour, searches."""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.tracking.checksums import CODE, Md5s
from stages.tracking.lockfile import (
    Descriptions,
    Stage,
    read_descriptions,
    read_searches,
    read_stages,
)
from stages.tracking.nested import flatten

TOUR = "data/plotted/layers"
BASELINE_PARAMS = {"forecasting": "forecasting_baselines", "surnames": "surname_baselines"}
EVALUATED = "data/evaluated"
DETAILS = {
    "forecasting": f"{EVALUATED}/details/forecasting",
    "surnames": f"{EVALUATED}/details/surnames",
}  # by task
FORMAT = 4  # of what a run shows: another number has every run shown anew, under its old key
SEARCHES_PARAMS = "searches/params.yaml"
SEARCHED = "recipes drawn at random, trained, and scored on validation alone"
PLACES = ("", "tables", "figures")  # folders of a run: see `find_place`
UNDESCRIBED = "not described in stages/tracking/descriptions.yaml"


@dataclass(frozen=True)
class Subject(ABC):
    """What a run is made of: `key` identifies it, `looks` says what is shown beside it.

    Args:
        name: of the run.
        kind: walk-through, own, baseline, tour or search.
        description: one sentence for its page.
    """

    name: str
    kind: str
    description: str

    @property
    @abstractmethod
    def experiment(self) -> str:
        """Where the run belongs: the task, or an experiment of its own."""

    @property
    @abstractmethod
    def stages(self) -> dict[str, Stage]:
        """The stages that dvc.lock has, by what they do; the maker first."""

    @property
    @abstractmethod
    def params(self) -> dict[str, str]:
        """What the maker was told."""

    @property
    @abstractmethod
    def results(self) -> list[str]:
        """Files whose bytes make it another run."""

    @property
    def result(self) -> Md5s:
        """The last of them, by which its run is looked for; nothing, while it is not made."""
        return {path: self.md5s[path] for path in self.results[-1:] if path in self.md5s}

    @property
    def maker(self) -> Stage:
        """The stage that made it."""
        return next(iter(self.stages.values()))

    @property
    def outs(self) -> Md5s:
        """What these stages wrote."""
        outs: Md5s = {}
        for stage in self.stages.values():
            outs |= stage.outs
        return outs

    @property
    def md5s(self) -> Md5s:
        """Every file and folder that dvc.lock names for it."""
        md5s: Md5s = {}
        for stage in self.stages.values():
            md5s |= stage.deps | stage.outs
        return md5s

    @property
    def data(self) -> Md5s:
        """What the maker read below data/."""
        return _keep_data(self.maker.deps)

    @property
    def test_data(self) -> Md5s:
        """What was read below data/ only to score it."""
        return {}

    @property
    def key(self) -> str:
        """Identity: what came out of which params and data, whatever code wrote it."""
        results = [self.md5s.get(path) for path in self.results]
        return _digest([self.name, self.params, sorted(self.data.values()), results])

    @property
    def shown(self) -> dict[str, str]:
        """What people look at beside params and metrics: path -> folder of the run."""
        places = {}
        for path in self.outs:
            place = find_place(path)
            if place is not None:
                places[path] = place
        return places

    @property
    def looks(self) -> str:
        """Digest of all that is shown, and no part of the identity."""
        md5s = {path: self.outs[path] for path in self.shown}
        beside = {path: md5 for path, md5 in self.md5s.items() if is_of_baselines(path)}
        return _digest([FORMAT, self.kind, self.description, md5s, beside])


@dataclass(frozen=True)
class Model(Subject):
    """A trained model, by the stages that made, scored and drew it."""

    train: Stage
    evaluate: Stage | None = None
    plot: Stage | None = None

    @property
    def experiment(self) -> str:
        """The task."""
        return _find_task(self.train)

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages that dvc.lock has, training first."""
        stages = {"train": self.train}
        if self.evaluate:
            stages["evaluate"] = self.evaluate
        if self.plot:
            stages["plot"] = self.plot
        return stages

    @property
    def test_data(self) -> Md5s:
        """What only evaluation read below data/."""
        if not self.evaluate:
            return {}
        read = _keep_data(self.evaluate.deps)
        known = self.data | self.train.outs
        return {
            path: md5
            for path, md5 in read.items()
            if path not in known and not is_of_baselines(path)
        }

    @property
    def params(self) -> dict[str, str]:
        """What training was told, without the names of the sections: `network.hidden` -> `10`."""
        values: dict[str, Any] = {}
        for section, value in self.train.params.get("params.yaml", {}).items():
            values |= value if isinstance(value, dict) else {section: value}
        return _say_values(values)

    @property
    def results(self) -> list[str]:
        """Weights, curves and scores."""
        return [
            f"data/trained/{self.name}/weights.pt",
            f"data/trained/{self.name}/curves.csv",
            f"{EVALUATED}/{self.experiment}/{self.name}.json",
            f"{DETAILS[self.experiment]}/{self.name}/scores.json",
        ]


@dataclass(frozen=True)
class Baseline(Subject):
    """A forecaster or classifier without a network.

    Args:
        method: as scores.json calls it.
        score: the stage that scores all baselines on the same data.
    """

    method: str
    score: Stage

    @property
    def experiment(self) -> str:
        """The task."""
        return _find_task(self.score)

    @property
    def stages(self) -> dict[str, Stage]:
        """The one stage."""
        return {"score": self.score}

    @property
    def params(self) -> dict[str, str]:
        """What the baselines are chosen from."""
        values = {"baseline": self.method} | _find_baseline_params(self.score)
        values.pop("names", None)
        return _say_values(values)

    @property
    def shown(self) -> dict[str, str]:
        """Nothing: its table holds the rows of all baselines, and would lie in the run of each."""
        return {}

    @property
    def results(self) -> list[str]:
        """The scores."""
        return [path for path in self.score.outs if path.endswith("/scores.json")]


@dataclass(frozen=True)
class Tour(Subject):
    """The tour of the recurrent layers and the gradient through time, which train nothing."""

    probe: Stage

    @property
    def experiment(self) -> str:
        """One of its own."""
        return "layers"

    @property
    def stages(self) -> dict[str, Stage]:
        """The one stage."""
        return {"probe": self.probe}

    @property
    def params(self) -> dict[str, str]:
        """What was probed; how it was drawn is no part of it."""
        return _say_values(self.probe.read_section("probe_layers"))

    @property
    def results(self) -> list[str]:
        """The tables."""
        return [f"{TOUR}/{table}.csv" for table in ("layers", "equivalences", "gradients")]


@dataclass(frozen=True)
class Search(Subject):
    """A search for a recipe; its trials have runs below its own."""

    search: Stage

    @property
    def experiment(self) -> str:
        """That of all searches, so that a task's own shows what was chosen."""
        return "searches"

    @property
    def stages(self) -> dict[str, Stage]:
        """The one stage."""
        return {"search": self.search}

    @property
    def section(self) -> dict[str, Any]:
        """What searches/params.yaml said."""
        section = self.search.read_section(self.search.name, SEARCHES_PARAMS)
        for field in ("base", "score", "space"):
            if not section.get(field):
                self.search.refuse()
        return section

    @property
    def params(self) -> dict[str, str]:
        """How was searched, and what on top of."""
        return _say_values(self.section | self.search.read_sections())

    @property
    def base(self) -> str:
        """Entry of params.yaml on top of which recipes were drawn."""
        base: str = self.section["base"]
        return base

    @property
    def score(self) -> str:
        """By which they are compared."""
        score: str = self.section["score"]
        return score

    @property
    def folder(self) -> Path:
        """Where its outs lie."""
        return Path(self.results[0]).parent

    @property
    def results(self) -> list[str]:
        """All that it wrote."""
        return sorted(self.search.outs)


def read_models() -> list[Model]:
    """Read the models of the working folder, by name."""
    return keep_models(read_subjects())


def keep_models(subjects: list[Subject]) -> list[Model]:
    """The trained models among all that has a run."""
    return [subject for subject in subjects if isinstance(subject, Model)]


def read_subjects() -> list[Subject]:
    """Read the models of the working folder, by name, then baselines, layer tour and searches."""
    stages = read_stages()
    descriptions = read_descriptions()
    makers = {}
    for stage in stages:
        for path in stage.outs:
            makers[path] = stage
    subjects: list[Subject] = [*list_models(makers, descriptions)]
    for stage in stages:
        if stage.cmd.split()[2].endswith(".score_baselines"):
            subjects += list_baselines(stage, descriptions)
    probe = makers.get(f"{TOUR}/layers.csv")
    if probe:
        description = _describe("tour", "layer_tour", descriptions)
        subjects.append(Tour("layer_tour", "tour", description, probe))
    return subjects + list_searches()


def list_searches() -> list[Search]:
    """List the searches that lie here: `make repro` makes all but them."""
    searches = []
    for stage in read_searches():
        if not any(path.endswith("/trials.csv") for path in stage.outs):  # the last that DVC lists
            stage.refuse()
        if all(Path(path).exists() for path in stage.outs):
            searches.append(Search(stage.name, "search", SEARCHED, stage))
    return searches


def list_models(makers: dict[str, Stage], descriptions: Descriptions) -> list[Model]:
    """List the trained models, by name.

    Args:
        makers: path of an out -> the stage that made it.
        descriptions: by kind and name.
    """
    models = []
    for path in sorted(makers):
        found = re.fullmatch("data/trained/(.+)/weights.pt", path)
        if found:
            name = found[1]
            kind = "walk-through" if name in descriptions["walk-through"] else "own"
            description = _describe(kind, name, descriptions)
            evaluate = makers.get(f"{DETAILS[_find_task(makers[path])]}/{name}/scores.json")
            plot = makers.get(f"data/plotted/{name}/details")
            models.append(Model(name, kind, description, makers[path], evaluate, plot))
    return models


def list_baselines(stage: Stage, descriptions: Descriptions) -> list[Baseline]:
    """List the baselines that a stage scored; those of a series carry its name."""
    series = stage.name.partition("@")[2]
    baselines = []
    for method in _find_baseline_params(stage).get("names") or []:
        name = f"{method} ({series})" if series else method
        description = _describe("baseline", method, descriptions)
        baselines.append(Baseline(name, "baseline", description, method, stage))
    return baselines


def is_of_baselines(path: str) -> bool:
    """Whether a file holds scores of baselines."""
    return path.startswith(tuple(f"{folder}/baselines/" for folder in DETAILS.values()))


def find_place(path: str) -> str | None:
    """Folder of a run in which an out is shown, "" for none above it; None: it is not shown."""
    if path.startswith("data/trained/"):
        return "" if path.endswith("/progress.txt") else None
    if path.endswith((".csv", "/best.yaml")):
        return "tables"
    return "figures" if path.startswith("data/plotted/") else None


def _describe(kind: str, name: str, descriptions: Descriptions) -> str:
    return descriptions[kind].get(name, UNDESCRIBED)


def _find_task(stage: Stage) -> str:
    """The folder of the module that a stage runs."""
    return stage.cmd.split()[2].partition(".")[0]  # python stages/run.py surnames.train …


def _find_baseline_params(stage: Stage) -> dict[str, Any]:
    """What the section of the baselines says."""
    return stage.read_section(BASELINE_PARAMS[_find_task(stage)])


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _keep_data(md5s: Md5s) -> Md5s:
    data = {}
    for path, md5 in md5s.items():
        if path.startswith("data/") and not path.startswith(CODE):
            data[path] = md5
    return data


def _say_values(values: dict[str, Any]) -> dict[str, str]:
    """Values as MLflow keeps them, with one name each."""
    params = {}
    for name, value in flatten(values, ".").items():
        params[name] = value if isinstance(value, str) else json.dumps(value)
    return params
