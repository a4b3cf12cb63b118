"""The files that a search writes: trials.csv, curves.csv and best.yaml.

Imports neither torch nor NumPy.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.shared.params import check_params
from stages.shared.tables import Rows, read_table
from stages.shared.yaml_files import format_yaml, read_yaml

OUTS = Path("data/searched")
LABELS = ("recipe", "seed")  # first columns of trials.csv, before the params
FAILURE = "failure"  # its last column
SCORE = "validation/"  # prefix of the columns of scores


@dataclass(frozen=True)
class Best:
    """The best recipe."""

    section: str  # of params.yaml, that has the base
    base: str  # its entry there
    data: str  # official, sample, custom, or the series
    recipe: int  # its number; 0: the base as it is
    changes: dict[str, Any]  # dotted path in the entry -> value that was drawn
    entry: dict[str, Any]  # all of it, as params.yaml would have it, but the seed
    score: str
    value: float  # mean over the seeds, on validation
    value_of_base: float | None  # None: it failed


def is_error(score: str) -> bool:
    """Whether a smaller score is better."""
    return score == "nll" or any(error in score for error in ("mse", "mase"))


def read_trials(folder: Path) -> Rows:
    """Read trials.csv."""
    return read_table(folder / "trials.csv")


def read_losses(folder: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Read curves.csv: recipe and seed -> iterations and losses."""
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
        InputError: it is damaged.
    """
    path = folder / "best.yaml"
    return check_params(read_yaml(path), Best, str(path))
