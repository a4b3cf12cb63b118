"""What DVC knows: dvc.yaml, params.yaml and dvc.lock -> the models that there should be."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.shared.errors import InputError
from stages.tracking.checksums import Md5s
from stages.tracking.nested import flatten


@dataclass(frozen=True)
class Stage:
    """One entry of dvc.lock."""

    name: str
    cmd: str
    deps: Md5s
    outs: Md5s
    params: dict[str, dict[str, Any]]  # file -> section -> value


@dataclass(frozen=True)
class Model:
    """A trained model, by the stages that made, scored and drew it."""

    name: str
    train: Stage
    evaluate: Stage | None = None
    plot: Stage | None = None

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages that dvc.lock has, by what they do."""
        stages = {"train": self.train}
        if self.evaluate:
            stages["evaluate"] = self.evaluate
        if self.plot:
            stages["plot"] = self.plot
        return stages

    @property
    def outs(self) -> Md5s:
        """What these stages wrote."""
        outs: Md5s = {}
        for stage in self.stages.values():
            outs |= stage.outs
        return outs

    @property
    def md5s(self) -> Md5s:
        """Every file and folder that dvc.lock names for this model."""
        md5s: Md5s = {}
        for stage in self.stages.values():
            md5s |= stage.deps | stage.outs
        return md5s

    @property
    def data(self) -> Md5s:
        """What training read below data/."""
        return _keep_data(self.train.deps)

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
        params = {}
        for name, value in flatten(values, ".").items():
            params[name] = value if isinstance(value, str) else json.dumps(value)
        return params

    @property
    def key(self) -> str:
        """Identity: what came out of which params and data, whatever code wrote it."""
        results = [
            f"data/trained/{self.name}/weights.pt",
            f"data/trained/{self.name}/curves.csv",
            f"data/evaluated/{self.name}/metrics.json",
        ]
        identity = [
            self.name,
            self.params,
            sorted(self.data.values()),
            [self.md5s.get(path) for path in results],
        ]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def figures(self) -> str | None:
        """Md5 of the model's figures."""
        return self.plot.outs[f"data/plotted/{self.name}"] if self.plot else None


def read_models() -> list[Model]:
    """Read the models of the working folder, by name."""
    makers = {}
    for stage in read_stages():
        for path in stage.outs:
            makers[path] = stage
    models = []
    for path in sorted(makers):
        found = re.fullmatch("data/trained/(.+)/weights.pt", path)
        if found:
            name = found[1]
            evaluate = makers.get(f"data/evaluated/{name}/metrics.json")
            plot = makers.get(f"data/plotted/{name}")
            models.append(Model(name, makers[path], evaluate, plot))
    return models


def read_stages() -> list[Stage]:
    """Read dvc.lock: the stages that dvc.yaml and params.yaml ask for, not those that left."""
    asked = _list_names(_read_yaml("dvc.yaml")["stages"], _read_yaml("params.yaml"))
    entries = _read_yaml("dvc.lock").get("stages") or {}
    stages = []
    for name, entry in entries.items():
        if name in asked:
            deps = _read_md5s(entry.get("deps", []))
            outs = _read_md5s(entry.get("outs", []))
            stages.append(Stage(name, entry["cmd"], deps, outs, entry.get("params", {})))
    return stages


def _keep_data(md5s: Md5s) -> Md5s:
    return {path: md5 for path, md5 in md5s.items() if path.startswith("data/")}


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return yaml.load(file, yaml.CSafeLoader) or {}  # the C one: a lock file is long
    except FileNotFoundError:
        raise InputError(
            f"{path} is not here: run `dvc repro` first, in the folder that holds dvc.yaml"
        ) from None


def _read_md5s(entries: list[dict[str, Any]]) -> Md5s:
    return {entry["path"]: entry["md5"] for entry in entries}


def _list_names(stages: dict[str, Any], params: dict[str, Any]) -> set[str]:
    """Names of all stages, templates unrolled."""
    names = set()
    for name, stage in stages.items():
        if "foreach" not in stage:
            names.add(name)
            continue
        items = stage["foreach"]
        if isinstance(items, str):  # "${section}": one stage an entry of params.yaml
            items = params[items.strip("${}")]
        for item in items:
            names.add(f"{name}@{item}")
    return names
