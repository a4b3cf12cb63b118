"""Runs that follow from dvc.yaml and dvc.lock alone, where nothing else describes them."""

import json
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from stages.shared.dvc_pipeline import resolve_stages
from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml, read_yaml
from stages.tracking.mlflow_sync.__main__ import main
from stages.tracking.mlflow_sync.infer import infer_specs, read_pipeline
from stages.tracking.track import main as sync_project
from tests.shell import PROJECT, commit, run
from tests.workspace import take_results

SCRIPT = """\
import json, pathlib, sys
from ruamel.yaml import YAML

task, *arguments = sys.argv[1:]
if task == "clean":
    pathlib.Path("clean.csv").write_text(pathlib.Path("raw.csv").read_text().lower())
elif task == "train":
    rate = YAML(typ="safe").load(pathlib.Path("params.yaml"))["models"][arguments[0]]["rate"]
    out = pathlib.Path("out", arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    rows = [f"{step},{rate / step},{step}" for step in (1, 2, 3)]
    (out / "curve.csv").write_text("\\n".join(["epoch,loss,rows", *rows, ""]))
    scores = {"loss": 5 * rate, "by_class": {"a": 1.0}, "verdict": "fair", "best": None}
    scores |= {"confusion": [[3, 0], [1, 2]], "residuals": [0.5] * 101}
    (out / "metrics.json").write_text(json.dumps(scores))
else:
    folder = pathlib.Path("figures", arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.csv").write_text("actual,predicted\\n0,1\\n0,0\\n1,1\\n")
"""
PIPELINE = {
    "stages": {
        "clean": {"cmd": "python do.py clean", "deps": ["raw.csv"], "outs": ["clean.csv"]},
        "train": {
            "foreach": "${models}",
            "do": {
                "cmd": "python do.py train ${key}",
                "deps": ["clean.csv"],
                "params": ["models.${key}"],
                "outs": ["out/${key}"],
            },
        },
        "draw": {
            "matrix": {"model": ["small", "large"]},
            "cmd": "python do.py draw ${item.model}",
            "deps": ["out/${item.model}"],
            "plots": [{"figures/${item.model}/classes.csv": {"x": "actual", "y": "predicted"}}],
        },
    },
    "metrics": ["out/small/metrics.json", "out/large/metrics.json"],
    "plots": [{"out/small/curve.csv": {"x": "epoch", "y": "loss"}}, "out/large/curve.csv"],
}
LIVE = {  # as DVCLive writes it, with all its files below dvclive/
    "dvclive/metrics.json": json.dumps({"train": {"loss": 0.25}, "step": 1}),
    "dvclive/plots/metrics/train/loss.tsv": "step\ttrain/loss\n0\t0.5\n1\t0.25\n",
    "dvclive/plots/images/sample.png": "no picture",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A repository with metrics inside a folder that a stage writes."""
    folder = start_repository(tmp_path_factory.mktemp("made") / "waves", PIPELINE)
    (folder / "do.py").write_text(SCRIPT)
    (folder / "raw.csv").write_text("A\nB\n")
    models = {"models": {"small": {"rate": 0.5}, "large": {"rate": 0.25}}}
    (folder / "params.yaml").write_text(format_yaml(models))
    run(folder, "dvc add --quiet raw.csv")
    run(folder, "dvc repro --quiet")
    commit(folder, "results")
    return folder


@pytest.fixture
def repository(made, tmp_path, monkeypatch):
    folder = tmp_path / "waves"
    run(made, f"cp -r . {folder}")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    return folder


def start_repository(folder, pipeline):
    folder.mkdir()
    run(folder, "git init --quiet && dvc init --quiet")
    (folder / "dvc.yaml").write_text(format_yaml(pipeline))
    return folder


def list_runs(folder, database="mlflow.db"):
    client = MlflowClient(f"sqlite:///{folder}/{database}")
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return client, {run.info.run_name: run for run in client.search_runs(ids)}


def test_a_repository_without_any_description_gets_its_runs(repository, capsys):
    main("sync")

    client, runs = list_runs(repository)
    assert set(runs) == {"small", "large"}
    small = runs["small"]
    assert client.get_experiment(small.info.experiment_id).name == "waves"
    assert small.data.params == {"models.small.rate": "0.5"}
    curve = client.get_metric_history(small.info.run_id, "curve/loss")
    assert [(point.step, point.value) for point in curve] == [(1, 0.5), (2, 0.25), (3, 0.5 / 3)]
    cells = {f"confusion/{row}/{column}": 0 for row in (0, 1) for column in (0, 1)}
    cells |= {"confusion/0/0": 3, "confusion/1/0": 1, "confusion/1/1": 2}
    scores = {"loss": 2.5, "by_class/a": 1, "curve/loss": 0.5 / 3}  # not the list of residuals
    assert small.data.metrics == scores | cells
    assert set(runs["large"].data.metrics) == scores.keys() | cells.keys() | {"rows"}
    assert small.data.tags["metrics.verdict"] == "fair"
    assert small.data.tags["metrics.best"] == "null"
    assert small.data.tags["sync.stage"] == "train@small"
    assert not {"kind", "model", "stage"} & small.data.tags.keys()
    assert {given.dataset.name for given in small.inputs.dataset_inputs} == {"raw.csv", "out/small"}
    shown = client.list_artifacts(small.info.run_id, "figures/small")
    assert [file.path for file in shown] == ["figures/small/classes.csv"]  # no curve: classes
    assert (
        small.data.tags["mlflow.source.git.commit"] == run(repository, "git rev-parse HEAD").strip()
    )
    assert "waves" not in capsys.readouterr().err


def test_a_second_sync_writes_nothing_and_a_lost_store_is_filled_again(repository):
    main("sync")
    before = (repository / "mlflow.db").read_bytes()
    _, runs = list_runs(repository)

    main("sync")
    main("check")

    assert (repository / "mlflow.db").read_bytes() == before
    run(repository, "rm -r mlflow.db mlartifacts")
    # MLflow has the lost file open in this process
    run(
        repository, f"{sys.executable} -m stages.tracking.mlflow_sync sync", PYTHONPATH=str(PROJECT)
    )
    run(repository, "mv mlflow.db again.db")
    _, again = list_runs(repository, "again.db")
    keys = [[run.data.tags["sync.key"] for run in of.values()] for of in (runs, again)]
    assert sorted(keys[0]) == sorted(keys[1])


def test_an_experiment_is_a_run_of_its_own_beside_the_committed_one(repository):
    main("sync")
    run(repository, "sed -i 's/rate: 0.5/rate: 0.125/' params.yaml && dvc repro --quiet")

    main("sync")

    assert set(list_runs(repository)[1]) == {"small", "large", "small (rate 0.125)"}


def test_check_reports_that_the_runs_of_another_dvc_lock_are_marked(repository):
    main("sync")
    run(repository, "sed -i 's/rate: 0.5/rate: 0.125/' params.yaml && dvc repro --quiet")
    main("sync")

    run(repository, "git checkout --quiet . && dvc checkout --quiet")
    with pytest.raises(InputError, match="small: not marked as current"):
        main("check")
    main("sync")
    main("check")


def test_a_model_that_is_added_to_mlflow_yaml_becomes_a_tag_of_the_run(repository):
    main("sync")

    (repository / "mlflow.yaml").write_text("runs: {train: {model: clean.csv}}")
    with pytest.raises(InputError, match="small: stale"):
        main("check")
    main("sync")

    small = list_runs(repository)[1]["small"]
    assert small.data.tags["dvc.model"] == "clean.csv"


def test_runs_of_commits_and_experiments_come_back_into_a_new_store(repository, capsys):
    first = run(repository, "git rev-parse HEAD").strip()
    run(repository, "dvc exp run --quiet -S models.small.rate=0.125")
    run(repository, "git checkout --quiet . && sed -i 's/rate: 0.5/rate: 0.75/' params.yaml")
    run(repository, "dvc repro --quiet")
    commit(repository, "a higher rate")

    main("plan", exps=True, rev=["HEAD~1", "HEAD"])
    planned = capsys.readouterr().out
    main("sync", exps=True, rev=["HEAD~1", "HEAD"])

    client, _ = list_runs(repository)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [one for one in client.search_runs(ids) if "small" in one.info.run_name]
    rates = {one.data.params["models.small.rate"]: one for one in runs}
    assert set(rates) == {"0.5", "0.125", "0.75"} and len(runs) == 3
    assert rates["0.5"].data.tags["mlflow.source.git.commit"] == first
    assert rates["0.5"].info.run_name == f"small ({first[:7]})"
    made = run(repository, f"git show --no-patch --format=%ct {first}").strip()
    assert rates["0.5"].info.start_time == int(made) * 1000
    assert rates["0.75"].info.run_name == "small"
    names = [one.info.run_name for one in client.search_runs(ids)]
    assert [planned.count(f"waves / {name}\n") for name in names] == [1] * len(names)
    tried = rates["0.125"]
    assert tried.info.run_name == f"small ({tried.data.tags['dvc.experiment']})"
    marked = [rate for rate, one in rates.items() if one.data.tags.get("dvc.lock") == "current"]
    assert marked == ["0.75"]
    before = (repository / "mlflow.db").read_bytes()
    main("sync", exps=True, rev=["HEAD~1", "HEAD"])
    assert (repository / "mlflow.db").read_bytes() == before
    assert run(repository, "git worktree list").count("\n") == 1
    with pytest.raises(InputError, match="git knows no commits x1"):
        main("sync", rev=["x1"])


def test_a_listing_with_paths_outside_of_its_folder_is_rejected_for_a_commit(repository):
    [listing] = repository.glob(f".dvc/cache/files/md5/*/{find_listing(repository)[2:]}")
    listing.chmod(0o644)
    listing.write_text(listing.read_text().replace("curve.csv", "../../planted.csv"))
    run(repository, "sed -i 's/rate: 0.5/rate: 0.125/' params.yaml && dvc repro --quiet")
    commit(repository, "a lower rate")

    with pytest.raises(InputError, match=r"DVC's listing of out/small is not that of dvc\.lock"):
        main("sync", rev=["HEAD~1"])

    assert run(repository, "git worktree list").count("\n") == 1


def find_listing(repository):
    [md5] = [out["md5"] for out in read_yaml("dvc.lock")["stages"]["train@small"]["outs"]]
    return md5


def test_plan_needs_no_store_and_names_what_is_missing(repository, capsys):
    run(repository, "rm -r out/small .dvc/cache")

    main("plan")

    printed = capsys.readouterr().out
    assert "waves / small\n" in printed
    assert "stages: train@small, clean, draw@small" in printed
    assert "out/small/metrics.json is missing: run `dvc pull`" in printed
    assert printed.count("cannot be made") == 1
    assert not (repository / "mlflow.db").exists()
    with pytest.raises(InputError, match=r"small: no run; out/small/metrics\.json is missing"):
        main("check")


def test_runs_of_others_in_the_same_store_are_unchanged(repository):
    main("sync")
    client, _ = list_runs(repository)
    client.restore_experiment("0")  # Default, in which people log by hand
    others = ["0", client.create_experiment("theirs")]
    tags = {"dvc.lock": "current", "sync.key": "in_progress 2020-01-01T00:00:00+00:00 x"}
    kept = [client.create_run(experiment, tags=tags).info.run_id for experiment in others]

    run(repository, "sed -i 's/rate: 0.5/rate: 0.125/' params.yaml && dvc repro --quiet")
    main("sync")

    for run_id in kept:
        theirs = client.get_run(run_id)
        assert theirs.info.lifecycle_stage == "active" and tags.items() <= theirs.data.tags.items()


def test_mlflow_yaml_gives_names_experiments_kinds_and_a_model(repository):
    config = {
        "experiment": "sines",
        "runs": {"train": {"name": "net {item}", "kind": "network", "model": "clean.csv"}},
    }
    (repository / "mlflow.yaml").write_text(format_yaml(config))

    specs = infer_specs(read_pipeline())

    assert [(spec.name, spec.experiment, spec.kind) for spec in specs] == [
        ("net small", "sines", "network"),
        ("net large", "sines", "network"),
    ]
    assert specs[0].read().labels["dvc.model"] == "clean.csv"
    for text, problem in (
        ("runs: {train: {nome: x}}", "nome"),
        ("runs: {clean: {name: x}}", "clean has no run of its own: name one of train, train@large"),
        ("runs: {train: {name: 'x {itm}'}}", "has braces"),
        ("runs: {train: {name: x}}", "two runs would be named x"),
        ("runs: {train: {model: x.pt}}", "x.pt is not a file that the run of train@small"),
    ):
        (repository / "mlflow.yaml").write_text(text)
        with pytest.raises(InputError, match=rf"^mlflow\.yaml: .*{problem}"):
            infer_specs(read_pipeline())


def test_a_file_of_metrics_that_cannot_be_read_stops_its_own_run_alone(repository):
    metrics = repository / "out/small/metrics.json"
    metrics.write_text("{")
    run(repository, "dvc commit --force --quiet train@small")

    with pytest.raises(
        InputError, match=r"small: half-way|small: out/small/metrics.json cannot be"
    ):
        main("sync")

    assert set(list_runs(repository)[1]) == {"large"}


def test_an_experiment_of_another_name_has_runs_of_its_own(repository):
    keys = [spec.key for spec in infer_specs(read_pipeline())]
    (repository / "mlflow.yaml").write_text("experiment: sines")

    assert not {*keys} & {spec.key for spec in infer_specs(read_pipeline())}


def test_the_files_of_dvclive_are_scores_curves_and_figures(tmp_path, monkeypatch):
    pipeline = {
        "stages": {"train": {"cmd": "true", "outs": ["dvclive"]}},
        "metrics": ["dvclive/metrics.json"],
        "plots": [{"dvclive/plots/metrics": {"x": "step"}}, "dvclive/plots/images"],
    }
    folder = start_repository(tmp_path / "live", pipeline)
    for name, text in LIVE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    run(folder, "dvc commit --force --quiet")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # set by MLflow in other tests
    monkeypatch.setenv("DVC_ROOT", str(folder))

    main("sync")

    client, runs = list_runs(folder)
    metrics = runs["train"].data.metrics
    assert metrics == {"train/loss": 0.25, "step": 1.0}  # the curve ends at the score: one name
    points = client.get_metric_history(runs["train"].info.run_id, "train/loss")
    assert [(point.step, point.value) for point in points] == [(0, 0.5), (1, 0.25)]
    shown = client.list_artifacts(runs["train"].info.run_id, "dvclive/plots/images")
    assert [file.path for file in shown] == ["dvclive/plots/images/sample.png"]


def test_a_stage_of_a_third_kind_has_its_run_in_this_project(workspace):
    pipeline = read_yaml("dvc.yaml")
    pipeline["stages"]["count_digits"] = {
        "cmd": "python count.py",
        "deps": ["data/code/forecasting/generate.json"],  # as of any stage of this project
        "params": ["digits"],
        "outs": ["data/digits/digits.txt"],
        "metrics": ["data/digits/metrics.json"],
        "plots": [
            {"data/digits/curve.csv": {"x": "step", "y": "share"}},
            "data/digits/bars.png",
        ],
    }
    (workspace / "dvc.yaml").write_text(format_yaml(pipeline))
    with (workspace / "params.yaml").open("a") as file:
        file.write("digits: {base: 10}\n")
    folder = workspace / "data/digits"
    folder.mkdir()
    (folder / "digits.txt").write_text("0123456789")
    (folder / "metrics.json").write_text('{"share": 0.75}')
    (folder / "curve.csv").write_text("step,share\n1,0.5\n2,0.75\n")
    (folder / "bars.png").write_text("no picture")
    take_results(workspace, "count_digits")

    sync_project()

    client, runs = list_runs(workspace)
    added = runs["count_digits"]
    assert added.data.params == {"digits.base": "10"}
    points = client.get_metric_history(added.info.run_id, "share")
    assert [point.value for point in points] == [0.5, 0.75]
    shown = {file.path for file in client.list_artifacts(added.info.run_id, "data/digits")}
    assert "data/digits/bars.png" in shown


def test_an_unsupported_system_is_a_one_line_error():
    code = (
        "import os; os.name = 'nt'; import runpy; runpy.run_module('stages.tracking.mlflow_sync')"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ended.returncode == 1
    assert ended.stderr == "error: this runs on Linux and macOS; on Windows use WSL\n"


@pytest.mark.parametrize(
    ("definition", "names"),
    [
        ({"foreach": [1, True]}, ["train@1", "train@true"]),
        ({"foreach": [{"a": 1}, {"a": 2}]}, ["train@0", "train@1"]),
        ({"matrix": {"a": [1, 2], "b": [{"c": 1}]}}, ["train@1-b0", "train@2-b0"]),
        ({"matrix": "${grid}"}, ["train@x"]),
        ({"matrix": {"a": "${grid.a}"}}, ["train@x"]),
        ({"matrix": {"a": "${unknown}"}}, ["train@*"]),
    ],
)
def test_items_have_the_names_that_dvc_gives_them(definition, names):
    inner = {"outs": ["x"]} if "matrix" in definition else {"do": {"outs": ["x"]}}
    pipeline = {"stages": {"train": definition | inner}}

    assert [*resolve_stages(pipeline, {"grid": {"a": ["x"]}})] == names
