"""Layout rules, checked against the code."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stages.cli.dvc_internals import PINNED as DVC_PIN
from stages.imports.follow import find_imports
from stages.ray_cluster.tasks import DECISIVE
from stages.shared.yaml_files import parse_yaml
from tests.code_measures import list_doubles, list_unshared
from tests.pipeline import ONE_OF_EACH, make_clone
from tests.shell import commit, run

ROOT = Path(__file__).parents[1]
DVC = parse_yaml((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS = parse_yaml((ROOT / "params.yaml").read_text(encoding="utf-8"))
SEARCHES = parse_yaml((ROOT / "searches/dvc.yaml").read_text(encoding="utf-8"))
SEARCHED = parse_yaml((ROOT / "searches/params.yaml").read_text(encoding="utf-8"))
# A package and the packages that it may import from: data and imports flow one way.
PACKAGES = {
    "stages": {"stages/ray_cluster", "stages/shared"},
    "stages/models": set(),
    "stages/shared": {"stages/shared"},
    "stages/ray_cluster": {"stages/ray_cluster", "stages/shared"},
    "stages/imports": {"stages/imports", "stages/shared"},
    "stages/layers": {"stages/layers", "stages/shared"},
    "stages/forecasting": {"stages/forecasting", "stages/shared", "stages/models"},
    "stages/surnames": {"stages/surnames", "stages/shared", "stages/models"},
    # trains and scores in memory, by the pure functions of stages
    "stages/searching": {
        "stages/searching",
        "stages/forecasting",
        "stages/surnames",
        "stages/ray_cluster",
        "stages/shared",
    },
    # MLflow runs these files where there is nothing of ours
    "stages/tracking/served_models": set(),
    "stages/tracking/mlflow_sync": {"stages/tracking/mlflow_sync", "stages/shared"},
    "stages/tracking": {
        "stages/tracking",
        "stages/tracking/mlflow_sync",
        "stages/tracking/served_models",
        "stages/searching",
        "stages/forecasting",
        "stages/surnames",
        "stages/shared",
    },
}
PACKAGES["stages/cli"] = {*PACKAGES, "stages/cli"}
PACKAGES["benchmarks/published"] = {"benchmarks/published"}
PACKAGES["benchmarks"] = {*PACKAGES, "benchmarks"}
# Who may import what is slow to import or reaches out of the machine.
HEAVY = {
    "mlflow": ("stages/tracking/", "stages/cli/"),
    "matplotlib": (
        "stages/forecasting/plot.py",
        "stages/surnames/plot.py",
        "stages/layers/probe.py",
        "stages/shared/figures.py",
        "stages/cli/",
        "benchmarks/published/",
    ),
    "joblib": ("stages/searching/workers.py",),
    "requests": ("stages/surnames/download.py",),
    "sklearn": ("stages/surnames/score_baselines.py",),
    "numba": ("stages/shared/kernels.py",),
    "dvc": ("stages/cli/", "stages/shared/dvc_pipeline.py"),
    "ray": ("stages/ray_cluster/", "benchmarks/cluster.py"),
}
# What DVC's documentation or its command line promises.
PUBLIC_DVC = ("dvc.repo.Repo.", "dvc.exceptions.", "dvc.config.", "dvc.api.")

# what tells one kind of series from the other
KINDS = {
    "GeneratedSeries",
    "ObservedSeries",
    "GeneratedParams",
    "ObservedParams",
    "observed",
    "naive_error",
}
WHOLE = {"stages/cli", "stages/searching", "benchmarks"}  # put stages to a use of their own
CODE = [
    *sorted((ROOT / "stages").rglob("[a-z]*.py")),
    *sorted((ROOT / "benchmarks").rglob("[a-z]*.py")),
]


PLOTS = ("train_forecaster", "train_classifier", "plot_forecaster", "plot_classifier", "plot_blend")
FOLLOW = ROOT / "stages/imports/follow.py"
CHOOSE = "import stages  # noqa: F401  chooses the arithmetic before NumPy loads\n"


def relative(path):
    return path.relative_to(ROOT).as_posix()


def list_imports(path):
    """Names that a file imports, of modules and of what is in them."""
    return set(find_imports(path.read_bytes(), package=find_package(path).replace("/", ".")))


def list_local_imports(path):
    """The project's own files that a file imports."""
    names = list_imports(path)
    modules = names | {name.rpartition(".")[0] for name in names}
    files = {ROOT / (name.replace(".", "/") + ".py") for name in modules}
    return {file for file in files if file.exists()}


def find_package(path):
    return relative(path.parent)


def list_stages():
    """Name, definition and item of every stage, templates unrolled."""
    for name, stage in DVC["stages"].items():
        if "foreach" not in stage:
            yield name, stage, {}
            continue
        for key, item in PARAMS[stage["foreach"].strip("${}")].items():
            yield f"{name}@{key}", stage["do"], {"key": key, **item}
    for name, stage in SEARCHES["stages"].items():
        yield name, stage, SEARCHED[name]


