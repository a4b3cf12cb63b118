"""A repository with results that nobody computed, for the tests of tracking and of the commands.

It is that of tests/pipeline.py, with the real dvc.yaml. The results are written here, and
`dvc commit` takes them for those of the stages: a test has them in seconds rather than in a
minute, and says itself how well a model scored.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dvc.dvcfile import Lockfile
from dvc.repo import Repo

from stages.cli.dvc_internals import params_read_once, write_entries_alone
from stages.forecasting.assessment import choose_forecaster_metrics
from stages.forecasting.baselines import fit_autoregression
from stages.forecasting.forecasters import describe_model
from stages.shared.checkpoints import build_network, write_model
from stages.shared.json_files import write_json
from stages.shared.model_config import ModelConfig
from stages.shared.params import SECTIONS
from stages.shared.tables import Curves, write_curves, write_table
from stages.tracking.leaderboards import DETAILS
from stages.tracking.run_specs import EVALUATED
from tests.pipeline import KEPT, SERIES, edit_params, make_clone, read_params, set_param
from tests.shell import commit, copy_folder, make_environment, make_once, run

MODELS = [
    "carried_rnn",
    "integer_starts_baseline",
    "period_40_baseline",
    "surname_blend",
    "surname_gru",
    "surname_markov",
    "surname_ngrams",
    "windowed_lstm_fast",
]
METHODS = ["ar2", "ar_best", "copy_period", "hold_last", "predict_zero", "ridge", "sinusoid"]
BASELINES = [f"{method} ({series})" for method in METHODS for series in SERIES]
RUNS = sorted([*MODELS, *BASELINES, "majority", "tfidf_svc", "layer_tour"])
SYMBOLS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,;'"
LANGUAGES = ["English", "German", "Polish", "Spanish"]
VOCABULARY = {"data": "official", "symbols": SYMBOLS, "languages": LANGUAGES}
REPORT = {
    "alphabet": "official",
    "num_symbols": len(SYMBOLS),
    "num_rows": 9,
    "num_names": 7,
    "num_duplicates": 2,
    "folded": {"ö→o": 3},
    "unknown": {},
    "dropped": {"ß": 1},
    "no_letter": {},
    "num_shared": 1,
    "shared": {"Bauer": ["English", "German"]},
    "blanks": {},
    "similar": [],
    "rare": {},
    "merged_into": None,
}
LETTERS = {"num_letters": len(SYMBOLS), "num_languages": len(LANGUAGES)}
TEMPERATURE = 1.5
TIMES = {
    "started": "2026-01-01T00:00:00+00:00",
    "ended": "2026-01-01T00:01:40+00:00",
    "processor": "a processor, AVX2",
}
SCORES = {  # errors of the forecasters, macro F1 of the others
    "carried_rnn": 0.2,
    "windowed_lstm_fast": 0.4,
    "surname_gru": 0.5,
    "surname_markov": 0.3,
    "surname_ngrams": 0.4,
    "surname_blend": 0.6,
}
BEST_BASELINE = "ar2"
BASELINE_ERROR, BASELINE_F1 = 0.9, 0.1
FORECAST_INFO = {
    "series": "integer_starts",
    "lowest": -1.0,
    "highest": 1.0,
    "transform": None,
    "spacing": 0.5,
    "least_history": 20,
    "prediction_intervals": {
        "80": {"half_width": [0.25, 0.5, 1.0], "coverage": 0.75},
        "90": {"half_width": [0.5, 1.0, 2.0], "coverage": 0.85},
    },
    "naive": {"baseline": "hold_last", "verdict": "within the noise"},
}

QUERIES = {  # query -> best language and its log-probability
    "Yue Tingsong": ("German", -1.31),
    "test your name": ("Polish", -0.25),
}
NORMS = {  # layer -> spectral norms by distance; the case is zero input
    "spectral radius 0.5": [0.5, 0.25, 0.125],
    "spectral radius 1.5": [1.5, 2.25, 3.375],
}


def make_workspace(folder: Path) -> Path:
    """Make the repository, write all results and commit them."""
    make_clone(folder, KEPT)
    vocabulary = folder / "data/preprocessed/surnames/vocabulary.json"
    vocabulary.parent.mkdir(parents=True)
    write_json(vocabulary, VOCABULARY)
    write_json(vocabulary.with_name("report.json"), REPORT)
    write_baselines(folder)
    for model, score in SCORES.items():
        write_trained(folder, model, seed=0)
        write_scores(folder, model, score)
        write_shown(folder, model, "red")
    write_tour(folder, "red")
    run(folder, "python stages/run.py imports.follow data/code")  # a model is packed with its code
    with open_repo(folder) as repo:
        status = repo.status()  # nothing has run: it names all stages
    write_missing(folder, status)
    status.pop("track")
    take_results(folder, *status)
    commit(folder, "results")
    run(folder, "git gc --quiet")  # hundreds of files are copied sooner as one
    return folder


def retrain(folder: Path, model: str, seed: int) -> None:
    """Give a forecaster another seed and the weights that come of it."""
    set_param(folder, f"forecasters.{model}.seed", seed)
    write_trained(folder, model, seed)
    take_results(
        folder,
        f"train_forecaster@{model}",
        f"evaluate_forecaster@{model}",
        f"plot_forecaster@{model}",
    )


def add_forecaster(folder: Path, name: str) -> None:
    """Add a model: carried_rnn with another seed and name, and the results of its stages."""

    def add_entry(params: dict[str, Any]) -> None:
        params["forecasters"][name] = params["forecasters"]["carried_rnn"] | {"seed": len(name)}

    edit_params(folder, add_entry)
    for part in ("trained", "plotted", "evaluated/details/forecasting"):
        shutil.copytree(folder / f"data/{part}/carried_rnn", folder / f"data/{part}/{name}")
    scores = folder / EVALUATED / "forecasting"
    shutil.copy(scores / "carried_rnn.json", scores / f"{name}.json")
    config = make_config(folder, name)
    torch.manual_seed(len(name))
    network = build_network(config.architecture, config.network, name)
    write_model(folder / "data/trained" / name, config, network)
    stages = [f"{verb}_forecaster@{name}" for verb in ("train", "evaluate", "plot")]
    take_results(folder, "follow_imports", *stages)


def rescore(folder: Path, model: str, score: float, data: str = "official") -> None:
    """Give a surname model other scores."""
    write_scores(folder, model, score, data)
    name = "blend" if model == "surname_blend" else f"classifier@{model}"
    take_results(folder, f"evaluate_{name}", f"plot_{name}")


def redraw(folder: Path, model: str, color: str) -> None:
    """Give a forecaster other figures."""
    write_figure(folder, f"{model}/forecast.png", color)
    take_results(folder, f"plot_forecaster@{model}")


def redraw_tour(folder: Path, color: str) -> None:
    """Give the layer tour another figure."""
    write_figure(folder, "layers/gradients.png", color)
    take_results(folder, "probe_layers")


def measure_again(folder: Path, difference: float) -> None:
    """Let the layer tour have measured something else."""
    write_equivalences(folder, difference)
    take_results(folder, "probe_layers")


def ask_again(folder: Path, model: str, answer: tuple[str, float]) -> None:
    """Let a surname model have answered otherwise."""
    write_queries(folder, model, dict.fromkeys(QUERIES, answer))
    take_results(folder, f"evaluate_classifier@{model}", f"plot_classifier@{model}")


def say_again(folder: Path, model: str, line: str) -> None:
    """Let a forecaster have printed something else while it was trained."""
    write_progress(folder, model, line)
    take_results(folder, f"train_forecaster@{model}")


def take_results(folder: Path, *stages: str) -> None:
    """Let dvc.lock say that the stages wrote what lies in data/, as `dvc commit --force` does."""
    with open_repo(folder) as repo, repo.lock:
        taken = [stage for stage in repo.index.stages if stage.addressing in stages]
        assert len(taken) == len({*stages}), stages
        for stage in taken:
            stage.save()
            stage.commit()
        for file, of_file in groupby(taken, key=lambda stage: stage.dvcfile):
            file.dump_stages([*of_file], update_pipeline=False)


def add_remote(folder: Path, remote: Path) -> Path:
    """Let a folder be the default remote of DVC, and hold all results, as `dvc push` leaves it."""
    with (folder / ".dvc/config").open("a", encoding="utf-8") as config:
        config.write(f"    remote = team\n['remote \"team\"']\n    url = {remote}\n")
        config.write("    verify = true\n")
    commit(folder, "remote")
    shutil.copytree(folder / ".dvc/cache/files", remote / "files")
    return remote


@contextmanager
def open_repo(folder: Path) -> Iterator[Repo]:
    """DVC in a folder, with none of the settings of the machine that runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in make_environment(folder).items():
            patch.setenv(name, value)
        patch.chdir(folder)  # stages are named as they are from here
        patch.setattr(Lockfile, "dump_stages", Lockfile.dump_stages)  # is put back at the end
        write_entries_alone()  # in a tenth of the time
        with Repo() as repo, params_read_once():
            yield repo


