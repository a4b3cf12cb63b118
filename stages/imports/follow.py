"""List the code that each stage runs: stages/ -> data/code/.

DVC does not follow imports. So each stage depends on a list for its module, such as
data/code/forecasting/train.json: the files that the module imports, directly or not, with their
md5s, and the packages that these import.

Run by DVC as `python stages/run.py imports.follow OUT`, before all other stages. It also checks
names in params, and removes results of stages that do not exist any more.
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
    SEARCHES_FILE,
    DataPath,
    Name,
    check_params,
    read_params,
)
from stages.shared.yaml_files import read_yaml

CODE = Path("stages")
_MODELS = "stages.models."  # imported by the names in params.yaml, not by an import statement
_RUN = b'__name__ == "__main__"'


@dataclass(frozen=True)
class _Source:
    """A Python file."""

    path: str
    md5: str
    imports: set[str]  # dotted names of modules and objects, also of imports inside functions
    is_run: bool  # whether it has a __main__ block


def read_sources(folder: Path) -> dict[str, _Source]:
    """Read all Python files below a folder, by the dotted name of the module or package.

    Raises:
        InputError: if a file is not valid Python.
    """
    sources = {}
    for path in sorted(folder.rglob("[!.]*.py")):
        package = ".".join(path.parent.parts)
        name = package if path.stem == "__init__" else f"{package}.{path.stem}"
        content = path.read_bytes()
        try:
            imports = set(find_imports(content, package))
        except (SyntaxError, ImportError, ValueError) as error:
            raise InputError(f"{path} is not valid Python ({error}): correct it") from None
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        sources[name] = _Source(path.as_posix(), md5, imports, _RUN in content)
    return sources


def find_imports(content: bytes, package: str) -> Iterator[str]:
    """Yield the names that code imports; relative imports are resolved against `package`."""
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        if isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                yield f"{origin}.{alias.name}"


def read_requirements(path: Path) -> dict[str, str]:
    """Read the requirements of pyproject.toml, by the names of the modules that they install."""
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]

    def normalize(distribution: str) -> str:  # as pip does
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
    """List the files that a module imports, itself included, with md5s, and their requirements."""
    reached: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        found = {name.rpartition(".")[0]}  # Python imports the package first
        if name in sources:
            found |= sources[name].imports
        waiting |= found - reached - {""}
    files = {source.path: source.md5 for name, source in sources.items() if name in reached}
    packages = {requirement for name, requirement in requirements.items() if name in reached}
    return {"files": files, "packages": sorted(packages)}


class _EntryNames(BaseModel):
    """The fields of an entry of params that dvc.yaml uses in commands and paths."""

    architecture: Name | None = None
    base: Name | None = None
    forecaster: Name | None = None
    path: DataPath | None = None
    series: Name | None = None


def check_names() -> None:
    """Check the names and paths in params that become part of shell commands.

    These are the entries of each `foreach` in dvc.yaml, and those of searches/params.yaml.

    Raises:
        InputError: if a name has other characters than a to z, 0 to 9 and _, or a path is not
            below data/ or has other characters than letters, digits, `_`, `.`, `-` and `/`.
    """
    for name, stage in parse_pipeline(read_yaml("dvc.yaml")).items():
        if isinstance(stage.foreach, str):
            read_params(stage.foreach.strip("${}"), dict[Name, _EntryNames])
        elif stage.foreach:
            check_params([*stage.foreach], list[Name], f"dvc.yaml: {name}.foreach")
    if SEARCHES_FILE.exists():
        searches = read_yaml(SEARCHES_FILE)
        for section, entry in searches.items():
            check_params(entry, _EntryNames, f"{SEARCHES_FILE}: {section}")


def main(out: str) -> None:
    """Write the list of code of each module with a __main__ block, and of each architecture."""
    check_names()
    tidy_results()
    shutil.rmtree(out, ignore_errors=True)  # DVC keeps it: the out is `persist: true`
    sources = read_sources(CODE)
    requirements = read_requirements(Path("pyproject.toml"))
    for module, source in sources.items():
        if source.is_run or module.startswith(_MODELS):
            path = Path(out, *module.split(".")[1:]).with_suffix(".json")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, _list_code(module, sources, requirements))


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
