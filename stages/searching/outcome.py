"""The files that a search writes: trials.csv, curves.csv and best.yaml."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.shared.params import check_params
from stages.shared.tables import Rows, read_table
from stages.shared.yaml_files import format_yaml, read_yaml

OUTS = Path("data/searched")
LABELS = ("recipe", "seed")  # first columns of trials.csv, before the params
FAILURE = "failure"  # last column of trials.csv
SCORE = "validation/"  # prefix of the columns with scores


@dataclass(frozen=True)
class Best:
    """The best recipe of a search."""

    section: str  # section of params.yaml with the base
    base: str  # entry of params.yaml that the recipes change
    data: str  # official, sample, custom, or the name of the series
    recipe: int  # number of the recipe; 0 is the unchanged base
    changes: dict[str, Any]  # dotted path in the entry -> drawn value
    entry: dict[str, Any]  # the whole entry for params.yaml, without the seed
    score: str
    value: float  # mean of the validation score over the seeds
    value_of_base: float | None  # the same of the base; None if its training failed


def is_error(score: str) -> bool:
    """Return whether smaller values of a score are better."""
    return score == "nll" or any(error in score for error in ("mse", "mase"))


def read_trials(folder: Path) -> Rows:
    """Read trials.csv."""
    return read_table(folder / "trials.csv")


def read_losses(folder: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Read curves.csv: (recipe, seed) -> [(iteration, loss), …]."""
    curves: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in read_table(folder / "curves.csv"):
        points = curves.setdefault((row["recipe"], row["seed"]), [])
        points.append((int(row["iteration"]), float(row["loss"])))
    return curves


def write_best(folder: Path, best: Best) -> None:
    """Write best.yaml."""
    (folder / "best.yaml").write_text(format_yaml(asdict(best)), encoding="utf-8")


def read_best(folder: Path) -> Best:
    """Read best.yaml.

    Raises:
        InputError: if it is damaged.
    """
    path = folder / "best.yaml"
    return check_params(read_yaml(path), Best, str(path))
