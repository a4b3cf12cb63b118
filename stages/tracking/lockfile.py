"""What DVC knows: dvc.yaml, params.yaml and dvc.lock -> the models that there should be."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.shared.errors import InputError

Md5s = dict[str, str]  # path -> md5 as DVC writes it, `.dir` at the end of a folder's


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
        stages = {"train": self.train, "evaluate": self.evaluate, "plot": self.plot}
        return {role: stage for role, stage in stages.items() if stage}

    @property
    def md5s(self) -> Md5s:
        """Every file and folder that dvc.lock names for this model."""
        stages = self.stages.values()
        return {path: md5 for s in stages for path, md5 in (s.deps | s.outs).items()}

    @property
    def data(self) -> Md5s:
        """What training read below data/."""
        return {path: md5 for path, md5 in self.train.deps.items() if path.startswith("data/")}

    @property
    def test_data(self) -> Md5s:
        """What only evaluation read below data/."""
        deps = self.evaluate.deps if self.evaluate else {}
        known = self.data | self.train.outs
        return {p: md5 for p, md5 in deps.items() if p.startswith("data/") and p not in known}

    @property
    def params(self) -> dict[str, str]:
        """What training was told, without the names of the sections: `network.hidden` -> `10`."""
        sections = self.train.params.get("params.yaml", {}).items()
        return {
            name: text
            for section, value in sections
            for name, text in _flatten(value if isinstance(value, dict) else {section: value})
        }

    @property
    def key(self) -> str:
        """Identity: what came out of which params and data, whatever code wrote it."""
        results = [f"data/trained/{self.name}/weights.pt", f"data/trained/{self.name}/curves.csv"]
        results += [f"data/evaluated/{self.name}/metrics.json"]
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
        return self.plot and self.plot.outs[f"data/plotted/{self.name}"]


def read_models() -> list[Model]:
    """Read the models of the working folder, by name.

    dvc.yaml and params.yaml say which stages exist; dvc.lock also keeps those that left.
    """
    asked = read_names()
    stages = [stage for name, stage in read_stages().items() if name in asked]
    by_out = {path: stage for stage in stages for path in stage.outs}
    names = sorted(
        found[1] for path in by_out if (found := re.fullmatch("data/trained/(.+)/weights.pt", path))
    )
    return [
        Model(
            name,
            by_out[f"data/trained/{name}/weights.pt"],
            by_out.get(f"data/evaluated/{name}/metrics.json"),
            by_out.get(f"data/plotted/{name}"),
        )
        for name in names
    ]


def read_stages() -> dict[str, Stage]:
    """Read all entries of dvc.lock by name."""
    return {
        name: Stage(
            name,
            entry["cmd"],
            _read_md5s(entry.get("deps", [])),
            _read_md5s(entry.get("outs", [])),
            entry.get("params", {}),
        )
        for name, entry in (_read_yaml("dvc.lock").get("stages") or {}).items()
    }


def read_names() -> set[str]:
    """Names of the stages that dvc.yaml and params.yaml ask for."""
    params = _read_yaml("params.yaml")
    return set(_name_stages(_read_yaml("dvc.yaml")["stages"], params))


def find_first_disagreement(paths: Iterable[str], md5s: Md5s) -> str | None:
    """Say how the first file that departs from dvc.lock does so, or nothing.

    Args:
        paths: files and folders.
        md5s: what dvc.lock says of them, or of a folder above them.
    """
    return next((found for path in paths if (found := _find_disagreement(path, md5s))), None)


def _find_disagreement(path: str, md5s: Md5s) -> str | None:
    if not Path(path).exists():
        return f"{path} is missing: run `dvc pull` or `dvc repro`"
    pinned = next((p for p in (path, *map(str, Path(path).parents)) if p in md5s), None)
    if pinned and compute_md5(Path(pinned)) != md5s[pinned]:
        return f"{pinned} differs from dvc.lock: run `dvc checkout` or `dvc repro`"
    return None


def compute_md5(path: Path) -> str:
    """Md5 as DVC writes it; a folder's is that of the list of its files."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    files = (file for file in path.rglob("*") if file.is_file())
    listing = sorted(
        ({"md5": compute_md5(f), "relpath": f.relative_to(path).as_posix()} for f in files),
        key=lambda entry: entry["relpath"],
    )
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"


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


def _name_stages(stages: dict[str, Any], params: dict[str, Any]) -> Iterator[str]:
    for name, stage in stages.items():
        if "foreach" not in stage:
            yield name
            continue
        items = stage["foreach"]
        if isinstance(items, str):  # "${section}": one stage an entry of params.yaml
            items = params[items.strip("${}")]
        yield from (f"{name}@{item}" for item in items)


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)
