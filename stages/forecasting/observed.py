"""Series from files: a column of a CSV file, oldest sample first."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from stages.forecasting.transform import TransformParams
from stages.shared.errors import InputError
from stages.shared.params import Count, DataPath, Params

_Array = NDArray[np.float64]

_LARGEST = 1e30  # a larger sample could not be squared
_UNEVEN = 1.5  # times the usual step: months differ less, a missing sample doubles it


class ObservedParams(Params):
    """One entry of section `observed_series`."""

    path: DataPath  # of the file, which DVC watches
    column: str  # of the samples
    time: str | None = None  # column of their times: numbers, or dates as in 2008-12-31
    test_share: float = Field(gt=0, lt=0.5)  # the last part; validation is the same share before it
    window: Count  # samples that a forecaster sees, in training and when it is scored
    horizons: list[Count] = Field(min_length=1)  # steps of the closed-loop forecasts
    season: Count  # samples after which a forecast may repeat it; 1: it has no season
    transform: TransformParams | None = None  # auto (None), none, log, or {log, difference}
    floor: float | None = None  # below which no forecast goes: 0 for counts

    @field_validator("transform", mode="before")
    @classmethod
    def _name_transforms(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        named: dict[str, Any] = {"auto": None, "none": {}, "log": {"log": True}}
        if given not in named:
            raise ValueError("must be auto, none, log, or a mapping such as {difference: [1, 12]}")
        return named[given]

    @model_validator(mode="after")
    def _check_season(self) -> "ObservedParams":
        if self.season > self.window:
            raise ValueError(f"window ({self.window}) must reach a season ({self.season})")
        return self


def read_samples(path: Path, column: str, time: str | None) -> tuple[_Array, _Array]:
    """Read samples and their times, `(T,)` each; without a column of times they are counted.

    Raises:
        InputError: the file or a column is missing, a cell is not a number, or times are not in
            order or not evenly spaced; with the line, where the header is line 1.
    """
    where = f"{path}, column {column}"
    remedy = "is no number: correct or fill it in"
    samples = _parse_cells(_read_column(path, column), float, where, remedy)
    if time is None:
        return samples, np.arange(len(samples), dtype=np.float64)
    where = f"{path}, column {time}"
    remedy = "is no time: give a number, or a date such as 2008-12-31"
    times = _parse_cells(_read_column(path, time), _parse_time, where, remedy)
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
            f"{where}, line {uneven[0] + 3}: this time is {steps[uneven[0]]:g} later than that of "
            f"the line before; usually it is {usual:g}: fill in the rows that are missing, or "
            "remove those that are too many"
        )
    return samples, times


def _read_column(path: Path, column: str) -> list[str]:
    """Read the cells of one column, without the header."""
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
    """The numbers in the cells of one column, by a parser that raises ValueError."""
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
    """A number as it is, a date in days since 1970."""
    try:
        return float(cell)
    except ValueError:
        moment = datetime.fromisoformat(cell)
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() / 86_400  # seconds of a day


def find_spacing(times: _Array) -> float:
    """The usual time between two samples."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0
