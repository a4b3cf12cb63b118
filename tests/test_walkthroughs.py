"""docs/walkthroughs: both pages have the same content, the notebook is the script, and it runs."""

import json
import re
import runpy
import shutil
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from docs.renew import PICTURES, make_notebook, shrink_picture
from stages.forecasting import evaluate, generate, preprocess, score_baselines, train
from stages.layers.gradients import ProbeParams, trace_gradients
from stages.layers.tour import tour_layers
from stages.shared.yaml_files import format_yaml, read_yaml
from stages.surnames import evaluate as evaluate_surnames
from stages.surnames import preprocess as preprocess_surnames
from stages.surnames import score_baselines as score_surname_baselines
from stages.surnames import train as train_surnames
from stages.surnames.archive import list_names, read_names_folder, write_raw
from stages.surnames.names import PUBLISHED_QUERIES
from stages.tracking.run_specs import format_modules
from tests.pipeline import read_params
from tests.shell import PROJECT

DOCS = PROJECT / "docs"
SCRIPT = DOCS / "walkthroughs.py"
FORECASTERS = ("carried_rnn", "lagged_rnn", "windowed_lstm", "small_init_rnn")
TITLES = [  # as published
    "PyTorch -- RNN 快速实践",
    "PyTorch实现RNN",
    "PyTorch 学习笔记, 8.4 手动实现 RNN",
    "对循环神经网络参数的理解｜LSTM RNN Input_size Batch Sequence",
    "PyTorch学习笔记（9）循环神经网络RNN",
]
# what a reader looks for, in the words of either page
WANTED = [
    *(r"\(1, 49, 1\)", r"\(1, 20, 1\)", r"\(T, 1, 57\)", r"\(40, 1, 1\)", r"\(200, 1\)"),
    *(r"U \(128, 57\)", r"W \(128, 128\)", r"V \(18, 128\)", "AB→C", "x2 x3 x4 → x5"),
    *(r"\(10, 49, 4\)", "get_lr", "timeSince", "20,074", "3.1416", "#8000ff", "#ff8000"),
    *("Epoch 0 Loss", "> Yue Tingsong", "Iteration: 5900", "clip_norm=10", "cell=lstm", "1.7e7"),
    *("RNN LOSS", '[“"]loss[”"]', "NFD", r"ascii_letters \+ \" .,;'\"", "17,994", "14,396"),
    *("Sin plot", "0.0088976", "0.0088980", "1.6e-10", "1e-5", "100→30→20"),
    *("W_ih", "manual_seed", "float32", "0.968", "0.962", "0.054", "W_R", "39.9999"),
]
PAGES = ("walkthroughs.md", "walkthroughs.zh.md")
CELLS = {"rnn_tanh": "RNN", "lstm": "LSTM", None: "tanh"}  # as the pages say it