def write_trained(folder: Path, name: str, seed: int) -> None:
    """Write weights and what lies beside them."""
    trained = folder / "data/trained" / name
    config = make_config(folder, name)
    torch.manual_seed(seed)
    write_model(trained, config, build_network(config.architecture, config.network, name))
    curves = Curves([1, 2, 3, 4], [1.0, 0.5, 1 / 3, 0.25], [None, 1.0, None, 0.5], [3.0] * 4)
    write_curves(trained / "curves.csv", curves)
    write_json(trained / "times.json", TIMES)


def make_config(folder: Path, name: str) -> ModelConfig:
    """What the model is by params.yaml."""
    if name == "surname_blend":
        members = []
        for model in KEPT["classifiers"]:
            member = make_config(folder, model)
            members.append({"architecture": member.architecture, "network": member.network})
        network = {"members": members, "weights": [0.3, 0.3, 0.4]}
        return ModelConfig("surnames", "blend_classifier", network)
    task = find_task(name)
    section = read_params(folder)[SECTIONS[task]][name]
    sizes = LETTERS if task == "surnames" else {}
    return ModelConfig(task, section["architecture"], sizes | section["network"])


def write_baselines(folder: Path) -> None:
    """Write what all baselines of params.yaml scored: the same."""
    params = read_params(folder)
    for series in params["generated_series"]:
        scores = nest_errors(BASELINE_ERROR, BASELINE_ERROR, ratio=1.0)
        section = params["forecasting_baselines"]
        baselines = dict.fromkeys([*section["names"], *section["periodic_names"]], scores)
        details = folder / DETAILS["forecasting"]
        write_file(details / "baselines" / series / "scores.json", {"data": series, **baselines})
        best = f"{series}_baseline"
        trained = folder / "data/trained" / best
        model = fit_autoregression(np.sin(np.arange(30.0))[None], 2)
        write_model(trained, describe_model(model, None), model)
        write_curves(trained / "curves.csv", Curves())
        write_json(trained / "times.json", TIMES)
        scores = {"data": series, "baseline": BEST_BASELINE, **scores}
        write_file(details / best / "scores.json", scores)
        write_file(
            details / best / "forecast_info.json",
            FORECAST_INFO | {"series": series, "least_history": 2},
        )
        metrics = choose_forecaster_metrics(scores)
        write_file(folder / EVALUATED / "forecasting" / f"{best}.json", metrics)
    scores = nest_scores("macro_f1", BASELINE_F1, BASELINE_F1)
    baselines = dict.fromkeys(params["surname_baselines"]["names"], scores)
    path = folder / "data/evaluated/details/surnames/baselines/scores.json"
    write_file(path, {"data": "official", **baselines})


