"""The real pipeline with tiny params, in a clone of its own: the working tree -> a folder.

`python -m tests.pipeline FOLDER` makes such a clone with a model of each architecture, as `.ci/run`
does. The tests keep a few models, enough to have each stage and both kinds of forecaster.
"""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil

from stages.shared.yaml_files import format_yaml, parse_yaml
from tests.shell import PROJECT, call, commit, copy_folder, make_once, run

KEPT = {
    "forecasters": ["carried_rnn", "windowed_lstm_fast"],
    "classifiers": ["surname_gru", "surname_markov", "surname_ngrams"],
}
SERIES = ["integer_starts", "period_40"]  # that these models read
ONE_OF_EACH = {  # architecture; each series and each model is some stages of seconds
    "forecasters": [
        "carried_rnn",
        "shop_sales_gru",
        "sunspots_direct",
        "sunspots_echo_state",
        "windowed_lstm_fast",
    ],
    "classifiers": [
        "surname_gru",
        "surname_markov",
        "surname_ngrams",
        "surname_rnn",
    ],
}
NETWORK = {"hidden": 4, "embedding": 4, "num_buckets": 64}
# what DVC prints before a stage, and what stages.cli.repro prints after a chain of them
STARTED = re.compile(r"^(?:Running stage '(.+)':|\[ *\d+/\d+\] +\d+ s  (.+))$", re.MULTILINE)
ADDRESSES = {  # where MLflow keeps absolute addresses of artifacts: table -> column
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


def make_clone(folder: Path, kept: dict[str, list[str]] | None = None) -> Path:
    """Commit the working tree with tiny params to a new repository; its data are the sample's.

    Args:
        folder: does not exist yet.
        kept: models by section of params.yaml, and no searches; None: all.
    """
    listed = run(PROJECT, "git ls-files -z --cached --others --exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():  # not deleted since
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    for name in ("dvc.lock", "champions.yaml"):  # of the full params
        (folder / name).unlink(missing_ok=True)
    edit_params(folder, shrink_params)
    shrink_searches(folder)
    if kept:
        for name in ("searches/dvc.yaml", "searches/dvc.lock"):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "data/searched")
        edit_params(folder, lambda params: keep_models(params, kept))
    run(folder, "git init -q")
    commit(folder, "tiny")
    return folder


def shrink_params(params: dict[str, Any]) -> None:
    """Make everything as small as the stages allow, and stay off the network."""
    params["download_surnames"]["addresses"] = []
    for model in [*params["forecasters"].values(), *params["classifiers"].values()]:
        # not in an entry that is fitted in closed form, or counts epochs
        if "iterations" in model or model["architecture"] == "global_forecaster":
            model["iterations"] = 4
        for key in ("log_every", "mean_every"):
            if key in model:
                model[key] = 2
        for key, size in NETWORK.items():
            if key in model["network"]:
                model["network"][key] = size
        if "refine" in model:
            model["refine"]["iterations"] = 2
    params["evaluate_forecasters"] |= {"phases": 4, "horizons": [49, 500]}
    params["surname_baselines"]["costs"] = [1.0]
    params["generated_panels"]["shop_sales"] |= {"shops": 8, "longest": 70}
    for section in KEPT:
        params[f"evaluate_{section}"]["bootstrap"]["resamples"] = 20
    params["figures"] = {"dpi": 30}


def shrink_searches(folder: Path) -> None:
    """Leave one recipe beside the base, which is as small as the base is now."""
    path = folder / "searches/params.yaml"
    sections = parse_yaml(path.read_text(encoding="utf-8"))
    for search in sections.values():
        first = dict([*search["space"].items()][:1])  # which is no size
        search |= {"recipes": 1, "seeds": [0], "space": first}
    path.write_text(format_yaml(sections), encoding="utf-8")
    (folder / "searches/dvc.lock").unlink(missing_ok=True)


def keep_models(params: dict[str, Any], kept: dict[str, list[str]]) -> None:
    """Drop all other models, and the series that the kept ones do not read."""
    for section, models in kept.items():
        params[section] = {model: params[section][model] for model in models}
    read = {entry["series"] for entry in params["forecasters"].values()}
    for section in ("generated_series", "generated_panels", "observed_series"):
        entries = params[section].items()
        params[section] = {series: entry for series, entry in entries if series in read}
    combined = params["combined_forecasters"].items()
    params["combined_forecasters"] = {
        model: entry for model, entry in combined if entry["forecaster"] in kept["forecasters"]
    }


def read_params(folder: Path) -> dict[str, Any]:
    """Read params.yaml."""
    return parse_yaml((folder / "params.yaml").read_text(encoding="utf-8"))


def edit_params(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change params.yaml."""
    params = read_params(folder)
    edit(params)
    text = format_yaml(params)
    (folder / "params.yaml").write_text(text, encoding="utf-8")


def set_param(folder: Path, path: str, value: Any) -> None:
    """Change one value of params.yaml: `forecasters.carried_rnn.seed`."""
    *sections, last = path.split(".")

    def edit(params: dict[str, Any]) -> None:
        for section in sections:
            params = params[section]
        params[last] = value

    edit_params(folder, edit)


def replace_text(path: Path, old: str, new: str) -> None:
    """Change a file that must hold the old text."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} no longer holds {old!r}: choose another edit"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def repro(folder: Path, jobs: int = 2, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `make repro` calls."""
    return call(
        folder, "python", "stages/run.py", "cli", "repro", "--jobs", str(jobs), **environment
    )


def list_started(output: str) -> set[str]:
    """Stages that were run."""
    found = (one or chain for one, chain in STARTED.findall(output))
    return {stage for chain in found for stage in chain.split(" → ")}


def list_processes(folder: Path) -> list[psutil.Process]:
    """Whatever runs in a folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # ended meanwhile, or somebody else's
            if Path(process.cwd()) == folder.resolve() and process.status() != "zombie":
                found.append(process)
    return found


def list_tracked(folder: Path) -> list[tuple[str, str | None]]:
    """Model and experiment of every finished run in the folder's store."""
    query = """
        select coalesce(model.value, name), experiment.value from runs
        left join tags model on runs.run_uuid = model.run_uuid and model.key = 'model'
        left join tags experiment
        on runs.run_uuid = experiment.run_uuid and experiment.key = 'dvc.experiment'
        where status = 'FINISHED'
    """
    return sorted(ask_store(folder, query), key=str)


def list_tried(folder: Path, param: str) -> dict[str, str]:
    """What each experiment of DVC gave to a param, as its run says."""
    query = f"""
        select tags.value, params.value from tags join params
        on tags.run_uuid = params.run_uuid
        where tags.key = 'dvc.experiment' and params.key = '{param}'
    """
    return dict(ask_store(folder, query))


def ask_store(folder: Path, query: str) -> list[Any]:
    """Ask the folder's SQLite store, sparing the seconds that importing mlflow takes."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        return store.execute(query).fetchall()


def read_outs(folder: Path) -> dict[str, str]:
    """Md5 of every out in dvc.lock, but of the times."""
    lock = parse_yaml((folder / "dvc.lock").read_text(encoding="utf-8"))
    outs = [out for stage in lock["stages"].values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if not out["path"].endswith("/times.json")}


def read_scores(folder: Path, model: str) -> dict[str, Any]:
    """Scores of one model."""
    [path] = folder.glob(f"data/evaluated/details/*/{model}/scores.json")
    return json.loads(path.read_text("utf-8"))


def find_template() -> Path:
    """The clone that tests copy: `dvc repro` ran and was committed."""
    return make_once("clone", make_template)


def make_template(folder: Path) -> None:
    """Make it."""
    make_clone(folder, KEPT)
    run(folder, "dvc repro")
    commit(folder, "run")
    run(folder, "git gc --quiet")  # hundreds of files are copied sooner as one


def copy_template(folder: Path) -> Path:
    """A clone of a test's own, with nothing left to run."""
    template = find_template()
    copy_folder(template, folder)
    readdress_store(folder, template)
    return folder


def readdress_store(folder: Path, old: Path) -> None:
    """Let a store that a test has copied look for its artifacts in its new folder.

    The project itself repairs no store: a user would delete it, and wait until it is filled again.
    """
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for table, column in ADDRESSES.items():
            change = f"update {table} set {column} = replace({column}, ?, ?)"
            database.execute(change, [old.as_uri(), folder.as_uri()])


if __name__ == "__main__":
    make_clone(Path(sys.argv[1]), ONE_OF_EACH)
