"""Infer the runs of stages that are not described elsewhere, from dvc.yaml and dvc.lock alone.

A run is a stage with metrics that no later stage with metrics reads. It includes all stages that it
depends on and those that only plot it. Its params are the params of all these stages, its scores
the metrics, its curves the tables under `plots:` in which x counts steps, its figures the other
plots, and its data the files of `dvc add` and `dvc import`. `mlflow.yaml` may give other names.
"""

import csv
import io
import json
import os
import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from stages.shared.dvc_pipeline import StageOuts, fill_in, resolve_stages
from stages.shared.errors import InputError
from stages.shared.files import read_file
from stages.shared.params import describe_problem
from stages.shared.yaml_files import parse_yaml, read_yaml
from stages.tracking.mlflow_sync.commits import find_project_name
from stages.tracking.mlflow_sync.dvc_files import (
    Md5s,
    Stage,
    find_definition,
    find_entry,
    join_path,
    list_written,
    read_entries,
    read_locked,
)
from stages.tracking.mlflow_sync.runs import Content, CurvePoint, RunSpec, flatten, format_param

_CONFIG = "mlflow.yaml"

_STEPS = ("step", "epoch", "iteration")  # columns for x, if dvc.yaml does not name one
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_NOT_IN_NAMES = re.compile(r"[^\w./ :-]")  # characters that MLflow does not allow in a name
_LONGEST = 6_000  # characters of a param in MLflow
_MOST_SHOWN = 40  # scores in the table of a note
_MOST_ITEMS = 100  # of a list of scores


