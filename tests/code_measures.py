"""How much there is to read: `python -m tests.code_measures` prints a table.

Definitions are functions, classes and constants at the top level of a module. Exempt from "used in
no other file" are `main` and networks, which are found by the name of their file; exempt from "in
two modules" are the verbs of stages that both tasks have.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES = sorted(path for path in (ROOT / "stages").rglob("*.py"))
USERS = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
FOLDERS = ("tracking", "tracking/mlflow_sync", "forecasting", "surnames", "shared", "cli")
VERBS = {"main", "train", "evaluate", "plot", "score_baselines", "preprocess", "assess"}


def list_definitions(path: Path) -> set[str]:
    """The public names that a module defines at its top level."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


def list_unshared() -> list[str]:
    """Public definitions that no other file names, as `path: name`."""
    words = {
        path: set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
        for path in [*STAGES, *USERS]
    }
    unshared = []
    for path in STAGES:
        is_network = path.parent.name == "models"
        others = set().union(*(found for other, found in words.items() if other != path))
        for name in sorted(list_definitions(path) - others - {"main"}):
            if not (is_network and name.lower() == path.stem.replace("_", "")):
                unshared.append(f"{path.relative_to(ROOT)}: {name}")
    return unshared


def list_doubles() -> dict[str, list[str]]:
    """Public names that two modules define, with their files."""
    modules = defaultdict(list)
    for path in STAGES:
        for name in list_definitions(path) - VERBS:
            modules[name].append(str(path.relative_to(ROOT / "stages")))
    return {name: found for name, found in sorted(modules.items()) if len(found) > 1}


def count_functions(paths: list[Path]) -> tuple[int, int]:
    """Functions and methods, and lines."""
    texts = [path.read_text(encoding="utf-8") for path in paths]
    functions = [
        node
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    ]
    return len(functions), sum(text.count("\n") for text in texts)


def count_imports(folder: str) -> tuple[int, int]:
    """Files of a folder below stages/, and imports among them."""
    paths = [path for path in (ROOT / "stages" / folder).rglob("*.py") if path.stat().st_size]
    modules = {
        f"stages.{path.relative_to(ROOT / 'stages').as_posix()[:-3].replace('/', '.')}"
        for path in paths
    }
    num_imports = 0
    for path in paths:
        imported = set(re.findall(r"^ *from (\S+) import", path.read_text("utf-8"), re.MULTILINE))
        num_imports += len(imported & modules)
    return len(paths), num_imports


def main() -> None:
    """Print the table, and what is behind its counts."""
    num_functions, num_lines = count_functions(STAGES)
    print(f"lines of stages/: {num_lines}")
    print(f"functions in 1,000 lines: {1000 * num_functions / num_lines:.0f}")
    for folder in FOLDERS:
        paths = sorted((ROOT / "stages" / folder).glob("*.py"))
        functions, lines = count_functions(paths)
        files, imports = count_imports(folder)
        print(
            f"  {folder}: {lines} lines, {1000 * functions / lines:.0f} functions in 1,000; "
            f"with subfolders {files} files, {imports} imports among them"
        )
    unshared, doubles = list_unshared(), list_doubles()
    print(f"public definitions used in no other file: {len(unshared)}", *unshared, sep="\n  ")
    print(f"public names in two modules: {len(doubles)}")
    for name, found in doubles.items():
        print(f"  {name}: {', '.join(found)}")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    print(f"lines of README.md: {len(readme.splitlines())}")


if __name__ == "__main__":
    main()