def find_modules(stage):
    """The files that a stage runs: its module, and what launches that."""
    command = re.search(r"python stages/run\.py (launch )?(\S+)", stage["cmd"])
    modules = [name.strip() for name in command.groups() if name]
    return {ROOT / "stages" / (module.replace(".", "/") + ".py") for module in modules}


def fill(text, item):
    return re.sub(r"\$\{(?:\w+\.)?(\w+)\}", lambda match: str(item[match[1]]), text)


@pytest.mark.parametrize(
    ("name", "stage", "item"), [pytest.param(*s, id=s[0]) for s in list_stages()]
)
def test_a_stage_reads_what_code_its_module_and_its_networks_run(name, stage, item):
    read = {fill(dep, item) for dep in stage["deps"] if dep.startswith("data/code/")}

    modules = find_modules(stage) - {FOLLOW}
    # these build networks by their names
    if name.split("_")[0] in {"train", "evaluate", "blend", "search", "combine"}:
        architectures = {item.get("architecture")} - {None} or named_by_members()
        if name.startswith(("combine_", "evaluate_combined")):  # any baseline may be the best
            architectures |= {"linear_forecaster", "ets_forecaster", "theta_forecaster"}
            architectures |= {"sinusoid_forecaster", "local_forecaster"}
            architectures |= {"mean_forecaster"}
        modules |= {ROOT / f"stages/models/{name}.py" for name in architectures}

    assert read == {
        relative(path).replace("stages", "data/code", 1)[:-2] + "json" for path in modules
    }


def named_by_members():
    """Architectures of the blend: those of its members, and its own."""
    command = DVC["stages"]["blend_classifiers"]["cmd"]
    members = [m for m in PARAMS["classifiers"] if re.search(rf"data/trained/{m}\b", command)]
    return {PARAMS["classifiers"][member]["architecture"] for member in members} | {
        "blend_classifier"
    }


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_imports_flow_one_way(path):
    imported = {find_package(file) for file in list_local_imports(path)}

    assert imported <= PACKAGES[find_package(path)]


@pytest.mark.parametrize(
    "word", ["surname", "forecast", "searches", "data/", *PARAMS["forecasters"]]
)
def test_the_sync_knows_no_task_folder_or_model(word):
    for path in (ROOT / "stages/tracking/mlflow_sync").glob("*.py"):
        assert word not in path.read_text(encoding="utf-8").lower(), path


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_slow_imports_stay_in_their_files(path):
    roots = {name.split(".")[0] for name in list_imports(path)}

    for package, homes in HEAVY.items():
        if package in roots:
            assert relative(path).startswith(homes), f"{package} in {path}"


def test_only_stages_that_run_a_network_load_torch():
    with_network = {
        "forecasting/train",
        "forecasting/score_baselines",
        "forecasting/combine",
        "forecasting/evaluate",
        "surnames/train",
        "surnames/blend",
        "surnames/evaluate",
        "layers/probe",
        "searching/search_forecasters",
        "searching/search_classifiers",
    }
    modules = set().union(*(find_modules(stage) for _, stage, _ in list_stages()))
    paths = {relative(path)[len("stages/") : -3] for path in modules}
    others = sorted(f"stages/{path}" for path in paths - with_network)
    imports = ", ".join(name.replace("/", ".") for name in others)

    code = f"import sys, {imports}; sys.exit('torch' in sys.modules)"

    assert len(others) > 5
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_no_stage_imports_a_stage(path):
    stages = set().union(*(find_modules(stage) for _, stage, _ in list_stages()))

    imported = list_local_imports(path) & stages

    assert not imported or find_package(path) in WHOLE


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_only_series_py_distinguishes_generated_from_observed_series(path):
    if path == ROOT / "stages/forecasting/series.py":
        return

    for condition in list_conditions(ast.parse(path.read_text(encoding="utf-8"))):
        text = ast.unparse(condition)
        assert not KINDS & {*re.findall(r"\w+", text)}, text


def list_conditions(tree):
    """What decides which way code takes: tests, comparisons, and checks of a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp | ast.Assert | ast.While):
            yield node.test
        elif isinstance(node, ast.Compare | ast.Match | ast.MatchClass) or (
            isinstance(node, ast.Call) and ast.unparse(node.func) in {"isinstance", "issubclass"}
        ):
            yield node


def test_models_import_torch_and_numpy_alone():
    classical = {"local_forecaster"}  # methods of a library, which its served package names
    for path in (ROOT / "stages/models").glob("*.py"):
        foreign = {name.split(".")[0] for name in list_imports(path)} - sys.stdlib_module_names
        allowed = {"torch", "numpy"} | ({"statsmodels"} if path.stem in classical else set())
        assert foreign <= allowed, path


def test_model_names_are_plain_and_unique():
    names = [*PARAMS["forecasters"], *PARAMS["classifiers"]]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)


def test_every_stage_has_a_description():
    for name, stage, _ in list_stages():
        assert stage["desc"].endswith("."), name


def test_every_model_has_the_plots_of_its_task():
    plots = {}
    for name, stage, item in list_stages():
        kind, _, model = name.partition("@")
        if kind in PLOTS:
            listed = [fill(path, item) for path in list_paths(stage["plots"])]
            plots.setdefault(model or "surname_blend", set()).update(
                path.removeprefix("data/") for path in listed
            )

    assert plots == {
        **{model: list_expected(model, "forecast", "baselines") for model in PARAMS["forecasters"]},
        **{
            model: list_expected(model, "confusion", "languages") for model in PARAMS["classifiers"]
        },
        "surname_blend": {
            f"plotted/surname_blend/{name}.png" for name in ("confusion", "languages")
        },
    }


def list_paths(entries):
    """Paths of outs, with options or without."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def list_expected(model, *figures):
    return {f"trained/{model}/curves.csv", *(f"plotted/{model}/{name}.png" for name in figures)}