class _Run(BaseModel):
    """The runs of a stage in mlflow.yaml; `{item}` stands for the item of a foreach or a matrix."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    experiment: str | None = None
    kind: str | None = None  # a tag
    model: str | None = None  # path of a file or folder that is recorded with its md5


class _Artifact(BaseModel):
    path: str
    type: str | None = None


class _TopLevel(BaseModel):
    """The parts of a dvc.yaml that are used here, besides its stages."""

    metrics: list[str] = []
    plots: list[str | dict[str, Any]] | dict[str, Any] = []
    vars: list[str | dict[str, Any]] = []
    artifacts: dict[str, _Artifact] = {}


class _Config(BaseModel):
    """The file mlflow.yaml."""

    model_config = ConfigDict(extra="forbid")

    experiment: str | None = None  # default: the name of the repository
    runs: dict[str, _Run] = {}  # by the name of a stage, with its item or for all of them


@dataclass
class LockedPipeline:
    """The stages of dvc.lock, with metrics and plots of dvc.yaml; paths from the working folder."""

    stages: dict[str, Stage] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    plots: dict[str, dict[str, Any]] = field(default_factory=dict)  # path -> x, y
    models: dict[str, str] = field(default_factory=dict)  # artifacts of type model: name -> path
    missing: list[str] = field(default_factory=list)  # stages of dvc.yaml that have not run

    def find_ancestors(self) -> dict[str, set[str]]:
        """Return for each stage all stages that it depends on, directly or not."""
        writers = {path: name for path, (_, name) in list_written(self.stages.values()).items()}
        parents: dict[str, set[str]] = {}
        for stage in self.stages.values():
            outs = {find_entry(path, writers) for path in stage.deps}
            for path in stage.deps:  # a folder that contains outs
                outs |= {out for out in writers if out.startswith(f"{path}/")}
            parents[stage.name] = {writers[out] for out in outs if out}
        ancestors: dict[str, set[str]] = {}
        for name in self.stages:
            found: set[str] = set()
            waiting = [name]
            while waiting:
                new = parents[waiting.pop()] - found
                found |= new
                waiting += new
            ancestors[name] = found
        return ancestors


# What DVC's files say


def read_pipeline(
    pipelines: Collection[Path] = (Path("dvc.yaml"),), known: dict[str, Stage] | None = None
) -> LockedPipeline:
    """Read files dvc.yaml and the dvc.lock beside each.

    Args:
        pipelines: paths of the files dvc.yaml.
        known: the stages of dvc.lock, if they were read already.

    Raises:
        InputError: if one is missing or damaged, or a stage writes outside of the repository.
    """
    found = LockedPipeline()
    for path in pipelines:
        content = read_yaml(path)
        try:
            top = _TopLevel.model_validate(content)
        except ValidationError as error:
            raise InputError(f"{path}: {describe_problem(error)}: correct it") from None
        values = _read_values(top.vars, path.parent)
        _add_stages(found, path, resolve_stages(content, values), known)
        _add_top_level(found, path.parent, top, values)
    return found


def _add_stages(
    found: LockedPipeline,
    path: Path,
    definitions: dict[str, StageOuts],
    known: dict[str, Stage] | None,
) -> None:
    """Add the stages of a dvc.yaml that are in its dvc.lock, with their metrics and plots."""
    has_lock = path.with_name("dvc.lock").exists()
    stages = known or (read_locked(path, definitions, outside_deps=True) if has_lock else {})
    # as DVC addresses stages of other folders
    prefix = "" if path.parent == Path() else f"{path}:"
    for name, stage in stages.items():
        defined = find_definition(name, definitions)
        if defined is None:
            continue
        folder = path.parent / defined.wdir
        found.stages[f"{prefix}{name}"] = replace(stage, name=f"{prefix}{name}")
        for metric in defined.metrics:
            found.metrics += _match(join_path(folder, metric), stage.outs)
        for plot, options in defined.plots.items():
            found.plots |= dict.fromkeys(_match(join_path(folder, plot), stage.outs), options)
    locked = stages.keys() | {f"{name.partition('@')[0]}@*" for name in stages}
    found.missing += [f"{prefix}{name}" for name in definitions if name not in locked]


def _add_top_level(
    found: LockedPipeline, folder: Path, top: _TopLevel, values: dict[str, Any]
) -> None:
    """Add the metrics, plots and models that a dvc.yaml lists outside of its stages."""
    written = list_written(found.stages.values())
    for metric in top.metrics:
        path = join_path(folder, fill_in(metric, values))
        if path not in found.metrics and find_entry(path, written):
            found.metrics.append(path)
    for listed in [top.plots] if isinstance(top.plots, dict) else top.plots:
        for plot, options in _list_plots({listed: None} if isinstance(listed, str) else listed):
            path = join_path(folder, fill_in(plot, values))
            if find_entry(path, written):
                found.plots.setdefault(path, options)
    for name, artifact in top.artifacts.items():
        if artifact.type == "model":
            shown = name if folder == Path() else f"{folder.as_posix()}/{name}"
            found.models[shown] = join_path(folder, fill_in(artifact.path, values))


def _read_values(entries: list[str | dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Read the values for the templates of a dvc.yaml: params.yaml and `vars`."""
    params = folder / "params.yaml"
    values = read_yaml(params) if params.exists() else {}
    for entry in entries:
        if isinstance(entry, dict):
            values |= entry
        else:  # file, or file:section,section
            name, _, sections = entry.partition(":")
            read = _read_mapping(folder / name)
            kept = sections.split(",") if sections else read
            values |= {section: read[section] for section in kept if section in read}
    return values


def _match(template: str, outs: Collection[str]) -> list[str]:
    """Return the outs that match a path, in which `*` is any text."""
    pattern = re.compile(".*".join(map(re.escape, template.split("*"))))
    return [path for path in outs if pattern.fullmatch(path)]


