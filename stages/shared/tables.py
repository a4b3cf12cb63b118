"""CSV files: tables, and the curves of training.

They are small, so the csv module reads them: to import pandas takes 0.35 s.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from stages.shared.files import read_file

Rows = list[dict[str, str]]  # one dictionary per row: column -> cell


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a header and rows; None becomes an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)


def read_table(path: Path) -> Rows:
    """Read the rows of a CSV file."""
    text = read_file(path).decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@dataclass
class Curves:
    """Columns of curves.csv, with None for values that were not measured."""

    iteration: list[int] = field(default_factory=list)  # from 1
    loss: list[float] = field(default_factory=list)  # of one update
    mean_loss: list[float | None] = field(default_factory=list)  # since the last mean
    gradient_norm: list[float | None] = field(default_factory=list)  # total, before clipping
    validation_loss: list[float | None] = field(default_factory=list)  # after the update


CURVE_COLUMNS = tuple(column.name for column in fields(Curves))


def write_curves(path: Path, curves: Curves) -> None:
    """Write one row per recorded iteration, with validation_loss if any was measured."""
    names = [name for name in CURVE_COLUMNS if name != "validation_loss"]
    if any(loss is not None for loss in curves.validation_loss):
        names.append("validation_loss")
    columns = [getattr(curves, name) for name in names]
    write_table(path, names, zip(*columns, strict=True))


def read_curves(path: Path) -> Curves:
    """Read curves.csv."""
    curves = Curves()
    for row in read_table(path):
        curves.iteration.append(int(row["iteration"]))
        curves.loss.append(float(row["loss"]))
        for name in ("mean_loss", "gradient_norm", "validation_loss"):
            cell = row.get(name)
            getattr(curves, name).append(float(cell) if cell else None)
    return curves
