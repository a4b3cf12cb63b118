"""The rules of the house, held against the code."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CODE = sorted(path for path in (ROOT / "stages").rglob("*.py") if path.name != "__init__.py")
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
LOCAL = "stages"
# Which folders may import what is slow to import or reaches out of the machine.
HOMES = {
    "mlflow": ("track.py", "tracking/", "commands/", "served/"),
    "matplotlib": (
        "plot_sine.py",
        "plot_surnames.py",
        "probe_layers.py",
        "shared/figures.py",
        "commands/",
    ),
    "requests": ("download_surnames.py",),
    "dvc": ("commands/",),
}
STANDARD_AND = {"torch", "numpy"}


def relative(path):
    return path.relative_to(ROOT / "stages").as_posix()


def list_imports(path):
    """Modules that a file names, local ones as files below stages/."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def list_local_imports(path):
    files = (ROOT / (name.replace(".", "/") + ".py") for name in list_imports(path))
    return {file for file in files if file.is_relative_to(ROOT / LOCAL) and file.exists()}


def find_reach(path):
    """Every local file that a file imports, directly or not, and itself."""
    reached, todo = set(), [path]
    while todo:
        file = todo.pop()
        if file not in reached:
            reached.add(file)
            todo += list_local_imports(file)
    return {file.relative_to(ROOT).as_posix() for file in reached}


def list_stages():
    """Name, definition and item of every stage, templates unrolled."""
    for name, stage in DVC["stages"].items():
        if "foreach" not in stage:
            yield name, stage, {}
            continue
        for key, item in PARAMS[stage["foreach"].strip("${}")].items():
            yield f"{name}@{key}", stage["do"], {"key": key, **item}


def fill(text, item):
    return re.sub(r"\$\{(?:item\.)?(\w+)\}", lambda match: str(item[match[1]]), text)


@pytest.mark.parametrize(
    ("name", "stage", "item"), [pytest.param(*s, id=s[0]) for s in list_stages()]
)
def test_a_stage_lists_exactly_the_code_that_it_reaches(name, stage, item):
    module = re.search(r"python -m (\S+)", stage["cmd"])[1]
    listed = {fill(dep, item) for dep in stage["deps"] if dep.startswith(LOCAL)}

    reached = find_reach(ROOT / (module.replace(".", "/") + ".py"))
    if name.split("_")[0] in {"train", "evaluate", "blend"}:  # build networks by their names
        architectures = {item.get("architecture")} - {None} or named_by_members(stage)
        reached |= {f"stages/models/{name}.py" for name in architectures}

    assert listed == reached


def named_by_members(stage):
    """Architectures of a blend: those of its members, and its own."""
    text = yaml.safe_dump(DVC["stages"]["blend_surnames"]["cmd"])
    members = [m for m in PARAMS["surnames"] if re.search(rf"data/trained/{m}\b", text)]
    return {PARAMS["surnames"][member]["architecture"] for member in members} | {"blend_classifier"}


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_heavy_imports_stay_at_home(path):
    roots = {name.split(".")[0] for name in list_imports(path)}

    for package, homes in HOMES.items():
        if package in roots:
            assert relative(path).startswith(homes), f"{package} in {path}"


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_no_stage_imports_a_stage(path):
    imported = {relative(file) for file in list_local_imports(path)}

    stages = {file for file in imported if "/" not in file}
    assert not stages or relative(path).startswith("commands/")
    if relative(path).startswith("shared/"):
        assert all(file.startswith("shared/") for file in imported)


@pytest.mark.parametrize(
    "path", [p for p in CODE if relative(p).startswith(("models/", "served/"))], ids=relative
)
def test_what_mlflow_serves_imports_nothing_of_ours(path):
    assert not list_local_imports(path)


def test_models_import_torch_and_numpy_alone():
    import sys

    for path in (ROOT / "stages/models").glob("*.py"):
        foreign = {name.split(".")[0] for name in list_imports(path)} - sys.stdlib_module_names
        assert foreign <= STANDARD_AND, path


def test_model_names_are_plain_and_unique():
    names = [*PARAMS["sine"], *PARAMS["surnames"]]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)


def test_every_stage_says_what_it_does():
    for name, stage, _ in list_stages():
        assert stage["desc"].endswith("."), name


def test_every_model_has_its_pictures_among_the_plots():
    drawn = {Path(plot).parts[2] for plot in list_plots() if plot.startswith("data/plotted/")}

    assert {*PARAMS["sine"], *PARAMS["surnames"]} <= drawn


def list_plots():
    for plot in DVC["plots"]:
        yield from [plot] if isinstance(plot, str) else plot


def test_packages_are_empty_inside():
    for path in (ROOT / "stages").rglob("__init__.py"):
        assert path.read_text(encoding="utf-8") == "", path


def test_what_decides_numbers_is_pinned_in_both_places():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    pinned = [d for d in project["dependencies"] if "==" in d]
    assert {d.split("==")[0] for d in pinned} == {"torch", "numpy"}
    assert set(pinned) <= set(constraints)
    assert not any(line.startswith("-e") or "+cpu" in line for line in constraints)


def test_dvc_calls_nobody():
    config = (ROOT / ".dvc/config").read_text(encoding="utf-8")

    assert "analytics = false" in config and "check_update = false" in config
