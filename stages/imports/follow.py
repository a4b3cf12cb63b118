"""List the code that each stage runs: stages/ -> data/code/. Before that, check names in params.

Results of stages that are gone are removed: `track` depends on whole folders.

Run by DVC as `python stages/run.py imports.follow OUT`, before all other stages. DVC does not
follow imports. So a stage depends on the list of its module, OUT/forecasting/train.json, which
changes with each file that the module imports, directly or not, and each package that these need.
"""

import ast
import hashlib
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stages.imports.leftovers import tidy_results
from stages.shared.command import run_as_command
from stages.shared.dvc_pipeline import parse_pipeline
from stages.shared.errors import InputError
from stages.shared.json_files import write_json
from stages.shared.params import (
    PARAMS_FILE,
    SEARCHES_FILE,
    DataPath,
    Name,
    check_params,
    read_params,
)
from stages.shared.yaml_files import read_yaml

_RENAMED = {  # sections of an earlier version -> what became of them
    "generate_sine": "generated_series, and observed_series for those from files",
    "preprocess_sine": "part of the entries of generated_series",
    "sine": "forecasters",
    "surnames": "classifiers",
    "blend_surnames": "blend_classifiers",
    "baselines_sine": "forecasting_baselines",
    "baselines_surnames": "surname_baselines",
    "evaluate_sine": "evaluate_forecasters",
    "evaluate_surnames": "evaluate_classifiers",
    "published": "part of stages/tracking/descriptions.yaml",
    "descriptions": "stages/tracking/descriptions.yaml",
}
CODE = Path("stages")
_MODELS = "stages.models."  # loaded by the names in params.yaml, not by an import
_RUN = b'__name__ == "__main__"'


@dataclass(frozen=True)
class _Source:
    """A file of code."""

    path: str
    md5: str
    imports: set[str]  # dotted names of modules and objects, those imported in functions too
    is_run: bool  # whether it is the file of a process


def read_sources(folder: Path) -> dict[str, _Source]:
    """Read all code below a folder, by dotted name; `__init__.py` has that of its package.

    Raises:
        InputError: a file is not valid Python.
    """
    sources = {}
    for path in sorted(folder.rglob("[!.]*.py")):
        package = ".".join(path.parent.parts)
        name = package if path.stem == "__init__" else f"{package}.{path.stem}"
        content = path.read_bytes()
        try:
            imports = set(find_imports(content, package))
        except (SyntaxError, ImportError, ValueError) as error:
            raise InputError(f"{path} is no Python ({error}): mend it") from None
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        sources[name] = _Source(path.as_posix(), md5, imports, _RUN in content)
    return sources


def find_imports(content: bytes, package: str) -> Iterator[str]:
    """Names that code imports; relative imports start at its package."""
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        if isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                yield f"{origin}.{alias.name}"


def read_requirements(path: Path) -> dict[str, str]:
    """Read the requirements of pyproject.toml, by the names under which they are imported."""
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]

    def normalize(distribution: str) -> str:  # as pip compares names
        return re.sub(r"[-_.]+", "-", distribution).lower()

    required = {}
    for requirement in project["dependencies"]:
        required[normalize(re.split(r"[^\w.-]", requirement)[0])] = requirement
    requirements = {}
    for name, distributions in packages_distributions().items():
        for distribution in distributions:
            if normalize(distribution) in required:
                requirements[name] = required[normalize(distribution)]
    return requirements


def _list_code(
    module: str, sources: dict[str, _Source], requirements: dict[str, str]
) -> dict[str, Any]:
    """The files that run when a module does, with their md5s, and the requirements they import."""
    reached: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        found = {name.rpartition(".")[0]}  # its package is imported first
        if name in sources:
            found |= sources[name].imports
        waiting |= found - reached - {""}
    files = {source.path: source.md5 for name, source in sources.items() if name in reached}
    packages = {requirement for name, requirement in requirements.items() if name in reached}
    return {"files": files, "packages": sorted(packages)}


class _Entry(BaseModel):
    """The fields of an entry of params that dvc.yaml puts into commands and paths."""

    architecture: Name | None = None
    base: Name | None = None
    forecaster: Name | None = None
    path: DataPath | None = None
    series: Name | None = None


def check_sections() -> None:
    """Reject sections of params.yaml that an earlier version had, with their present names.

    Raises:
        InputError: there is one.
    """
    for section in read_yaml(PARAMS_FILE):
        if section in _RENAMED:
            raise InputError(
                f"{PARAMS_FILE}: {section} is of an earlier version: it is {_RENAMED[section]} "
                "now. Once that is mended, `make clean` removes results of the earlier layout"
            )


def check_names() -> None:
    """Reject names with characters that are special to a shell: DVC puts them into commands.

    The entries from which dvc.yaml makes stages are checked, and those of the searches.

    Raises:
        InputError: a name has other characters than a to z, 0 to 9 and _, or a path others than
            those, A to Z, `.`, `-` and `/`, or a path is not below data/.
    """
    for name, stage in parse_pipeline(read_yaml("dvc.yaml")).items():
        if isinstance(stage.foreach, str):
            read_params(stage.foreach.strip("${}"), dict[Name, _Entry])
        elif stage.foreach:
            check_params([*stage.foreach], list[Name], f"dvc.yaml: {name}.foreach")
    if SEARCHES_FILE.exists():
        searches = read_yaml(SEARCHES_FILE)
        for section, entry in searches.items():
            check_params(entry, _Entry, f"{SEARCHES_FILE}: {section}")


def main(out: str) -> None:
    """Remove what stages that are gone have left, and list the code of each module that is run."""
    check_sections()
    check_names()
    tidy_results()
    shutil.rmtree(out, ignore_errors=True)  # DVC leaves it: it is no part of the run cache
    sources = read_sources(CODE)
    requirements = read_requirements(Path("pyproject.toml"))
    for module, source in sources.items():
        if source.is_run or module.startswith(_MODELS):
            path = Path(out, *module.split(".")[1:]).with_suffix(".json")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, _list_code(module, sources, requirements))


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
