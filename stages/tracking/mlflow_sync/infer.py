"""The runs of stages that no description covers, by dvc.yaml and dvc.lock alone.

A run is a stage that writes metrics which no later stage with metrics reads, with all stages that
it came from and those that only draw it. Params are those of all these stages, scores the metrics,
curves the tables under `plots:` whose x counts steps, figures the other plots, and data the files
that `dvc add` or `dvc import` keeps. `mlflow.yaml`, if there is one, gives other names.
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
    read_entries,
    read_locked,
)
from stages.tracking.mlflow_sync.runs import Content, CurvePoint, RunSpec, flatten

_CONFIG = "mlflow.yaml"

_STEPS = ("step", "epoch", "iteration")  # columns that count, where dvc.yaml names no x
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_NOT_IN_NAMES = re.compile(r"[^\w./ :-]")  # what MLflow does not take in a name
_LONGEST = 6_000  # characters of a param in MLflow
_MOST_SHOWN = 40  # scores in the table of a note


class _Run(BaseModel):
    """What mlflow.yaml says of the runs of a stage; `{item}` is that of a foreach or a matrix."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    experiment: str | None = None
    kind: str | None = None  # a tag
    model: str | None = None  # path of a file or folder, which the run names with its md5


class _Artifact(BaseModel):
    path: str
    type: str | None = None


class _TopLevel(BaseModel):
    """What a dvc.yaml has beside its stages, as far as it is used here."""

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
    """All stages that dvc.lock has, and what dvc.yaml says of their outs; paths from here on."""

    stages: dict[str, Stage] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    plots: dict[str, dict[str, Any]] = field(default_factory=dict)  # path -> x, y
    models: dict[str, str] = field(default_factory=dict)  # artifacts of type model: name -> path
    missing: list[str] = field(default_factory=list)  # stages of dvc.yaml that have not run

    def list_written(self) -> dict[str, tuple[str, str]]:
        """All outs: path -> md5 and the stage that wrote it."""
        return {
            path: (md5, stage.name)
            for stage in self.stages.values()
            for path, md5 in stage.outs.items()
        }

    def find_ancestors(self) -> dict[str, set[str]]:
        """By each stage those from which it reads, those from which these read, and so on."""
        writers = {path: name for path, (_, name) in self.list_written().items()}
        parents: dict[str, set[str]] = {}
        for stage in self.stages.values():
            outs = {find_entry(path, writers) for path in stage.deps}
            for path in stage.deps:  # a folder with outs in it
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
        known: what has been read of dvc.lock already, by the names of stages.

    Raises:
        InputError: one is missing or damaged, or a stage writes outside of the repository.
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
    """Add the stages of a dvc.yaml that its dvc.lock has, with their metrics and plots."""
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
    """Add the metrics, plots and models that a dvc.yaml names beside its stages."""
    written = found.list_written()
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
    """What the templates of a dvc.yaml name: params.yaml, and its `vars`."""
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
    """The outs that a template names, in which `*` is any text."""
    pattern = re.compile(".*".join(map(re.escape, template.split("*"))))
    return [path for path in outs if pattern.fullmatch(path)]


def _list_plots(entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of a plot at the top level, each with its x and y.

    `y` may name files with their columns, and `x` likewise.
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
    """The runs of the stages with metrics that no later one with metrics reads.

    Args:
        pipeline: of `read_pipeline`.
        described: stages whose runs are described elsewhere.
        pull: command that gets missing files, for messages.
        tag_prefix: of the tags kind, model and stage, which people may use for something else.
        made: time of the runs; None: when they are written, since DVC's files have no time.

    Raises:
        InputError: mlflow.yaml is damaged.
    """
    written = pipeline.list_written()
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
        chain = [name for name in pipeline.stages if name in ancestors[final]]
        drawers = [
            name
            for name in pipeline.stages
            if final in ancestors[name] and not ancestors[name] & ({*finals} - {final})
        ]
        stages = {name: pipeline.stages[name] for name in (final, *reversed(chain), *drawers)}
        metrics = [path for path in pipeline.metrics if writers[path] in stages]
        # the run is found by the result of its last stage
        metrics.sort(key=lambda path: writers[path] == final)
        plots = {path: axes for path, axes in pipeline.plots.items() if writers.get(path) in stages}
        own = _find_run_config(final, config)
        md5s: Md5s = {}
        for stage in stages.values():
            md5s |= stage.deps | stage.outs
        named = _fill_item(own.model, final)
        models = {"model": named} if named else pipeline.models
        models = {name: path for name, path in models.items() if find_entry(path, md5s)}
        if named and not models:
            raise InputError(
                f"{_CONFIG}: {named} is no file that the run of {final} reads or writes: correct "
                "its model"
            )
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
            )
        )
    return specs


def _read_config() -> _Config:
    """Read mlflow.yaml, if it is there.

    Raises:
        InputError: it has other fields.
    """
    if not Path(_CONFIG).exists():
        return _Config()
    try:
        return _Config.model_validate(read_yaml(_CONFIG))
    except ValidationError as error:
        raise InputError(f"{_CONFIG}: {describe_problem(error)}: correct it") from None


