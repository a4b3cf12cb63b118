"""What data/ holds for one run: plain values, nothing of MLflow."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from stages.searching.outcome import SCORE, read_best
from stages.shared.bundle import ModelConfig, Times, read_config, read_times
from stages.shared.curves import COLUMNS, Curves, read_curves
from stages.shared.json_files import read_json
from stages.shared.tables import read_table
from stages.tracking.checksums import find_departure, find_entry, find_missing
from stages.tracking.description import (
    describe_baseline,
    describe_model,
    describe_search,
    describe_tour,
)
from stages.tracking.metrics import (
    list_labels,
    list_metrics,
    read_baselines,
    read_scores,
    shorten,
)
from stages.tracking.packing import list_artifacts
from stages.tracking.subjects import (
    TOUR,
    Baseline,
    Model,
    Search,
    Subject,
    is_of_baselines,
)


class Point(NamedTuple):
    """One value of a curve."""

    name: str
    value: float
    step: int
    time: datetime


@dataclass(frozen=True)
class Content:
    """What the files say.

    Args:
        started: when the maker began.
        ended: when it ended.
        curves: of metrics by step.
        scores: metrics without steps.
        labels: tags.
        note: Markdown.
        config: of the model that the run holds, if it holds one.
    """

    started: datetime
    ended: datetime
    curves: list[Point]
    scores: dict[str, float]
    labels: dict[str, str]
    note: str
    config: ModelConfig | None = None


def find_obstacle(subject: Subject) -> str | None:
    """Say why there can be no run: no scores yet, or the files are not those of dvc.lock."""
    if isinstance(subject, Model) and not subject.evaluate:
        return "it has no scores in dvc.lock: run `dvc repro`"
    beside = [path for path in subject.md5s if is_of_baselines(path)]
    needed = [*subject.outs, *beside]
    obstacle = find_missing(needed) or find_departure(needed, subject.md5s)
    if obstacle or not isinstance(subject, Model):
        return obstacle
    return find_unloadable(subject)


def find_change(subject: Subject) -> str | None:
    """Say which file of a run departs from dvc.lock, or nothing."""
    return find_departure(subject.outs, subject.md5s)


def find_unloadable(model: Model) -> str | None:
    """Say which of the files that a model is loaded from is not as dvc.lock has it, or nothing."""
    config = f"data/trained/{model.name}/config.json"
    obstacle = find_missing([config]) or find_departure([config], model.md5s)
    if obstacle:
        return obstacle
    paths = list_artifacts(model.name, read_config(Path(config).parent)).values()
    for path in paths:
        if not find_entry(path, model.md5s):  # code, whose list is missing here, or another one
            return f"{path} may differ from dvc.lock: run `make pull` or `dvc repro`"
    return find_missing(paths) or find_departure(paths, model.md5s)


def read_content(subject: Subject) -> Content:
    """Read the files of what has no obstacle."""
    if isinstance(subject, Model):
        return read_model(subject)
    if isinstance(subject, Baseline):
        return read_baseline(subject)
    if isinstance(subject, Search):
        return read_search(subject)
    return read_tour(subject)


def read_model(model: Model) -> Content:
    """Read what training and evaluation wrote."""
    folder = Path("data/trained", model.name)
    config, times, scores = read_config(folder), read_times(folder), read_scores(model)
    baselines = read_baselines(model.experiment, scores["data"])
    return Content(
        times.started,
        times.ended,
        list_points(read_curves(folder / "curves.csv"), times),
        shorten(list_metrics(scores)),
        {"processor": times.processor} | list_labels(scores),
        describe_model(model, config.architecture, scores, baselines),
        config,
    )


def read_baseline(baseline: Baseline) -> Content:
    """Read what the stage of the baselines wrote, which holds no clock."""
    now = datetime.now(UTC)
    baselines = read_json(Path(baseline.results[0]))
    data = baselines.pop("data")
    scores = {"data": data} | baselines[baseline.method]
    note = describe_baseline(baseline, data, scores)
    return Content(now, now, [], shorten(list_metrics(scores)), list_labels(scores), note)


def list_points(curves: Curves, times: Times) -> list[Point]:
    """List what training recorded; times are spread evenly over it."""
    points = []
    for row, iteration in enumerate(curves.iteration):
        share = iteration / curves.iteration[-1]
        time = times.started + share * (times.ended - times.started)
        for name in COLUMNS:
            value = getattr(curves, name)[row]
            if name != "iteration" and value is not None:
                points.append(Point(name, value, iteration, time))
    return points


def read_search(search: Search) -> Content:
    """Read what a search found, which holds no clock; its trials have runs of their own."""
    now = datetime.now(UTC)
    best = read_best(search.folder)
    scores = shorten({f"best/{SCORE}{best.score}": best.value})
    return Content(now, now, [], scores, {"data": best.data}, describe_search(search, best))


def read_tour(tour: Subject) -> Content:
    """Read the tables of the tour. They hold no clock: its time is that of tracking."""
    now = datetime.now(UTC)
    norms = read_table(Path(TOUR, "gradients.csv"))
    points = []
    for norm in norms:
        # what MLflow does not take in a name
        name = re.sub(r"[^\w./-]", "_", f"{norm['case']}/{norm['layer']}")
        points.append(Point(name, float(norm["spectral_norm"]), int(norm["distance"]), now))
    claims = read_table(Path(TOUR, "equivalences.csv"))
    difference = max(float(claim["largest_difference"]) for claim in claims)
    note = describe_tour(tour, norms, difference)
    return Content(now, now, points, {"largest_difference": difference}, {}, note)
