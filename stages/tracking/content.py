"""What a run shows of a model, read from its files in data/: plain values, nothing of MLflow."""

import ast
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from stages.tracking.lockfile import Model, find_first_disagreement

CURVES = ("loss", "mean_loss", "gradient_norm")  # columns of curves.csv
BASELINES = ("hold_last", "copy_period", "ar2", "ar_best", "majority")  # prefixes in metrics.json


@dataclass(frozen=True)
class Point:
    """One value of a curve."""

    name: str
    value: float
    iteration: int
    time: int  # milliseconds since 1970


@dataclass(frozen=True)
class Content:
    """What the files of one model say."""

    task: str
    started: int  # of training, milliseconds since 1970
    ended: int
    scores: dict[str, float]
    labels: dict[str, str]  # which data, which series
    curves: list[Point]
    artifacts: dict[str, str]  # what the served model needs: name -> path
    description: str  # Markdown


def find_obstacle(model: Model) -> str | None:
    """Say why a model cannot be tracked: not scored, or its files are not those of dvc.lock."""
    if not model.evaluate:
        return "it has no scores in dvc.lock: run `dvc repro`"
    paths = [path for stage in model.stages.values() for path in stage.outs]
    if obstacle := find_first_disagreement(paths, model.md5s):
        return obstacle
    sizes = read_json(f"data/trained/{model.name}/sizes.json")
    return find_first_disagreement(list_artifacts(model.name, sizes).values(), model.md5s)


def read_content(model: Model) -> Content:
    """Read the files of a model that has no obstacle."""
    trained = Path("data/trained", model.name)
    sizes = read_json(trained / "sizes.json")
    times = read_json(trained / "times.json")
    started, ended = (
        int(datetime.fromisoformat(times[event]).timestamp() * 1000)
        for event in ("started", "ended")
    )
    metrics = read_json(Path("data/evaluated", model.name, "metrics.json"))
    scores = {name: value for name, value in metrics.items() if not isinstance(value, str)}
    labels = {name: value for name, value in metrics.items() if isinstance(value, str)}
    return Content(
        sizes["task"],
        started,
        ended,
        scores,
        labels,
        list(read_curves(trained / "curves.csv", started, ended)),
        list_artifacts(model.name, sizes),
        describe(model, sizes["architecture"], scores, labels),
    )


def read_curves(path: Path, started: int, ended: int) -> Iterator[Point]:
    """Read the curves; their times are spread evenly over the training."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        iteration = int(row["iteration"])
        time = started + (ended - started) * iteration // int(rows[-1]["iteration"])
        for name in CURVES:
            if row[name]:
                yield Point(name, float(row[name]), iteration, time)


def list_artifacts(name: str, sizes: dict[str, Any]) -> dict[str, str]:
    """Name the files that the served model of stages/tracking/served/ is loaded from."""
    folder = f"data/trained/{name}"
    artifacts = {"weights": f"{folder}/weights.pt", "sizes": f"{folder}/sizes.json"}
    artifacts |= {a: f"stages/models/{a}.py" for a in _list_architectures(sizes)}
    if sizes["task"] == "surnames":
        artifacts["vocabulary"] = "data/preprocessed/surnames/vocabulary.json"
        artifacts["alphabet"] = "stages/surnames/alphabet.py"
        artifacts["scores"] = f"data/evaluated/{name}/metrics.json"  # has the temperature
    return artifacts


def describe(
    model: Model, architecture: str, scores: dict[str, float], labels: dict[str, str]
) -> str:
    """Say in Markdown what system it is, on which data, and how it compares with baselines."""
    source = Path(f"stages/models/{architecture}.py").read_text(encoding="utf-8")
    system = (ast.get_docstring(ast.parse(source)) or architecture).split("\n\n")[0]
    lines = [
        f"**{model.name}** ({architecture}): {system}",
        "",
        *(f"- {name}: {value}" for name, value in sorted(labels.items())),
        "",
        *tabulate_baselines(scores),
    ]
    return "\n".join(lines)


def name_metric(score: str) -> str:
    """Give baselines a section of their own, behind the scores, among the charts of MLflow."""
    is_baseline = score.startswith(tuple(f"{baseline}_" for baseline in BASELINES))
    return f"reference/{score}" if is_baseline else score


def tabulate_baselines(scores: dict[str, float]) -> list[str]:
    """Rows of a Markdown table: each score that a baseline has too."""
    baselines = [b for b in BASELINES if any(name.startswith(f"{b}_") for name in scores)]
    rows = [
        [name, *(scores.get(f"{b}_{name}") for b in baselines)]
        for name in scores
        if any(f"{b}_{name}" in scores for b in baselines)
    ]
    return [
        f"| score | model | {' | '.join(baselines)} |",
        f"|---|---|{'---|' * len(baselines)}",
        *(
            f"| {name} | {scores[name]:.4g} | {' | '.join(_say_score(v) for v in values)} |"
            for name, *values in rows
        ),
    ]


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _say_score(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _list_architectures(sizes: dict[str, Any]) -> Iterator[str]:
    yield sizes["architecture"]
    for member in sizes["network"].get("members", []):
        yield from _list_architectures(member)