def read_page(name):
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_a_section_per_walk_through_with_the_expected_content(name):
    text = read_page(name)

    assert re.findall(r"^## \d\. (.+)$", text, re.MULTILINE) == TITLES
    assert [wanted for wanted in WANTED if not re.search(wanted, text)] == []
    anchors = re.findall(r"\]\(#([^)]+)\)", text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {*anchors} <= {
        re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in headings
    }


def test_both_pages_have_the_same_pictures_tables_printed_lines_and_numbers():
    english, chinese = map(read_page, PAGES)

    for pattern in (r"\(pictures/(\w+)\.png\)", r"```\n(.*?)```", r"^\|(?:---\|)+$"):
        flags = re.MULTILINE | re.DOTALL
        assert re.findall(pattern, english, flags) == re.findall(pattern, chinese, flags)
    rows = [len(re.findall(r"^\| ", text, re.MULTILINE)) for text in (english, chinese)]
    assert rows[0] == rows[1]
    numbers = r"\d+\.\d+(?:e-?\d+)?|\d+e-?\d+|\d{1,3}(?:,\d{3})+"
    assert {*re.findall(numbers, english)} == {*re.findall(numbers, chinese)}
    assert {*re.findall(r"\(pictures/(\w+)\.png\)", english)} <= PICTURES.keys()


@pytest.mark.parametrize("name", PAGES)
def test_the_trainings_of_a_page_are_those_of_params(name):
    params = read_params(PROJECT)
    recipes = params["forecasters"] | params["classifiers"]
    rows = re.findall(r"^\| `(\w+)` \| (.*(?:Adam|SGD).*) \|$", read_page(name), re.MULTILINE)

    assert [model for model, _ in rows] == [
        *("carried_rnn", "lagged_rnn", "surname_rnn", "windowed_lstm", "small_init_rnn")
    ]
    for model, row in rows:
        recipe, network = recipes[model], recipes[model]["network"]
        cell, hidden, init, optimizer, rate, loss, updates, seed = row.split(" | ")
        assert CELLS[network.get("cell")] in cell and hidden == str(network["hidden"])
        assert ("N(0, 0.001²)" in init) == (network.get("init_std") == 0.001)
        assert (optimizer.lower(), rate) == (recipe["optimizer"], str(recipe["rate"]))
        assert loss == ("NLL" if model == "surname_rnn" else "MSE")
        assert (updates, seed) == (f"{recipe['iterations']:,}", str(recipe["seed"]))
        assert recipe["batch"] == 1 and recipe["clip_norm"] is None


def test_the_commands_of_the_pages_name_stages():
    stages = read_yaml(PROJECT / "dvc.lock")["stages"].keys()

    for name in (*PAGES, "results.md"):
        named = re.findall(r"`dvc repro (?:-f -s )?([\w@]+)`", read_page(name))
        assert len(named) >= 6 and {*named} <= stages


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_three_answers_to_each_published_name(name):
    answers = re.findall(
        r"^> (.+)\n((?:\(-\d\.\d\d\) \w+\n){3})(?!\()", read_page(name), re.MULTILINE
    )

    assert [query for query, _ in answers] == [*PUBLISHED_QUERIES]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_whole_tour(name):
    lines, shown = read_page(name).splitlines(), []
    for row in tour_layers():
        [line] = [line for line in lines if line.startswith(f"| {format_modules(row._asdict())} |")]
        shown.append(line)
        assert row.input_shape in line and row.output_shape in line
        assert line.endswith(f"| {row.parameters:,} |")
        weights = re.findall(r"\([\d, ]+\d\)", row.weight_shapes)
        assert "num_layers=4, batch_first" in line or all(shape in line for shape in weights)
        states = re.findall(r"\([\d, ]+\d\)", row.state_shapes)
        assert all(shape in line for shape in states)

    assert shown == [line for line in lines if line in shown]


def test_the_gradients_of_the_pages_are_those_of_the_figure():
    probe = ProbeParams(**read_params(PROJECT)["probe_layers"])
    last = [norm for norm in trace_gradients(probe) if norm.distance == probe.distance]

    for page in map(read_page, PAGES):
        rows = page[: page.index("| 4.5e-12")].rindex("\n")
        table = page[rows:].strip().partition("\n\n")[0]
        shown = [
            float(number)
            for line in table.splitlines()
            for number in re.findall(r"[\d.]+(?:e-?\d+)?", line.split("|")[2])
        ]
        order = ("zero input", "normal inputs", "LSTM")
        norms = [norm.spectral_norm for case in order for norm in last if norm.case == case]
        assert shown == pytest.approx(norms, rel=0.05)


def test_the_pictures_of_the_docs_are_small():
    pictures = [*(DOCS / "pictures").glob("*.png")]

    assert {path.stem for path in pictures} == {*PICTURES, "mlflow_surnames"}
    assert sum(path.stat().st_size for path in pictures) < 600_000


def test_a_picture_is_made_smaller_the_same_way_each_time(tmp_path):
    source = DOCS / "pictures/unrolled.png"

    for name in ("first.png", "second.png"):
        shrink_picture(source, tmp_path / name, 300)

    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert (tmp_path / "first.png").stat().st_size < source.stat().st_size


def test_a_picture_keeps_its_light_grid_and_its_light_fields(tmp_path):
    figure = Figure(figsize=(6, 4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 10), ylim=(0, 10))
    axes.grid(color="#ececec", lw=3)
    axes.fill_between([2, 8], 0.5, 1.5, color="#deebf7", lw=0, zorder=3)
    for height, color in enumerate(("#8000ff", "#ff8000", "#0072b2", "#009e73"), start=6):
        for slope in (0.5, 1, 2):
            axes.plot([0, 10], [height - slope, height + slope], color=color, alpha=slope / 2)
    figure.savefig(tmp_path / "large.png")

    shrink_picture(tmp_path / "large.png", tmp_path / "small.png", 300)

    with Image.open(tmp_path / "small.png") as small:
        picture = small.convert("RGB")
    shown = [picture.getpixel(place) for place in ((60, 150), (150, 182), (150, 150))]
    drawn = [(236, 236, 236), (222, 235, 247), (255, 255, 255)]
    assert shown[2] == drawn[2]
    for color, wanted in zip(shown, drawn, strict=True):
        assert color == pytest.approx(wanted, abs=3)


def test_the_notebook_is_the_script_without_outputs():
    notebook = read_page("walkthroughs.ipynb")

    assert notebook == make_notebook(SCRIPT.read_text(encoding="utf-8"))
    cells = json.loads(notebook)["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5 and len(cells) > len(code)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def run_notebook():
    """Run the cells of the notebook, one after the other, in one namespace."""
    namespace = {"__name__": "__main__"}
    for cell in json.loads(read_page("walkthroughs.ipynb"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), namespace)


def test_without_results_the_script_prints_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").touch()

    with pytest.raises(SystemExit, match=r"curves.csv is missing: run `make repro`"):
        runpy.run_path(str(SCRIPT))


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The published models as the pipeline makes them, with few updates and the sample."""
    monkeypatch.chdir(tmp_path)
    params = read_params(PROJECT)
    for name in FORECASTERS:
        params["forecasters"][name]["iterations"] = 8
    params["forecasters"]["windowed_lstm"]["mean_every"] = 4
    params["classifiers"]["surname_rnn"] |= {"iterations": 8, "log_every": 4, "mean_every": 4}
    params["surname_baselines"] = {"names": ["majority"], "costs": [1.0]}
    params["evaluate_forecasters"] |= {"phases": 2, "horizons": [49], "validation_horizons": [49]}
    for section in ("evaluate_forecasters", "evaluate_classifiers"):
        params[section]["bootstrap"]["resamples"] = 100
    (tmp_path / "params.yaml").write_text(format_yaml(params), encoding="utf-8")
    shutil.copy(PROJECT / "dvc.yaml", tmp_path)
    for name in FORECASTERS:
        series, trained = params["forecasters"][name]["series"], f"data/trained/{name}"
        windows = f"data/preprocessed/series/{series}.npz"
        details = "data/evaluated/details/forecasting"
        generate.main(series, f"data/generated/{series}.csv")
        preprocess.main(f"generated_series.{series}", f"data/generated/{series}.csv", windows)
        train.main(name, windows, trained)
        score_baselines.main(windows, "best", f"{details}/baselines", "best.json", "other")
        scores = f"{details}/{name}"
        evaluate.main(name, trained, windows, f"{details}/baselines", "metrics.json", scores)
    raw, surnames = Path("data/raw"), "data/preprocessed/surnames"
    raw.mkdir()
    write_raw(raw, list_names(read_names_folder(PROJECT / "data/sample")), "sample", "sample")
    preprocess_surnames.main("data/raw", surnames)
    train_surnames.main("surname_rnn", surnames, "data/trained/surname_rnn")
    details = "data/evaluated/details/surnames"
    score_surname_baselines.main(surnames, f"{details}/baselines")
    evaluate_surnames.main(
        "data/trained/surname_rnn",
        surnames,
        f"{details}/baselines",
        "metrics.json",
        f"{details}/surname_rnn",
    )


def test_the_notebook_makes_the_first_updates_of_the_pipeline_and_draws(results, capsys):
    run_notebook()

    said = capsys.readouterr().out
    assert said.count("that of the pipeline's first update") == len(FORECASTERS)
    assert "x (1, 40, 1), states (1, 40, 50), h (1, 1, 50), c (1, 1, 50), y (1, 1)" in said
    assert "u.weight                 (128, 57)" in said
    assert all(f"> {query}\n" in said for query in PUBLISHED_QUERIES)
    assert said.count(": drawn\n") == 3