def write_file(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, and the folder where it lies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)


def nest_scores(name: str, test: float, validation: float) -> dict[str, Any]:
    """A score on test with its interval, and on validation."""
    interval = {"low": test - 0.05, "high": test + 0.05}
    return {name: test, "intervals": {name: interval}, "validation": {name: validation}}


def nest_errors(test: float, validation: float, ratio: float) -> dict[str, Any]:
    """Errors over 500 steps, and the ratio to the error of the best baseline."""
    scores = nest_scores("mse_500", test, validation)
    scores["validation"]["ratio_to_baseline"] = ratio
    horizons = {"horizon_short": 500, "horizon_long": 500}
    return {**horizons, **scores, "ratio_to_baseline": ratio}


def write_scores(folder: Path, name: str, score: float, data: str = "official") -> None:
    """Write scores in which the model is as good on validation as `score` says."""
    details = find_details(folder, name)
    if find_task(name) == "surnames":
        nested = nest_scores("macro_f1", score - 0.01, score)
        scores = {"data": data, "num_test": 100, "temperature": TEMPERATURE, **nested}
        metrics = {"macro_f1": scores["macro_f1"]}
    else:
        scores = {"data": "integer_starts", **nest_errors(score, score, score / BASELINE_ERROR)}
        metrics = choose_forecaster_metrics(scores)
        write_file(details / "forecast_info.json", FORECAST_INFO)
    write_file(details / "scores.json", scores)
    write_file(folder / EVALUATED / find_task(name) / f"{name}.json", metrics)


