"""The runs that this project has in MLflow, as dvc.lock describes them: one function per kind.

A further task is one more function in `KINDS`.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from stages.searching.outcome import (
    FAILURE,
    LABELS,
    SCORE,
    is_error,
    read_best,
    read_losses,
    read_trials,
)
from stages.shared.json_files import read_json
from stages.shared.model_config import Times, read_config, read_times
from stages.shared.tables import CURVE_COLUMNS, Curves, read_curves, read_table
from stages.tracking.mlflow_sync.dvc_files import (
    Md5s,
    Stage,
    check_listings,
    read_folders,
    read_stages,
    read_yaml,
)
from stages.tracking.mlflow_sync.run_spec import Child, Content, CurvePoint, ModelPackage, RunSpec
from stages.tracking.model_package import list_artifacts, pack_model
from stages.tracking.notes import (
    SEARCH,
    describe_baseline,
    describe_model,
    describe_search,
    describe_tour,
)
from stages.tracking.scores import (
    DETAILS,
    flatten,
    list_labels,
    list_metrics,
    read_baseline_scores,
    read_scores,
    shorten,
)

EVALUATED = "data/evaluated"
TOUR = "data/plotted/layers"
DESCRIPTIONS = "stages/tracking/descriptions.yaml"
_SEARCHES_PARAMS = "searches/params.yaml"
MODEL_KINDS = ("walk-through", "own")

_CODE = "data/code/"  # lists of the code that stages run, by stages/imports/follow.py
_SEARCHES_LOCK = "searches/dvc.lock"
_NOT_DESCRIBED = f"not described in {DESCRIPTIONS}"
_NO_SCORES = "it has no scores in dvc.lock: run `dvc repro`"

Stages = dict[str, Stage]  # by name


def list_run_specs() -> list[RunSpec]:
    """All runs of this dvc.lock: models by name, then baselines, the layer tour and searches."""
    stages = read_lock()
    return [spec for list_kind in KINDS for spec in list_kind(stages)]


def read_models() -> list[RunSpec]:
    """The trained models of this dvc.lock, by name."""
    return list_models(read_lock())


def read_lock() -> Stages:
    """The stages of dvc.lock that dvc.yaml asks for."""
    stages = read_stages("dvc.yaml", "dvc.lock", "params.yaml", _CODE)
    return {stage.name: stage for stage in stages}


def read_searches() -> list[Stage]:
    """The searches of searches/dvc.lock, whether their results are here or not."""
    if not Path(_SEARCHES_LOCK).exists():
        return []
    searches = read_stages("searches/dvc.yaml", _SEARCHES_LOCK, _SEARCHES_PARAMS, _CODE)
    for stage in searches:
        if not any(path.endswith("/trials.csv") for path in stage.outs):  # the last that DVC lists
            stage.raise_incomplete()
    return searches


def read_dvc_folders() -> Md5s:
    """Folders that DVC may write, with their md5s."""
    locks = [Path("dvc.lock"), Path(_SEARCHES_LOCK)]
    return read_folders([*locks, *Path().glob("*.dvc"), *Path("data").rglob("*.dvc")])


def check_dvc_listings() -> None:
    """Reject a listing in DVC's cache by which DVC would write outside of a folder.

    Raises:
        InputError: a listing is not that of dvc.lock, or names a path outside of its folder.
    """
    check_listings(read_dvc_folders())


# One function per kind of run


def list_models(stages: Stages) -> list[RunSpec]:
    """Trained models of both tasks, by name."""
    descriptions = read_yaml(DESCRIPTIONS)
    make = partial(_make_model, descriptions, stages)
    models = []
    for task, verb in (("forecasting", "forecaster"), ("surnames", "classifier")):
        for stage in stages.values():
            kind, _, name = stage.name.partition("@")
            if kind == f"train_{verb}":
                models.append(make(task, name, stage, f"{verb}@{name}"))
    if "blend_classifiers" in stages:
        models.append(make("surnames", "surname_blend", stages["blend_classifiers"], "blend"))
    return sorted(models, key=lambda spec: spec.name)


def _make_model(
    descriptions: dict[str, Any], stages: Stages, task: str, name: str, train: Stage, item: str
) -> RunSpec:
    """A model.

    Args:
        descriptions: sentences by kind and name.
        stages: of dvc.lock.
        task: folder of stages/ and experiment.
        name: of the model.
        train: the stage that made it.
        item: by which its other stages are called: `evaluate_<item>`, `plot_<item>`.
    """
    kind = "walk-through" if name in descriptions["walk-through"] else "own"
    roles = {"train": train}
    for role in ("evaluate", "plot"):
        if f"{role}_{item}" in stages:
            roles[role] = stages[f"{role}_{item}"]
    params: dict[str, Any] = {}
    for section, value in train.params.get("params.yaml", {}).items():
        params |= value if isinstance(value, dict) else {section: value}
    data, test_data = _keep_data(train.deps), {}
    if "evaluate" in roles:
        known = data | train.outs
        for path, md5 in _keep_data(roles["evaluate"].deps).items():
            if path not in known and not _is_of_baselines(path):
                test_data[path] = md5
    scores = f"{DETAILS[task]}/{name}/scores.json"
    description = descriptions[kind].get(name, _NOT_DESCRIBED)
    return RunSpec(
        name=name,
        experiment=task,
        kind=kind,
        description=description,
        stages=roles,
        params=_format_values(params),
        results=[
            f"data/trained/{name}/weights.pt",
            f"data/trained/{name}/curves.csv",
            f"{EVALUATED}/{task}/{name}.json",
            scores,
        ],
        data=data,
        test_data=test_data,
        shown=_find_shown(roles),
        compared=_find_compared(roles),
        read=partial(_read_model, task, name, description),
        package=ModelPackage(partial(_list_package, name), partial(_write_package, name)),
        missing_stage=None if "evaluate" in roles else _NO_SCORES,
    )


def _list_package(name: str) -> list[str]:
    return list(list_artifacts(name, read_config(Path("data/trained", name))).values())


def _write_package(name: str, folder: Path, identity: dict[str, Any]) -> None:
    pack_model(folder, name, read_config(Path("data/trained", name)), identity)


def _read_model(task: str, name: str, description: str) -> Content:
    """What training and evaluation wrote."""
    folder = Path("data/trained", name)
    config, times, scores = read_config(folder), read_times(folder), read_scores(task, name)
    baselines = read_baseline_scores(task, scores["data"])
    return Content(
        times.started,
        times.ended,
        _list_points(read_curves(folder / "curves.csv"), times),
        shorten(list_metrics(scores)),
        {"processor": times.processor} | list_labels(scores),
        describe_model(name, description, config.architecture, scores, baselines),
    )


def _list_points(curves: Curves, times: Times) -> list[CurvePoint]:
    """What training recorded; times are spread evenly over it."""
    points = []
    for row, iteration in enumerate(curves.iteration):
        share = iteration / curves.iteration[-1]
        time = times.started + share * (times.ended - times.started)
        for name in CURVE_COLUMNS:
            value = getattr(curves, name)[row]
            if name != "iteration" and value is not None:
                points.append(CurvePoint(name, value, iteration, time))
    return points


def list_baselines(stages: Stages) -> list[RunSpec]:
    """Baselines, one run each: those of a series carry its name."""
    descriptions = read_yaml(DESCRIPTIONS)["baseline"]
    make = partial(_make_baselines, descriptions)
    specs = []
    for stage in stages.values():
        kind, _, series = stage.name.partition("@")
        if kind in ("score_series_baselines", "score_observed_baselines"):
            specs += make("forecasting", "forecasting_baselines", stage, series)
        elif kind == "score_surname_baselines":
            specs += make("surnames", "surname_baselines", stage, "")
    return specs


def _make_baselines(
    descriptions: dict[str, str], task: str, section: str, stage: Stage, series: str
) -> list[RunSpec]:
    params = dict(stage.read_section(section))
    methods = params.pop("names", None) or []
    results = [path for path in stage.outs if path.endswith("/scores.json")]
    specs = []
    for method in methods:
        name = f"{method} ({series})" if series else method
        description = descriptions.get(method, _NOT_DESCRIBED)
        spec = RunSpec(
            name=name,
            experiment=task,
            kind="baseline",
            description=description,
            stages={"score": stage},
            params=_format_values({"baseline": method} | params),
            results=results,
            data=_keep_data(stage.deps),
            # nothing is shown: its table holds the rows of all baselines
            compared=_find_compared({"score": stage}),
            read=partial(_read_baseline, method, name, description, results),
        )
        specs.append(spec)
    return specs


def _read_baseline(method: str, name: str, description: str, results: list[str]) -> Content:
    """What the stage of the baselines wrote, which holds no time."""
    now = datetime.now(UTC)
    baselines = read_json(Path(results[0]))
    scores = {"data": baselines["data"]} | baselines[method]
    note = describe_baseline(name, description, method, scores)
    return Content(now, now, [], shorten(list_metrics(scores)), list_labels(scores), note)


def list_tour(stages: Stages) -> list[RunSpec]:
    """The tour of the recurrent layers and the gradient through time, which train nothing."""
    if "probe_layers" not in stages:
        return []
    roles = {"probe": stages["probe_layers"]}
    description = read_yaml(DESCRIPTIONS)["tour"].get("layer_tour", _NOT_DESCRIBED)
    tour = RunSpec(
        name="layer_tour",
        experiment="layers",
        kind="tour",
        description=description,
        stages=roles,
        params=_format_values(roles["probe"].read_section("probe_layers")),
        results=[f"{TOUR}/{table}.csv" for table in ("layers", "equivalences", "gradients")],
        data=_keep_data(roles["probe"].deps),
        shown=_find_shown(roles),
        read=partial(_read_tour, description),
    )
    return [tour]


def _read_tour(description: str) -> Content:
    """The tables of the tour. They hold no time: it is that of the sync."""
    now = datetime.now(UTC)
    norms = read_table(Path(TOUR, "gradients.csv"))
    points = []
    for norm in norms:
        # what MLflow does not take in a name
        name = re.sub(r"[^\w./-]", "_", f"{norm['case']}/{norm['layer']}")
        points.append(CurvePoint(name, float(norm["spectral_norm"]), int(norm["distance"]), now))
    claims = read_table(Path(TOUR, "equivalences.csv"))
    difference = max(float(claim["largest_difference"]) for claim in claims)
    note = describe_tour(description, norms, difference)
    return Content(now, now, points, {"largest_difference": difference}, {}, note)


def _list_searches(_stages: Stages) -> list[RunSpec]:
    """Searches for recipes with results here; `make repro` does not run them. Trials are below."""
    specs = []
    for stage in read_searches():
        if not all(Path(path).exists() for path in stage.outs):
            continue
        section = read_search_section(stage)
        results = sorted(stage.outs)
        folder = Path(results[0]).parent
        roles = {"search": stage}
        spec = RunSpec(
            name=stage.name,
            experiment="searches",  # so that a task's own experiment shows what was chosen
            kind="search",
            description=SEARCH,
            stages=roles,
            params=_format_values(section | stage.read_sections()),
            results=results,
            data=_keep_data(stage.deps),
            shown=_find_shown(roles),
            compared=_find_compared(roles),
            read=partial(_read_search, stage.name, folder),
            children=partial(_list_trials, section["base"], section["score"], folder),
        )
        specs.append(spec)
    return specs


def read_search_section(search: Stage) -> dict[str, Any]:
    """The section of searches/params.yaml that a search read."""
    section = search.read_section(search.name, _SEARCHES_PARAMS)
    for field in ("base", "score", "space"):
        if not section.get(field):
            search.raise_incomplete()
    return section


def _read_search(name: str, folder: Path) -> Content:
    """What a search found, which holds no time."""
    now = datetime.now(UTC)
    best = read_best(folder)
    scores = shorten({f"best/{SCORE}{best.score}": best.value})
    return Content(now, now, [], scores, {"data": best.data}, describe_search(name, best))


def _list_trials(base: str, score: str, folder: Path) -> list[Child]:
    """One child per row of trials.csv, with its curve and its rank by the score that decides."""
    rows, curves = read_trials(folder), read_losses(folder)
    data = read_best(folder).data
    column = f"{SCORE}{score}"
    sign = 1 if is_error(score) else -1
    ranked = sorted(
        (sign * float(row[column]), number) for number, row in enumerate(rows) if row.get(column)
    )
    ranks = {number: rank for rank, (_, number) in enumerate(ranked, start=1)}
    trials = []
    for number, row in enumerate(rows):
        scores = {
            name: float(cell) for name, cell in row.items() if name.startswith(SCORE) and cell
        }
        if number in ranks:
            scores["rank"] = ranks[number]
        params = {
            name: cell
            for name, cell in row.items()
            if name != FAILURE and not name.startswith(SCORE)
        }
        recipe, seed = (row[label] for label in LABELS)
        tags = {"kind": "trial", "data": data}
        if row[FAILURE]:
            tags[FAILURE] = row[FAILURE]
        name = f"{base} {recipe}, seed {seed}"
        losses = curves.get((recipe, seed), [])
        trials.append(Child(name, params, shorten(scores), losses, tags, bool(row[FAILURE])))
    return trials


KINDS: Sequence[Callable[[Stages], list[RunSpec]]] = (
    list_models,
    list_baselines,
    list_tour,
    _list_searches,
)


# What all kinds have


def _keep_data(md5s: Md5s) -> Md5s:
    """Files below data/ without the lists of code."""
    return {
        path: md5
        for path, md5 in md5s.items()
        if path.startswith("data/") and not path.startswith(_CODE)
    }


def _find_shown(stages: Stages) -> dict[str, str]:
    """Outs that people look at -> folder of the run."""
    shown = {}
    for stage in stages.values():
        for path in stage.outs:
            if path.startswith("data/trained/"):
                if path.endswith("/progress.txt"):
                    shown[path] = ""
            elif path.endswith((".csv", "/best.yaml")):
                shown[path] = "tables"
            elif path.startswith("data/plotted/"):
                shown[path] = "figures"
    return shown


def _find_compared(stages: Stages) -> Md5s:
    """Files of baselines that stages read or wrote."""
    return {
        path: md5
        for stage in stages.values()
        for path, md5 in (stage.deps | stage.outs).items()
        if _is_of_baselines(path)
    }


def _is_of_baselines(path: str) -> bool:
    return path.startswith(tuple(f"{folder}/baselines/" for folder in DETAILS.values()))


def _format_values(values: dict[str, Any]) -> dict[str, str]:
    """Values as MLflow keeps them, with one name each."""
    params = {}
    for name, value in flatten(values, ".").items():
        params[name] = value if isinstance(value, str) else json.dumps(value)
    return params