def _check_config(config: _Config, names: dict[str, str]) -> None:
    """Reject entries of mlflow.yaml that would do nothing, or leave runs with odd names.

    Args:
        config: that file.
        names: of the runs, by stage.

    Raises:
        InputError: an entry is of no stage that has a run, a name has other braces than `{item}`,
            or two runs would have one name.
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


def _metrics_problem(metrics: list[str]) -> str | None:
    """Which file of metrics that is here cannot be read, or None."""
    for path in metrics:
        try:
            if Path(path).exists():
                _read_mapping(Path(path))
        except InputError as error:
            return str(error)
    return None


def _find_run_config(stage: str, config: _Config) -> _Run:
    """What mlflow.yaml says of the run of a stage: for its item, or for all items."""
    return config.runs.get(stage) or config.runs.get(stage.partition("@")[0]) or _Run()


def _fill_item(text: str | None, stage: str) -> str | None:
    return text and text.replace("{item}", stage.partition("@")[2])


def _name_runs(stages: list[str], config: _Config) -> dict[str, str]:
    """A name per stage: that of mlflow.yaml, its item or, where two items are alike, the stage."""
    items = [name.partition("@")[2] or name for name in stages]
    names = {}
    for stage, item in zip(stages, items, strict=True):
        given = _fill_item(_find_run_config(stage, config).name, stage)
        names[stage] = given or (item if items.count(item) == 1 else stage)
    return names


def half_way_problem(roles: dict[str, Stage], written: dict[str, tuple[str, str]]) -> str | None:
    """Which stage read a file that another stage has written anew since, or None.

    Args:
        roles: the stages of a run.
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
    """The files and folders that `dvc add` and `dvc import` keep."""
    kept = set()
    for folder, folders, files in os.walk("."):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.endswith(".dvc"):
                for entry in read_entries(Path(folder, name), outside_deps=True).values():
                    kept |= {join_path(Path(folder), path) for path in entry.list_files("outs")}
    return kept


def _find_folder(path: str, md5s: Md5s) -> str:
    """Where a run shows a file: in a folder with the name that it has here."""
    is_folder = Path(path).is_dir() or md5s.get(path, "").endswith(".dir")
    folder = Path(path) if is_folder else Path(path).parent
    return "" if folder == Path() else folder.as_posix()


def _collect_params(stages: dict[str, Stage]) -> dict[str, str]:
    """The params of all stages by their path; one that two files have, by file too."""
    by_file: dict[str, dict[str, Any]] = {}
    for stage in stages.values():
        for file, sections in stage.params.items():
            by_file.setdefault(file, {}).update(flatten(sections, "."))
    params = {}
    every = [name for values in by_file.values() for name in values]
    for file, values in by_file.items():
        for name, value in values.items():
            shown = f"{file}:{name}" if every.count(name) > 1 else name
            text = value if isinstance(value, str) else json.dumps(value)
            params[_NOT_IN_NAMES.sub("_", shown)] = text[:_LONGEST]
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
    """Read metrics and curves."""
    now = made or datetime.now(UTC)
    by_file = {path: flatten(_read_mapping(Path(path)), "/") for path in metrics}
    values = dict(_tell_apart(by_file))
    scores = {of: float(value) for of, value in values.items() if isinstance(value, int | float)}
    labels = {f"metrics.{of}": value for of, value in values.items() if isinstance(value, str)}
    for of, path in models.items():
        labels |= {f"dvc.{of}": path, f"dvc.{of}.md5": md5s.get(find_entry(path, md5s) or "", "")}
    curves = {path: dict(_read_curves(Path(path), axes)) for path, axes in plots.items()}
    points = []
    for of, curve in _tell_apart(curves, scores):
        points += [CurvePoint(of, value, step, now) for step, value in curve]
    drawn = {point.name for point in points}
    lines = [f"**{name}**: `{next(iter(stages.values())).cmd}`", "", "| score | |", "|---|---|"]
    lines += [f"| {of} | {value:.4g} |" for of, value in [*scores.items()][:_MOST_SHOWN]]
    lines += ["", f"Stages: {', '.join(stages)}."]
    kept = {of: value for of, value in scores.items() if of not in drawn}
    return Content(now, now, points, kept, labels, "\n".join(lines))


def _tell_apart(
    by_file: dict[str, dict[str, Any]], scores: dict[str, float] | None = None
) -> Iterator[tuple[str, Any]]:
    """Values by names that MLflow takes: with the file's name or path where two are alike.

    Args:
        by_file: values by path and name.
        scores: a curve that ends at another value than the score of its name is another quantity.
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
    """A file of metrics or of `vars`: JSON, YAML or TOML; a lone number goes by the file's name.

    Raises:
        InputError: it is none of them.
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
    if isinstance(content, dict):
        return content
    if isinstance(content, list):
        return {f"{path.stem}.{number}": of for number, of in enumerate(content)}
    return {path.stem: content}


def _read_curves(path: Path, axes: dict[str, Any]) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """The curves of a table, or of all tables in a folder: name, and value by step.

    There are none where x does not count steps: classes, rates of false positives.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*.*")):
            inside = file.relative_to(path).with_suffix("").as_posix()
            curves = dict(_read_curves(file, axes)) if file.is_file() else {}
            for name, curve in curves.items():  # of DVCLive one curve per file, by its name
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
    """The rows of a table: CSV, TSV, or a list of mappings in JSON or YAML; of others none."""
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
    """A finite or infinite number; None for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