def _list_plots(entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the files of a top-level plot, each with its x and y.

    `y`, and also `x`, may map files to columns.
    """
    for name, options in entry.items():
        x, y = (options or {}).get("x"), (options or {}).get("y")
        for path, columns in y.items() if isinstance(y, dict) else [(name, y)]:
            yield path, {"x": x.get(path) if isinstance(x, dict) else x, "y": columns}


# From stages to runs


def infer_specs(
    pipeline: LockedPipeline,
    described: Collection[str] = (),
    pull: str = "dvc pull",
    tag_prefix: str = "sync.",
    made: datetime | None = None,
) -> list[RunSpec]:
    """Return the runs of the stages with metrics that no later stage with metrics reads.

    Args:
        pipeline: the result of `read_pipeline`.
        described: names of stages whose runs are described elsewhere.
        pull: command that downloads missing files, for messages.
        tag_prefix: prefix of the tags kind, model and stage, which people may use otherwise.
        made: time of the runs; default: the time when they are written.

    Raises:
        InputError: if mlflow.yaml is damaged.
    """
    written = list_written(pipeline.stages.values())
    outs = {path: find_entry(path, written) for path in (*pipeline.metrics, *pipeline.plots)}
    writers = {path: written[out][1] for path, out in outs.items() if out}
    scorers = {writers[path] for path in pipeline.metrics}
    if scorers <= {*described}:
        return []
    ancestors = pipeline.find_ancestors()
    finals = [
        name
        for name in pipeline.stages
        if name in scorers and not any(name in ancestors[other] for other in scorers)
    ]
    kept = _list_kept_data()
    config = _read_config()
    names = _name_runs(finals, config)
    _check_config(config, names)
    experiment = config.experiment or find_project_name()
    specs = []
    for final in finals:
        if final in described:
            continue
        upstream = [name for name in pipeline.stages if name in ancestors[final]]
        plotters = [
            name
            for name in pipeline.stages
            if final in ancestors[name] and not ancestors[name] & ({*finals} - {final})
        ]
        stages = {name: pipeline.stages[name] for name in (final, *reversed(upstream), *plotters)}
        metrics = [path for path in pipeline.metrics if writers[path] in stages]
        # the run is found by the metrics of its last stage, which come last
        metrics.sort(key=lambda path: writers[path] == final)
        plots = {path: axes for path, axes in pipeline.plots.items() if writers.get(path) in stages}
        md5s: Md5s = {}
        for stage in stages.values():
            md5s |= stage.deps | stage.outs
        own = _find_run_config(final, config)
        models = _find_models(_fill_item(own.model, final), final, pipeline.models, md5s)
        results = list(dict.fromkeys(outs[path] or path for path in metrics))
        shown = {path: _find_folder(path, md5s) for path in (*metrics, *plots)}
        first = pipeline.stages[final]
        specs.append(
            RunSpec(
                name=names[final],
                experiment=_fill_item(own.experiment, final) or experiment,
                kind=_fill_item(own.kind, final) or final.partition("@")[0],
                description="; ".join([f"stage {final}: {first.cmd}", *models.values()]),
                stages=stages,
                params=_collect_params(stages),
                results=results,
                data={path: md5 for path, md5 in md5s.items() if find_entry(path, kept)},
                read=partial(
                    _read_content, names[final], stages, metrics, plots, models, md5s, made
                ),
                shown=shown,
                needed=[*shown],
                pull=pull,
                tag_prefix=tag_prefix,
                lock_problem=half_way_problem(stages, written) or _metrics_problem(metrics),
                has_variants=True,
                is_inferred=True,
            )
        )
    return specs


def _read_config() -> _Config:
    """Read mlflow.yaml, if it is there.

    Raises:
        InputError: if it has other fields.
    """
    if not Path(_CONFIG).exists():
        return _Config()
    try:
        return _Config.model_validate(read_yaml(_CONFIG))
    except ValidationError as error:
        raise InputError(f"{_CONFIG}: {describe_problem(error)}: correct it") from None


def _check_config(config: _Config, names: dict[str, str]) -> None:
    """Check mlflow.yaml against the names of the runs, by stage.

    Raises:
        InputError: if an entry is for a stage without a run, a name has other braces than `{item}`,
            or two runs would have the same name.
    """
    known = {*names, *(stage.partition("@")[0] for stage in names)}
    for stage, entry in config.runs.items():
        if stage not in known:
            listed = ", ".join(sorted(known))
            raise InputError(f"{_CONFIG}: {stage} has no run of its own: name one of {listed}")
        for text in (entry.name, entry.experiment, entry.kind, entry.model):
            if text and re.search("[{}]", text.replace("{item}", "")):
                raise InputError(
                    f"{_CONFIG}: runs.{stage}: {text} has braces, where {{item}} may be"
                )
    listed_names = [*names.values()]
    for name in listed_names:
        if listed_names.count(name) > 1:
            raise InputError(f"{_CONFIG}: two runs would be named {name}: add {{item}} to the name")


def _find_models(
    named: str | None, stage: str, artifacts: dict[str, str], md5s: Md5s
) -> dict[str, str]:
    """Return the model files of a run by name: the one in mlflow.yaml, or those of dvc.yaml."""
    models = {"model": named} if named else artifacts
    models = {name: path for name, path in models.items() if find_entry(path, md5s)}
    if named and not models:
        raise InputError(
            f"{_CONFIG}: {named} is not a file that the run of {stage} reads or writes: correct "
            "its model"
        )
    return models


def _metrics_problem(metrics: list[str]) -> str | None:
    """Return which existing metrics file cannot be read, and why, or None."""
    for path in metrics:
        try:
            if Path(path).exists():
                _read_mapping(Path(path))
        except InputError as error:
            return str(error)
    return None


def _find_run_config(stage: str, config: _Config) -> _Run:
    """Return the entry of a stage in mlflow.yaml: for its item, or for all items."""
    return config.runs.get(stage) or config.runs.get(stage.partition("@")[0]) or _Run()


def _fill_item(text: str | None, stage: str) -> str | None:
    return text and text.replace("{item}", stage.partition("@")[2])


def _name_runs(stages: list[str], config: _Config) -> dict[str, str]:
    """Name the run of each stage: by mlflow.yaml, its item, or the stage if items clash."""
    items = [name.partition("@")[2] or name for name in stages]
    names = {}
    for stage, item in zip(stages, items, strict=True):
        given = _fill_item(_find_run_config(stage, config).name, stage)
        names[stage] = given or (item if items.count(item) == 1 else stage)
    return names


def half_way_problem(roles: dict[str, Stage], written: dict[str, tuple[str, str]]) -> str | None:
    """Return which stage of a run read a file that another stage has changed since, or None.

    Args:
        roles: the stages of the run.
        written: all outs of dvc.lock, path -> md5 and the stage that wrote it.
    """
    for stage in roles.values():
        for path, md5 in stage.deps.items():
            now, writer = written.get(path, (md5, ""))
            if now != md5:
                return (
                    f"half-way: {writer} has written {path} since {stage.name} read it: run "
                    "`dvc repro`"
                )
    return None


def _list_kept_data() -> set[str]:
    """List the files and folders of `dvc add` and `dvc import`."""
    kept = set()
    for folder, folders, files in os.walk("."):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.endswith(".dvc"):
                for entry in read_entries(Path(folder, name), outside_deps=True).values():
                    kept |= {join_path(Path(folder), path) for path in entry.list_files("outs")}
    return kept


def _find_folder(path: str, md5s: Md5s) -> str:
    """Return the artifact folder of a displayed file: the folder that it is in."""
    is_folder = Path(path).is_dir() or md5s.get(path, "").endswith(".dir")
    folder = Path(path) if is_folder else Path(path).parent
    return "" if folder == Path() else folder.as_posix()


def _collect_params(stages: dict[str, Stage]) -> dict[str, str]:
    """Collect the params of all stages by path, with the file name if two files have one."""
    by_file: dict[str, dict[str, Any]] = {}
    for stage in stages.values():
        for file, sections in stage.params.items():
            by_file.setdefault(file, {}).update(flatten(sections, "."))
    params = {}
    every = [name for values in by_file.values() for name in values]
    for file, values in by_file.items():
        for name, value in values.items():
            shown = f"{file}:{name}" if every.count(name) > 1 else name
            params[_NOT_IN_NAMES.sub("_", shown)] = format_param(value)[:_LONGEST]
    return params


# What the files of a run contain


def _read_content(
    name: str,
    stages: dict[str, Stage],
    metrics: list[str],
    plots: dict[str, dict[str, Any]],
    models: dict[str, str],
    md5s: Md5s,
    made: datetime | None,
) -> Content:
    """Read the metrics and curves of a run."""
    now = made or datetime.now(UTC)
    by_file = {path: flatten(_number_items(_read_mapping(Path(path))), "/") for path in metrics}
    values = dict(_tell_apart(by_file))
    numbers = {key: value for key, value in values.items() if isinstance(value, int | float)}
    scores = {key: float(number) for key, number in numbers.items()}
    texts = {metric: "null" if value is None else value for metric, value in values.items()}
    labels = {f"metrics.{metric}": text for metric, text in texts.items() if isinstance(text, str)}
    for model, path in models.items():
        md5 = md5s.get(find_entry(path, md5s) or "", "")
        labels |= {f"dvc.{model}": path, f"dvc.{model}.md5": md5}
    curves = {path: dict(_read_curves(Path(path), axes)) for path, axes in plots.items()}
    points = []
    for curve, values_by_step in _tell_apart(curves, scores):
        points += [CurvePoint(curve, value, step, now) for step, value in values_by_step]
    drawn = {point.name for point in points}
    lines = [f"**{name}**: `{next(iter(stages.values())).cmd}`", "", "| score | |", "|---|---|"]
    lines += [f"| {metric} | {value:.4g} |" for metric, value in [*scores.items()][:_MOST_SHOWN]]
    lines += ["", f"Stages: {', '.join(stages)}."]
    kept = {metric: value for metric, value in scores.items() if metric not in drawn}
    return Content(now, now, points, kept, labels, "\n".join(lines))


def _tell_apart(
    by_file: dict[str, dict[str, Any]], scores: dict[str, float] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield values with names that MLflow allows, with the file's name or path if two clash.

    Args:
        by_file: values by path and name.
        scores: if given, values are curves; one that ends at another value than the score of the
            same name is another quantity, and also gets the file's name.
    """
    every = [name for values in by_file.values() for name in values]
    stems = [Path(path).stem for path in by_file]
    for path, values in by_file.items():
        file = Path(path).with_suffix("")
        where = file.name if stems.count(file.name) == 1 else file.as_posix()
        for name, value in values.items():
            is_other = scores is not None and scores.get(name, value[-1][1]) != value[-1][1]
            unique = f"{where}/{name}" if every.count(name) > 1 or is_other else name
            yield _NOT_IN_NAMES.sub("_", unique), value


def _read_mapping(path: Path) -> dict[str, Any]:
    """Read metrics or `vars` in JSON, YAML or TOML; a single number is named after the file.

    Raises:
        InputError: if the file cannot be parsed.
    """
    text = read_file(path).decode("utf-8", errors="replace")
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text)
        is_yaml = path.suffix in (".yaml", ".yml")
        content = parse_yaml(text) if is_yaml else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): correct the stage that writes it"
        ) from None
    return content if isinstance(content, dict) else {path.stem: content}


