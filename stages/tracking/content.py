"""What data/ holds of one model: plain values, nothing of MLflow."""

from dataclasses import dataclass
from pathlib import Path

from stages.shared.bundle import ModelConfig, Times, read_config, read_times
from stages.shared.curves import Curves, read_curves
from stages.tracking.checksums import find_first_disagreement
from stages.tracking.lockfile import Model
from stages.tracking.metrics import Metrics, read_metrics
from stages.tracking.packing import list_artifacts


@dataclass(frozen=True)
class Content:
    """What the files of one model say."""

    config: ModelConfig
    times: Times
    curves: Curves
    metrics: Metrics


def find_obstacle(model: Model) -> str | None:
    """Say why a model cannot be tracked: not scored, or its files are not those of dvc.lock."""
    if not model.evaluate:
        return "it has no scores in dvc.lock: run `dvc repro`"
    obstacle = find_first_disagreement(model.outs, model.md5s)
    if obstacle:
        return obstacle
    artifacts = list_artifacts(model.name, read_config(Path("data/trained", model.name)))
    return find_first_disagreement(artifacts.values(), model.md5s)


def read_content(name: str) -> Content:
    """Read the files of a model that has no obstacle."""
    folder = Path("data/trained", name)
    return Content(
        read_config(folder),
        read_times(folder),
        read_curves(folder / "curves.csv"),
        read_metrics(name),
    )
