"""What training records update by update: curves.csv of a trained model."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from stages.shared.tables import read_table, write_table


@dataclass
class Curves:
    """One value a row in each column; None where a column was not recorded."""

    iteration: list[int] = field(default_factory=list)  # from 1
    loss: list[float] = field(default_factory=list)  # of that one update
    mean_loss: list[float | None] = field(default_factory=list)  # since the mean before
    gradient_norm: list[float | None] = field(default_factory=list)  # total, before clipping


COLUMNS = tuple(column.name for column in fields(Curves))


def write_curves(path: Path, curves: Curves) -> None:
    """Write one row an iteration that was recorded."""
    columns = [getattr(curves, name) for name in COLUMNS]
    write_table(path, COLUMNS, zip(*columns, strict=True))


def read_curves(path: Path) -> Curves:
    """Read what `write_curves` wrote."""
    curves = Curves()
    for row in read_table(path):
        curves.iteration.append(int(row["iteration"]))
        curves.loss.append(float(row["loss"]))
        curves.mean_loss.append(_parse(row["mean_loss"]))
        curves.gradient_norm.append(_parse(row["gradient_norm"]))
    return curves


def _parse(cell: str) -> float | None:
    return float(cell) if cell else None
