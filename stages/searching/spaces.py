"""Draw the recipes of a random search (Bergstra & Bengio, 2012).

Each value depends only on the seed, the number of its recipe and the name of its param, so that
adding recipes or params does not change other values.
"""

import copy
import math
import zlib
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from stages.shared.errors import InputError
from stages.shared.params import SEARCHES_FILE, Count, Name, Params, Seed, check_params
from stages.shared.yaml_files import read_yaml

_Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]  # low, high
_Changes = dict[str, Any]  # dotted path in an entry of params.yaml -> value
_ParamsEntry = dict[str, Any]  # an entry of params.yaml


class Term(Params):
    """The distribution of one param; one of the three fields is set."""

    uniform: _Bounds | None = None
    log: _Bounds | None = None  # log-uniform
    choices: Annotated[list[Any], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Term":
        given = [term for term in (self.uniform, self.log, self.choices) if term is not None]
        if len(given) != 1:
            raise ValueError("give one of uniform, log and choices")
        bounds = self.uniform or self.log
        if bounds and bounds[0] >= bounds[1]:
            raise ValueError("the first bound must be below the second")
        if self.log and self.log[0] <= 0:
            raise ValueError("log needs bounds above 0")
        return self


class SearchParams(Params):
    """A section of searches/params.yaml."""

    base: Name  # entry of params.yaml that the recipes change
    architecture: Name  # architecture of the base; dvc.yaml depends on its file
    series: Name | None = None  # series of the base, if it is a forecaster; likewise
    recipes: Count  # number of recipes, in addition to the base
    seed: Seed  # seed of the draws
    seeds: list[Seed] = Field(min_length=1)  # seeds of the trainings of each recipe
    score: str  # validation score to optimize, averaged over the seeds
    space: dict[str, Term] = Field(min_length=1)  # param of the base -> its distribution

    @model_validator(mode="after")
    def _seeds_are_apart(self) -> "SearchParams":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds has a duplicate")
        fixed = {"architecture", "seed", "series"} & self.space.keys()
        if fixed:
            raise ValueError(f"space cannot have {', '.join(sorted(fixed))}: set them beside it")
        return self


def read_search(section: str) -> SearchParams:
    """Read a section of searches/params.yaml.

    Raises:
        InputError: if the section is missing or invalid.
    """
    sections = read_yaml(SEARCHES_FILE)
    return check_params(sections.get(section), SearchParams, f"{SEARCHES_FILE}: {section}")


def draw_recipes(params: SearchParams) -> list[_Changes]:
    """Draw the changes of each recipe; recipe 0 is the unchanged base."""
    recipes: list[_Changes] = [{}]
    for number in range(1, params.recipes + 1):
        changes = {}
        for path, term in params.space.items():
            stream = [params.seed, number, zlib.crc32(path.encode())]
            changes[path] = _draw_value(term, np.random.default_rng(stream))
        recipes.append(changes)
    return recipes


def _draw_value(term: Term, generator: np.random.Generator) -> Any:
    if term.choices is not None:
        return term.choices[generator.integers(len(term.choices))]
    share = generator.random()
    if term.log:
        low, high = term.log
        value = low * math.exp(share * math.log(high / low))
    else:
        assert term.uniform is not None  # one of the three is given
        low, high = term.uniform
        value = low + share * (high - low)
    # three significant digits, as a person would write into params.yaml
    return min(max(float(f"{value:.3g}"), low), high)


def change_entry(entry: _ParamsEntry, changes: _Changes, where: str) -> _ParamsEntry:
    """Return a copy of an entry with changed values.

    Raises:
        InputError: if a path is not in the entry; the message starts with `where`.
    """
    changed = copy.deepcopy(entry)
    for path, value in changes.items():
        *sections, last = path.split(".")
        inner: Any = changed
        for section in sections:
            inner = inner.get(section) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            raise InputError(f"{where}.{path} does not exist in the base: correct or remove it")
        inner[last] = value
    return changed


def find_value(entry: _ParamsEntry, path: str) -> Any:
    """Return the value at a dotted path of an entry, or None."""
    value: Any = entry
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