def find_details(folder: Path, name: str) -> Path:
    """The folder of all scores of a model."""
    return folder / DETAILS[find_task(name)] / name


def write_shown(folder: Path, name: str, color: str) -> None:
    """Write what people look at: figures, tables, and what training printed."""
    main = "forecast" if find_task(name) == "forecasting" else "confusion"
    write_figure(folder, f"{name}/{main}.png", color)
    write_figure(folder, f"{name}/details/loss.png", color)
    if name != "surname_blend":  # nothing is trained
        write_progress(folder, name, "iteration 4, loss 0.25")
    if find_task(name) == "surnames":
        write_queries(folder, name, QUERIES)


def write_figure(folder: Path, name: str, color: str) -> None:
    """Write what stands for a picture: its color."""
    path = folder / "data/plotted" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(color, encoding="utf-8")


def write_progress(folder: Path, name: str, line: str) -> None:
    """Write what training printed."""
    path = folder / "data/trained" / name / "progress.txt"
    path.write_text(f"{line}\n", encoding="utf-8")


def write_queries(folder: Path, name: str, answers: dict[str, tuple[str, float]]) -> None:
    """Write the answers to the names that the walk-through asks about: the two best languages."""
    rows = []
    for query, (language, log_probability) in answers.items():
        calibrated = round(log_probability / TEMPERATURE, 2)
        rows.append((query, query, 1, language, log_probability, calibrated))
        rows.append((query, query, 2, "Spanish", -4.0, -3.0))
    columns = ("query", "cleaned", "rank", "language", "log_probability", "calibrated")
    write_table(find_details(folder, name) / "queries.csv", columns, rows)


def write_tour(folder: Path, color: str) -> None:
    """Write the layer tour and the gradient through time."""
    write_figure(folder, "layers/gradients.png", color)
    shapes = ("(10, 3, 100)", "(10, 3, 20)", "h (1, 3, 20)")
    weights = "weight_ih (20, 100); weight_hh (20, 20)"
    columns = ("module", "arguments", "input_shape", "output_shape", "state_shapes")
    columns = (*columns, "weight_shapes", "parameters")
    tour = folder / "data/plotted/layers"
    write_table(tour / "layers.csv", columns, [("RNN", "100, 20", *shapes, weights, 2440)])
    norms = []
    for layer, values in NORMS.items():
        for distance, value in enumerate(values, start=1):
            norms.append(("zero input", layer, distance, value))
    columns = ("case", "layer", "distance", "spectral_norm")
    write_table(tour / "gradients.csv", columns, norms)
    write_equivalences(folder, 6.5e-07)


def write_equivalences(folder: Path, difference: float) -> None:
    """Write how far cells and layers are apart."""
    claims = [("RNNCell = RNN", 1e-09), ("LSTMCell = LSTM", difference)]
    path = folder / "data/plotted/layers/equivalences.csv"
    write_table(path, ("claim", "largest_difference"), claims)


def write_missing(folder: Path, status: dict[str, list[dict[str, Any]]]) -> None:
    """Write something wherever dvc.yaml names a file below data/ that is not there."""
    missing = []
    for changes in status.values():
        for change in changes:
            for kind in ("changed deps", "changed outs"):
                states = change.get(kind, {})
                missing += [path for path in states if states[path] == "deleted"]
    for path in sorted(missing, key=len, reverse=True):  # files before the folder that is the out
        target = folder / path
        if target.suffix:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path, encoding="utf-8")
        elif not target.exists():
            target.mkdir(parents=True)
            (target / "some.txt").write_text(path, encoding="utf-8")


def find_task(name: str) -> str:
    """The task of a model."""
    return "surnames" if name.startswith("surname_") else "forecasting"


def copy_workspace(folder: Path) -> Path:
    """A workspace of a test's own: all stages done and committed, nothing tracked."""
    return copy_folder(make_once("workspace", make_workspace), folder)


def work_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder, without the settings of whoever runs the tests."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
