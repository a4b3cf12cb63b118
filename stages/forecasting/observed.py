"""Series from files: a column of a CSV file, oldest sample first."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stages.shared.errors import InputError
from stages.shared.params import Count, DataPath, Params

_Array = NDArray[np.float64]

_LARGEST = 1e30  # a sample beyond it could not be squared
_UNEVEN = 1.5  # times the usual step: months differ less, a missing sample doubles it


class ObservedParams(Params):
    """One entry of section `observed_series`."""

    path: DataPath  # of the file, which DVC watches
    column: str  # of the samples
    time: str | None = None  # column of their times: numbers, or dates as in 2008-12-31
    test_share: float = Field(gt=0, lt=0.5)  # last part, never trained on; validation is the same
    # share before it
    window: Count  # samples that a forecaster sees, in training and when it is scored
    horizons: list[Count] = Field(min_length=1)  # steps of the closed-loop forecasts
    season: Count  # samples after which a forecast may repeat it; 1: it has no season

    @model_validator(mode="after")
    def _check_season(self) -> "ObservedParams":
        if self.season > self.window:
            raise ValueError(f"window ({self.window}) must reach a season ({self.season})")
        return self


def read_samples(path: Path, column: str, time: str | None) -> tuple[_Array, _Array]:
    """Read samples and their times, `(T,)` each; without a column of times they are counted.

    Raises:
        InputError: no such file or column, a cell that is no number, or times that are not in
            order or not evenly apart; with the line, on which the header is 1.
    """
    where = f"{path}, column {column}"
    remedy = "is no number: correct or fill it in"
    samples = _parse_cells(_read_column(path, column), float, where, remedy)
    if time is None:
        return samples, np.arange(len(samples), dtype=np.float64)
    where = f"{path}, column {time}"
    remedy = "is no time: give a number, or a date such as 2008-12-31"
    times = _parse_cells(_read_column(path, time), _parse_time, where, remedy)
    _check_spacing(times, where)
    return samples, times


def _read_column(path: Path, column: str) -> list[str]:
    """Read the cells of one column.

    Raises:
        InputError: no such file or column, or nothing below the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # Excel writes a byte order mark
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}): give a CSV file in UTF-8") from None
    while rows and not any(rows[-1]):
        rows.pop()
    if len(rows) < 2:
        raise InputError(f"{path} has no rows: give a CSV file with a header and samples below it")
    header = rows[0]
    if column not in header:
        known = ", ".join(header)
        raise InputError(f"{path} has no column {column} ({known}): name one that it has")
    index = header.index(column)
    return [row[index] if index < len(row) else "" for row in rows[1:]]


def _parse_cells(
    cells: list[str], parse: Callable[[str], float], where: str, remedy: str
) -> _Array:
    """The numbers that cells hold, from line 2 on.

    Args:
        cells: of one column.
        parse: gives the number of a cell, or ValueError.
        where: file and column, for the error message.
        remedy: end of the error message.

    Raises:
        InputError: a cell is empty, no number, or too large.
    """
    numbers = []
    for line, cell in enumerate(cells, start=2):
        try:
            number = parse(cell)
        except ValueError:
            number = np.nan
        if not abs(number) <= _LARGEST:
            raise InputError(f"{where}, line {line}: {cell!r} {remedy}")
        numbers.append(number)
    return np.array(numbers)


def _parse_time(cell: str) -> float:
    """A number as it is, a date in days.

    Raises:
        ValueError: it is neither.
    """
    try:
        return float(cell)
    except ValueError:
        moment = datetime.fromisoformat(cell)
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() / 86_400  # seconds of a day


def _check_spacing(times: _Array, where: str) -> None:
    """Reject times that are not in order, or not evenly apart.

    Raises:
        InputError: they are not.
    """
    steps = np.diff(times)
    backwards = np.flatnonzero(steps <= 0)
    if len(backwards):
        raise InputError(
            f"{where}, line {backwards[0] + 3}: this time is not after that of the line before: "
            "sort the rows, the oldest first, and keep one of each time"
        )
    usual = find_spacing(times)
    uneven = np.flatnonzero((steps > usual * _UNEVEN) | (steps < usual / _UNEVEN))
    if len(uneven):
        raise InputError(
            f"{where}, line {uneven[0] + 3}: {steps[uneven[0]]:g} after the line before, where "
            f"{usual:g} is usual: fill in what is missing, or remove what is too much"
        )


def find_spacing(times: _Array) -> float:
    """The usual time between two samples."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0