def _number_items(value: Any) -> Any:
    """Replace lists, also nested ones, by dictionaries with the numbers of their items as keys.

    Longer lists than `_MOST_ITEMS` are data rather than scores, and are left out.
    """
    if isinstance(value, list):
        few = value if len(value) <= _MOST_ITEMS else []
        value = {str(number): item for number, item in enumerate(few)}
    if isinstance(value, dict):
        return {name: _number_items(item) for name, item in value.items()}
    return value


def _read_curves(path: Path, axes: dict[str, Any]) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """Yield the curves of a table, or of all tables in a folder: name, and values by step.

    A table in which x does not count steps has none, for example classes or false positive rates.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*.*")):
            inside = file.relative_to(path).with_suffix("").as_posix()
            curves = dict(_read_curves(file, axes)) if file.is_file() else {}
            for name, curve in curves.items():  # DVCLive writes one curve per file
                yield (inside if len(curves) == 1 else f"{inside}/{name}"), curve
        return
    rows = _read_rows(path)
    columns = [*rows[0]] if rows else []
    x = axes.get("x") or next((name for name in _STEPS if name in columns), None)
    steps = [_to_number(row.get(x)) for row in rows] if x in columns else []
    counts = [int(step) for step in steps if step is not None and step >= 0 and step % 1 == 0]
    is_one_rate = len(counts) == 1 and x not in _STEPS
    if not counts or len(counts) < len(rows) or is_one_rate:
        return
    if any(step >= following for step, following in pairwise(counts)):
        return
    y = axes.get("y") or [name for name in columns if name != x]
    for name in [y] if isinstance(y, str) else y:
        values = [(step, _to_number(row.get(name))) for step, row in zip(counts, rows, strict=True)]
        curve = [(step, value) for step, value in values if value is not None]
        if curve:
            yield name, curve


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a table in CSV, TSV, or as a list of mappings in JSON or YAML."""
    if path.suffix in _DELIMITERS:
        text = read_file(path).decode("utf-8-sig", errors="replace")
        return [*csv.DictReader(io.StringIO(text), delimiter=_DELIMITERS[path.suffix])]
    if path.suffix not in (".json", ".yaml", ".yml"):
        return []
    content = _read_mapping(path)
    lists = [of for of in content.values() if isinstance(of, list)]
    rows = lists[0] if len(lists) == 1 else [*content.values()]
    return rows if all(isinstance(row, dict) for row in rows) else []


def _to_number(value: Any) -> float | None:
    """Convert to a number, None if that is not possible."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
