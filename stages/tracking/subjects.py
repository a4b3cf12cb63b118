"""What has a run of its own in MLflow, as dvc.lock tells it: the models and the layer tour."""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from stages.tracking.checksums import Md5s
from stages.tracking.lockfile import Stage, read_descriptions, read_stages
from stages.tracking.nested import flatten

TOUR = "data/plotted/layers"
UNDESCRIBED = "no words about it under `descriptions` in params.yaml"


@dataclass(frozen=True)
class Subject(ABC):
    """What a run is made of: `key` identifies it, `looks` says what is shown beside it.

    Args:
        name: of the run.
        description: one sentence for its page.
    """

    name: str
    description: str

    @property
    @abstractmethod
    def experiment(self) -> str:
        """Where the run belongs; a model's is its task."""

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
        return _digest([self.description, md5s])


@dataclass(frozen=True)
class Model(Subject):
    """A trained model, by the stages that made, scored and drew it."""

    train: Stage
    evaluate: Stage | None = None
    plot: Stage | None = None

    @property
    def experiment(self) -> str:
        """The task, which the name of a stage ends with."""
        kind, _, _ = self.train.name.partition("@")
        return kind.rpartition("_")[2]

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
        return {path: md5 for path, md5 in read.items() if path not in known}

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
            f"data/evaluated/{self.name}/metrics.json",
        ]


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
        return _say_values(self.probe.params["params.yaml"]["probe_layers"])

    @property
    def results(self) -> list[str]:
        """The tables."""
        return [f"{TOUR}/{table}.csv" for table in ("layers", "equivalences", "gradients")]


def read_models() -> list[Model]:
    """Read the models of the working folder, by name."""
    return [subject for subject in read_subjects() if isinstance(subject, Model)]


def read_subjects() -> list[Subject]:
    """Read the models of the working folder, by name, and then the layer tour."""
    descriptions = read_descriptions()
    makers = {}
    for stage in read_stages():
        for path in stage.outs:
            makers[path] = stage
    subjects: list[Subject] = []
    for path in sorted(makers):
        found = re.fullmatch("data/trained/(.+)/weights.pt", path)
        if found:
            name = found[1]
            description = descriptions.get(name, UNDESCRIBED)
            evaluate = makers.get(f"data/evaluated/{name}/metrics.json")
            plot = makers.get(f"data/plotted/{name}")
            subjects.append(Model(name, description, makers[path], evaluate, plot))
    probe = makers.get(f"{TOUR}/layers.csv")
    if probe:
        description = descriptions.get("layer_tour", UNDESCRIBED)
        subjects.append(Tour("layer_tour", description, probe))
    return subjects


def find_place(path: str) -> str | None:
    """Folder of a run in which an out is shown, "" for none above it; None: it is not shown."""
    if path.startswith("data/trained/"):
        return "" if path.endswith("/progress.txt") else None
    if path.endswith(".csv"):
        return "tables"
    return "figures" if path.startswith("data/plotted/") else None


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _keep_data(md5s: Md5s) -> Md5s:
    return {path: md5 for path, md5 in md5s.items() if path.startswith("data/")}


def _say_values(values: dict[str, Any]) -> dict[str, str]:
    """Values as MLflow keeps them, with one name each."""
    params = {}
    for name, value in flatten(values, ".").items():
        params[name] = value if isinstance(value, str) else json.dumps(value)
    return params
