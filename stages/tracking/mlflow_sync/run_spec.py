"""What a run in MLflow has to be: data that a project fills in, which the sync compares, writes."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from stages.tracking.mlflow_sync.dvc_files import Md5s, Stage, workspace_problem

FORMAT = 4  # of what a run shows: with another number every run is shown again, under its old key


class CurvePoint(NamedTuple):
    """One value of a curve."""

    name: str
    value: float
    step: int
    time: datetime


@dataclass(frozen=True)
class Content:
    """What the files of a run say; they are read only when a run is written.

    Args:
        started: when the first stage began.
        ended: when it ended.
        curves: metrics by step.
        scores: metrics without steps.
        labels: tags.
        note: Markdown, for the page of the run.
    """

    started: datetime
    ended: datetime
    curves: list[CurvePoint]
    scores: dict[str, float]
    labels: dict[str, str]
    note: str


@dataclass(frozen=True)
class Child:
    """A run below another, such as a trial of a search; it is made and dropped with its parent."""

    name: str
    params: dict[str, str]
    scores: dict[str, float]
    losses: list[tuple[int, float]]  # iteration and loss
    tags: dict[str, str]
    has_failed: bool


@dataclass(frozen=True)
class ModelPackage:
    """How the MLflow model of a run is written.

    Args:
        list_files: paths of the files that the model is loaded from.
        write: writes the MLflow model into a new folder, with the fields that tie it to its run.
    """

    list_files: Callable[[], list[str]]
    write: Callable[[Path, dict[str, Any]], None]


@dataclass(frozen=True)
class RunSpec:
    """A run: `key` identifies it, `display_digest` covers what else it shows.

    Args:
        name: of the run.
        experiment: it belongs to.
        kind: tag by which people filter runs.
        description: one sentence for its page.
        stages: entries of the lock file by what they do; the one that made the results first.
        params: as MLflow keeps them.
        results: paths of the files that identify the run; runs are looked up by the last.
        data: what the first stage read, by path.
        test_data: what only the evaluation read.
        shown: path of what people look at -> folder among the artifacts, "" for none.
        compared: files of other models that its note compares it with.
        read: reads its files.
        package: its model, if it has one.
        children: reads the runs below it, if it has some.
        missing_stage: what dvc.lock lacks of it, as a sentence, if it does.
    """

    name: str
    experiment: str
    kind: str
    description: str
    stages: dict[str, Stage]
    params: dict[str, str]
    results: list[str]
    data: Md5s
    read: Callable[[], Content]
    test_data: Md5s = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    compared: Md5s = field(default_factory=dict)
    package: ModelPackage | None = None
    children: Callable[[], list[Child]] | None = None
    missing_stage: str | None = None

    @property
    def first_stage(self) -> Stage:
        """The stage that made the results."""
        return next(iter(self.stages.values()))

    @property
    def outs(self) -> Md5s:
        """What its stages wrote."""
        outs: Md5s = {}
        for stage in self.stages.values():
            outs |= stage.outs
        return outs

    @property
    def md5s(self) -> Md5s:
        """All files and folders that its stages read and wrote."""
        md5s: Md5s = {}
        for stage in self.stages.values():
            md5s |= stage.deps | stage.outs
        return md5s

    @property
    def result(self) -> Md5s:
        """The file by which its run is looked up; empty while that was not made."""
        md5s = self.md5s
        return {path: md5s[path] for path in self.results[-1:] if path in md5s}

    @property
    def key(self) -> str:
        """Identity: results, params and data, whatever code wrote them."""
        md5s = self.md5s
        results = [md5s.get(path) for path in self.results]
        return _digest([self.name, self.params, sorted(self.data.values()), results])

    @property
    def display_digest(self) -> str:
        """Digest of what is shown and is no part of the identity."""
        outs = self.outs
        shown = {path: outs[path] for path in self.shown}
        return _digest([FORMAT, self.kind, self.description, shown, self.compared])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def run_problem(spec: RunSpec) -> str | None:
    """Why a run cannot be written: results are missing or not those of the lock file, or None."""
    if spec.missing_stage:
        return spec.missing_stage
    problem = workspace_problem([*spec.outs, *spec.compared], spec.md5s)
    if problem or not spec.package:
        return problem
    return package_problem(spec)


def package_problem(spec: RunSpec) -> str | None:
    """Why the model of a run cannot be packed or loaded from the workspace, or None."""
    if not spec.package:
        return "it has no model"
    paths = spec.package.list_files()
    md5s = spec.md5s
    for path in paths:
        if path not in md5s:  # code, whose list is missing here or another one
            return f"{path} may differ from dvc.lock: run `make pull` or `dvc repro`"
    return workspace_problem(paths, md5s)