def test_folders_are_outs_only_where_their_files_are_not_known():
    for name, stage, item in list_stages():
        outs = [fill(path, item) for path in list_paths(stage.get("outs", []))]
        folders = {path for path in outs if not Path(path).suffix}
        assert all(path == "data/code" or path.endswith("/details") for path in folders), name


def test_init_files_are_empty_but_the_one_that_sets_the_kernels():
    for folder in ("stages", "benchmarks"):
        for path in (ROOT / folder).rglob("__init__.py"):
            if relative(path) != "stages/__init__.py":
                assert path.read_text(encoding="utf-8") in {"", CHOOSE}, path


def test_what_decides_numbers_is_pinned_in_both_places():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()

    pinned = [d for d in project["dependencies"] if "==" in d]
    assert {d.split("==")[0] for d in pinned} == {
        "torch",
        "numpy",
        "numba",
        "scipy",
        "statsmodels",
    }
    assert {*DECISIVE} == {d.split("==")[0] for d in pinned}  # required of a worker
    assert set(pinned) <= set(constraints)
    assert not any(line.startswith("-e") or "+cpu" in line for line in constraints)


def test_git_gives_a_clone_the_same_bytes_whatever_its_settings(tmp_path):
    origin = make_clone(tmp_path / "origin")
    (origin / "data/series/level.csv").write_bytes(b"level\r\n1\r\n")
    commit(origin, "a series")

    run(tmp_path, "git clone -q -c core.autocrlf=true origin windows")

    for name in run(origin, "git ls-files").splitlines():
        assert (tmp_path / "windows" / name).read_bytes() == (origin / name).read_bytes(), name


def test_dvc_analytics_are_off():
    config = (ROOT / ".dvc/config").read_text(encoding="utf-8")

    assert "analytics = false" in config and "check_update = false" in config


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_undocumented_modules_of_dvc_are_imported_in_one_file(path):
    names = {name for name in list_imports(path) if re.match(r"dvc(_\w+)?(\.|$)", name)}

    private = {name for name in names if not f"{name}.".startswith(PUBLIC_DVC)}
    assert not private or relative(path) == "stages/cli/dvc_internals.py"


def test_dvc_and_mlflow_are_pinned_to_the_version_whose_internals_were_tried():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")

    pins = re.findall(r'"((?:dvc|mlflow(?:\[auth\])?)[<>=][^"]+)"', text)
    assert pins == [DVC_PIN, "mlflow>=3.17,<3.18", "mlflow[auth]>=3.17,<3.18"]


DOCS = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("name", DOCS)
def test_links_of_the_docs_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)

    assert [
        target for target in targets if not (ROOT / name).parent.joinpath(target).exists()
    ] == []


def test_every_test_named_in_reliability_md_exists():
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    known = set(re.findall(r"def (test_\w+)", "\n".join(sources)))

    assert set(re.findall(r"`(test_\w+)`", text)) - known == set()


def test_functions_named_in_contributing_md_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## Where to read")[2].partition("\n## ")[0]

    named = re.findall(r"`([\w/]+\.py)` \(([^)]+)\)", table)

    assert len(named) > 10
    for file, listed in named:
        source = (ROOT / "stages" / file).read_text(encoding="utf-8")
        for function in re.findall(r"`(\w+)`", listed):
            assert f"def {function}(" in source, f"{file}: {function}"


def test_the_readme_has_at_most_150_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_most_public_names_are_used_in_other_files():
    assert len(list_unshared()) <= 20, list_unshared()


def test_few_public_names_are_in_two_modules():
    assert len(list_doubles()) <= 5, list_doubles()


def test_actions_of_ci_are_named_by_commit():
    workflows = [path.read_text("utf-8") for path in (ROOT / ".github/workflows").glob("*.yml")]
    used = re.findall(r"uses: (\S+)", "\n".join(workflows))

    assert len(workflows) == 3 and used
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == []


def test_the_pipeline_of_ci_has_a_model_of_each_architecture():
    for section, models in ONE_OF_EACH.items():
        entries = PARAMS[section]
        kept = {entries[model]["architecture"] for model in models}
        assert kept == {entry["architecture"] for entry in entries.values()}
