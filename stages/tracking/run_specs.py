"""The run specs of this project, made from dvc.lock: one function per kind of run.

Next to each function is the one that reads the results of a run and writes the note on its page.
Stages of another task need no function: their runs are inferred (mlflow_sync/infer.py).
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from stages.forecasting.observed import has_many_series
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
from stages.shared.model_config import read_config, read_times
from stages.shared.tables import CURVE_COLUMNS, read_curves, read_table
from stages.shared.yaml_files import read_yaml
from stages.surnames.names import format_answer
from stages.tracking.leaderboards import (
    DETAILS,
    Scores,
    find_scores,
    format_score,
    format_verdict,
    list_labels,
    list_metrics,
    read_best_baseline,
    read_scores,
    shorten,
)
from stages.tracking.mlflow_sync.dvc_files import (
    Md5s,
    Stage,
    check_listings,
    list_written,
    read_folders,
    read_stages,
)
from stages.tracking.mlflow_sync.infer import half_way_problem, infer_specs, read_pipeline
from stages.tracking.mlflow_sync.runs import (
    Child,
    Content,
    CurvePoint,
    ModelPackage,
    RunSpec,
    flatten,
    format_param,
)
from stages.tracking.model_package import list_files, pack_model

EVALUATED = "data/evaluated"
TOUR = "data/plotted/layers"
DESCRIPTIONS = "stages/tracking/descriptions.yaml"

_CODE = "data/code/"  # lists of the code of stages, written by stages/imports/follow.py
_CODE_STAGE = "follow_imports"  # the stage that writes them
_PULL = "make pull"  # safer than `dvc pull`
_SEARCHES_PARAMS = "searches/params.yaml"
_SEARCHES_LOCK = "searches/dvc.lock"
_SEARCH = "recipes drawn at random, trained, and scored on validation alone"
_NOT_DESCRIBED = f"not described in {DESCRIPTIONS}"
_SCORES_MISSING = "it has no scores in dvc.lock: run `dvc repro`"
_WALKTHROUGH_SCORES = ("walkthrough_mse", "walkthrough_mse_all_starts")
_OTHER_KINDS = {  # stage of dvc.yaml -> kind of its model
    "combine_forecaster": "combination",
    "score_series_baselines": "best baseline",
    "score_observed_baselines": "best baseline",
}
_BASELINES = {  # stage of dvc.yaml -> task and section of params.yaml
    "score_series_baselines": ("forecasting", "forecasting_baselines"),
    "score_observed_baselines": ("forecasting", "forecasting_baselines"),
    "score_surname_baselines": ("surnames", "surname_baselines"),
}

Stages = dict[str, Stage]  # by name


def list_run_specs() -> list[RunSpec]:
    """List all runs of dvc.lock: models by name, then baselines, the layer tour and searches.

    Inferred runs of other stages come last.
    """
    stages = read_lock()
    specs = [spec for list_specs in LIST_FUNCTIONS for spec in list_specs(stages)]
    described = {stage.name for spec in specs for stage in spec.stages.values()}
    # all stages depend on the lists of code, whose params, the requirements, belong to no run
    known = {name: stage for name, stage in stages.items() if name != _CODE_STAGE}
    return specs + infer_specs(read_pipeline(known=known), described, _PULL, tag_prefix="")


def read_models() -> list[RunSpec]:
    """List the trained models of dvc.lock, by name."""
    return list_models(read_lock())


def read_lock() -> Stages:
    """Read the stages of dvc.lock that are in dvc.yaml."""
    return read_stages("dvc.yaml", "params.yaml", _CODE)


def read_searches() -> list[Stage]:
    """Read the searches of searches/dvc.lock, also those without local results."""
    if not Path(_SEARCHES_LOCK).exists():
        return []
    searches = read_stages("searches/dvc.yaml", _SEARCHES_PARAMS, _CODE)
    for stage in searches.values():
        if not any(path.endswith("/trials.csv") for path in stage.outs):
            stage.raise_incomplete()
    return [*searches.values()]


def read_dvc_folders() -> Md5s:
    """Return the folders that DVC may write, with their md5s."""
    locks = [Path("dvc.lock"), Path(_SEARCHES_LOCK)]
    return read_folders([*locks, *Path().glob("*.dvc"), *Path("data").rglob("*.dvc")])


def check_dvc_listings() -> None:
    """Check the listings of folders in DVC's cache before DVC follows them.

    Raises:
        InputError: if a listing differs from dvc.lock, or names a path outside of its folder.
    """
    check_listings(read_dvc_folders())


# All kinds


def _make_spec(stages: Stages, params: dict[str, Any], **fields: Any) -> RunSpec:
    """Make a run spec, filling in what is found in the same way for all kinds.

    Args:
        stages: stages by role; the one that made the results comes first.
        params: values, nested in sections or not.
        fields: the other fields of the spec.
    """
    shown: dict[str, str] = {}  # path -> folder of the run
    compared: Md5s = {}
    for stage in stages.values():
        for path, md5 in (stage.deps | stage.outs).items():
            if _is_of_baselines(path):
                compared[path] = md5
        for path in stage.outs:
            if _is_of_baselines(path):
                continue  # its table has the rows of all baselines
            if path.startswith("data/trained/"):
                if path.endswith("/progress.txt"):
                    shown[path] = ""
            elif path.endswith((".csv", "/best.yaml")):
                shown[path] = "tables"
            elif path.startswith("data/plotted/"):
                shown[path] = "figures"
    return RunSpec(
        stages=stages,
        params={name: format_param(value) for name, value in flatten(params, ".").items()},
        data=_keep_data(next(iter(stages.values())).deps),
        shown=shown,
        compared=compared,
        pull=_PULL,
        **fields,
    )


def _keep_data(md5s: Md5s) -> Md5s:
    """Select the files below data/, without the lists of code."""
    return {
        path: md5
        for path, md5 in md5s.items()
        if path.startswith("data/") and not path.startswith(_CODE)
    }


def _is_of_baselines(path: str) -> bool:
    return path.startswith(tuple(f"{folder}/baselines/" for folder in DETAILS.values()))


# Models


def list_models(stages: Stages) -> list[RunSpec]:
    """List the trained models of both tasks, by name."""
    descriptions = read_yaml(DESCRIPTIONS)
    written = list_written(stages.values())
    models = []
    for stage in stages.values():
        kind, _, name = stage.name.partition("@")
        if kind == "train_forecaster":
            task, item = "forecasting", f"forecaster@{name}"
        elif kind == "combine_forecaster":
            task, item = "forecasting", f"combined@{name}"
        elif kind in ("score_series_baselines", "score_observed_baselines"):
            # this stage fits and scores the baselines of a series, and keeps the best as a model
            task, name, item = "forecasting", f"{name}_baseline", ""
        elif kind == "train_classifier":
            task, item = "surnames", f"classifier@{name}"
        elif kind == "blend_classifiers":
            task, name, item = "surnames", "surname_blend", "blend"
        else:
            continue
        roles = {"train": stage}
        for role in ("evaluate", "plot"):
            if f"{role}_{item}" in stages:
                roles[role] = stages[f"{role}_{item}"]
        if not item:
            roles["evaluate"] = stage
        models.append(_make_model(task, name, roles, descriptions, written))
    return sorted(models, key=lambda spec: spec.name)


def _make_model(
    task: str,
    name: str,
    roles: Stages,
    descriptions: dict[str, Any],
    written: dict[str, tuple[str, str]],
) -> RunSpec:
    """Make the spec of a model from its stages by role and the descriptions by kind and name."""
    train = roles["train"]
    kind = "walk-through" if name in descriptions["walk-through"] else "own"
    description = descriptions[kind].get(name, _NOT_DESCRIBED)
    stage_kind = train.name.partition("@")[0]
    if stage_kind in _OTHER_KINDS:
        kind = _OTHER_KINDS[stage_kind]
        description = descriptions["other"][kind]
    sections = train.params.get("params.yaml", {})
    if kind == "best baseline":  # the params of its scoring are not params of the model
        sections = {"baselines": train.read_section("forecasting_baselines")}
    test_data = {}
    if "evaluate" in roles:
        known = train.deps | train.outs
        for path, md5 in _keep_data(roles["evaluate"].deps).items():
            if path not in known and not _is_of_baselines(path):
                test_data[path] = md5
    details = ["forecast_info", "scores"] if task == "forecasting" else ["scores"]
    return _make_spec(
        roles,
        _join_sections(sections),
        name=name,
        experiment=task,
        kind=kind,
        description=description,
        results=[
            f"data/trained/{name}/weights.pt",
            f"data/trained/{name}/curves.csv",
            f"{EVALUATED}/{task}/{name}.json",
            *(f"{DETAILS[task]}/{name}/{part}.json" for part in details),
        ],
        test_data=test_data,
        read=partial(_read_model, task, name, description, kind == "walk-through"),
        package=ModelPackage(partial(list_files, name), partial(pack_model, name)),
        has_variants=True,
        lock_problem=half_way_problem(roles, written) if "evaluate" in roles else _SCORES_MISSING,
    )


def _join_sections(sections: dict[str, Any]) -> dict[str, Any]:
    """Join the params of all sections of a stage; a single value is named after its section."""
    params: dict[str, Any] = {}
    for section, value in sections.items():
        params |= value if isinstance(value, dict) else {section: value}
    return params


def _read_model(task: str, name: str, description: str, is_published: bool) -> Content:
    """Read the results of training and evaluation; the note compares the model with baselines.

    The note of a published model begins with the score at the end of its walk-through.
    """
    folder = Path("data/trained", name)
    config, times, scores = read_config(folder), read_times(folder), read_scores(task, name)
    curves = read_curves(folder / "curves.csv")
    points = []
    for row, iteration in enumerate(curves.iteration):
        # the times of single iterations are not known: spread them evenly
        share = iteration / curves.iteration[-1]
        time = times.started + share * (times.ended - times.started)
        for column in CURVE_COLUMNS:
            value = getattr(curves, column)[row]
            if column != "iteration" and value is not None:
                value = float(f"{value:.4g}")
                points.append(CurvePoint(f"curves/{column}", value, iteration, time))
    labels = list_labels(scores)
    lines = []
    means = [mean for mean in curves.mean_loss if mean is not None]
    if is_published and "walkthrough_mse" in scores:
        error = scores["walkthrough_mse"]
        lines += [f"The walk-through ends with a mean squared error of {error:.3g}.", ""]
    elif is_published and task == "surnames" and means:
        lines += [f"The walk-through ends with a mean loss of {means[-1]:.3g}.", ""]
    lines += _tabulate_scores(name, scores, read_best_baseline(task, scores))
    lines += ["", f"**{name}** ({config.architecture}): {description}", ""]
    lines += [f"- {label}: {value}" for label, value in labels.items()]
    lines += _list_printed(task, name)
    verdict = format_verdict(scores)
    return Content(
        times.started,
        times.ended,
        points,
        shorten(list_metrics(scores)),
        labels | ({"verdict": verdict} if verdict else {}) | {"processor": times.processor},
        "\n".join(lines),
    )


def _list_printed(task: str, name: str) -> list[str]:
    """Return what the walk-throughs print: the network, and its answers to the queries."""
    printed = []
    progress = Path("data/trained", name, "progress.txt")
    if progress.exists():  # a blend has none
        network, closed, _ = progress.read_text(encoding="utf-8").partition("\n)\n")
        if closed:
            printed += [*network.splitlines(), ")"]
    queries = find_scores(task, name).with_name("queries.csv")
    answers: dict[str, list[tuple[float, str]]] = {}
    for row in read_table(queries) if queries.exists() else []:
        pair = float(row["log_probability"]), row["language"]
        answers.setdefault(row["query"], []).append(pair)
    for query, ranked in answers.items():
        printed += ["", *format_answer(query, ranked)]
    return ["", "```", *printed, "```"] if printed else []


# Baselines


def list_baselines(stages: Stages) -> list[RunSpec]:
    """List the baselines, one run each, with the name of their series."""
    descriptions = read_yaml(DESCRIPTIONS)["baseline"]
    written = list_written(stages.values())
    specs = []
    for stage in stages.values():
        kind, _, series = stage.name.partition("@")
        if kind not in _BASELINES:
            continue
        task, section = _BASELINES[kind]
        params = dict(stage.read_section(section))
        results = [path for path in stage.outs if path.endswith("/scores.json")]
        lists = ("names", "observed_names", "periodic_names", "panel_names")
        methods, observed, periodic, of_panels = (params.pop(name, None) or [] for name in lists)
        if kind == "score_observed_baselines":
            preprocess = stages.get(f"preprocess_observed@{series}") or stage.raise_incomplete()
            entry = preprocess.read_section(f"observed_series.{series}")
            methods = of_panels if has_many_series(entry) else methods + observed
        if kind == "score_series_baselines":
            preprocess = stages.get(f"preprocess_series@{series}") or stage.raise_incomplete()
            entry = preprocess.read_section(f"generated_series.{series}")
            methods = methods + periodic if entry.get("period") else methods
        for method in methods:
            name = f"{method} ({series})" if series else method
            description = descriptions.get(method, _NOT_DESCRIBED)
            spec = _make_spec(
                {"score": stage},
                {"baseline": method} | params,
                name=name,
                experiment=task,
                kind="baseline",
                description=description,
                results=results,
                read=partial(_read_baseline, method, name, description, results),
                lock_problem=half_way_problem({"score": stage}, written),
            )
            specs.append(spec)
    return specs


def _read_baseline(method: str, name: str, description: str, results: list[str]) -> Content:
    """Read the scores of a baseline; they have no time, so it is that of the sync."""
    now = datetime.now(UTC)
    baselines = read_json(Path(results[0]))
    scores = {"data": baselines["data"]} | baselines.get(method, {})
    lines = [f"**{name}**: {description}", "", f"- data: {scores['data']}"]
    if method not in baselines:
        note = "\n".join([*lines, "", "It was left out: its forecasts diverge."])
        return Content(now, now, [], {}, list_labels(scores), note)
    note = "\n".join([*_tabulate_scores(method, scores, {}), "", *lines])
    return Content(now, now, [], shorten(list_metrics(scores)), list_labels(scores), note)


def _tabulate_scores(name: str, scores: Scores, baseline: dict[str, Scores]) -> list[str]:
    """Make a table of the walk-through's score and the test scores with intervals.

    Args:
        name: the model.
        scores: its scores.
        baseline: name and scores of the best baseline, empty if there is no comparison.
    """
    columns = {name: scores} | {f"{best}, the best baseline": of for best, of in baseline.items()}
    lines = [
        f"| test score [95 % interval] | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for score in (*_WALKTHROUGH_SCORES, *scores["intervals"]):
        if score in scores:
            cells = [format_score(of, score) for of in columns.values()]
            lines.append(f"| {score} | {' | '.join(cells)} |")
    return lines


# The layer tour


def list_tour(stages: Stages) -> list[RunSpec]:
    """List the tour of the recurrent layers, which has one run and trains nothing."""
    if "probe_layers" not in stages:
        return []
    stage = stages["probe_layers"]
    description = read_yaml(DESCRIPTIONS)["tour"].get("layer_tour", _NOT_DESCRIBED)
    tour = _make_spec(
        {"probe": stage},
        stage.read_section("probe_layers"),
        name="layer_tour",
        experiment="layers",
        kind="tour",
        description=description,
        results=[f"{TOUR}/{table}.csv" for table in ("layers", "equivalences", "gradients")],
        read=partial(_read_tour, description),
    )
    return [tour]


def format_modules(row: dict[str, str]) -> str:
    """Format the modules of a row of layers.csv: RNN(4, 5) + Linear(5, 4)."""
    pairs = zip(row["module"].split(" + "), row["arguments"].split(" + "), strict=True)
    return " + ".join(f"{name}({arguments})" for name, arguments in pairs).replace("=True", "")


def _read_tour(description: str) -> Content:
    """Read the tables of the tour; they have no time, so it is that of the sync."""
    now = datetime.now(UTC)
    norms = read_table(Path(TOUR, "gradients.csv"))
    points = []
    for norm in norms:
        # what MLflow does not take in a name
        name = re.sub(r"[^\w./-]", "_", f"{norm['case']}/{norm['layer']}")
        points.append(CurvePoint(name, float(norm["spectral_norm"]), int(norm["distance"]), now))
    claims = read_table(Path(TOUR, "equivalences.csv"))
    difference = max(float(claim["largest_difference"]) for claim in claims)
    columns = ("input_shape", "output_shape", "state_shapes", "weight_shapes", "parameters")
    lines = ["| module | input | output | final state | weights | parameters |", "|---" * 6 + "|"]
    for row in read_table(Path(TOUR, "layers.csv")):
        cells = [format_modules(row), *(row[column] for column in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"**layer_tour**: {description}",
        "",
        f"Cells and layers of equal weights differ by {difference:.1e} at most.",
        "",
        "| case | layer | distance | spectral norm |",
        "|---|---|---|---|",
    ]
    # rows are sorted by distance: keep the last of each layer
    last = {(norm["case"], norm["layer"]): norm for norm in norms}
    for norm in last.values():
        value = float(norm["spectral_norm"])
        lines.append(f"| {norm['case']} | {norm['layer']} | {norm['distance']} | {value:.2g} |")
    return Content(now, now, points, {"largest_difference": difference}, {}, "\n".join(lines))


# Searches


def _list_searches(_stages: Stages) -> list[RunSpec]:
    """List the searches, with their trials as child runs.

    Searches without local results are skipped, because `make repro` does not run them.
    """
    specs = []
    for stage in read_searches():
        if not all(Path(path).exists() for path in stage.outs):
            continue
        section = read_search_section(stage)
        sections = stage.params.get("params.yaml")
        if not sections:
            stage.raise_incomplete()
        results = sorted(stage.outs)
        folder = Path(results[0]).parent
        spec = _make_spec(
            {"search": stage},
            section | sections,
            name=stage.name,
            experiment="searches",  # the experiments of the tasks show the chosen recipes
            kind="search",
            description=_SEARCH,
            results=results,
            read=partial(_read_search, stage.name, folder),
            children=partial(_list_trials, section["base"], section["score"], folder),
        )
        specs.append(spec)
    return specs


def read_search_section(search: Stage) -> dict[str, Any]:
    """Return the section of searches/params.yaml that a search read."""
    section = search.read_section(search.name, _SEARCHES_PARAMS)
    for field in ("base", "score", "space"):
        if not section.get(field):
            search.raise_incomplete()
    return section


def _read_search(name: str, folder: Path) -> Content:
    """Read the result of a search; it has no time, so it is that of the sync."""
    now = datetime.now(UTC)
    best = read_best(folder)
    scores = shorten({f"best/{SCORE}{best.score}": best.value}, best.score)
    base = "failed" if best.value_of_base is None else f"{best.value_of_base:.4g}"
    lines = [
        f"**{name}**: {_SEARCH}, on top of {best.base} ({best.data}).",
        "",
        f"Recipe {best.recipe} is best: {best.score} {best.value:.4g} (the base: {base}).",
        "",
    ]
    lines += [f"- {path}: {value}" for path, value in best.changes.items()]
    return Content(now, now, [], scores, {"data": best.data}, "\n".join(lines))


def _list_trials(base: str, score: str, folder: Path) -> list[Child]:
    """Make one child run per row of trials.csv, with its curve and its rank."""
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
        params: dict[str, str] = {}
        scores: dict[str, float] = {}
        for name, cell in row.items():
            if not name.startswith(SCORE) and name != FAILURE:
                params[name] = cell
            elif name.startswith(SCORE) and cell:
                scores[name] = float(cell)
        if number in ranks:
            scores["rank"] = ranks[number]
        recipe, seed = (row[label] for label in LABELS)
        tags = {"kind": "trial", "data": data}
        if row[FAILURE]:
            tags[FAILURE] = row[FAILURE]
        name = f"{base} {recipe}, seed {seed}"
        losses = curves.get((recipe, seed), [])
        shown = shorten(scores, score)
        trials.append(Child(name, params, shown, losses, tags, bool(row[FAILURE])))
    return trials


LIST_FUNCTIONS: Sequence[Callable[[Stages], list[RunSpec]]] = (
    list_models,
    list_baselines,
    list_tour,
    _list_searches,
)
