"""Series from CSV files.

The csv module counts lines and cells, pandas parses numbers and times.
"""

import csv
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from stages.forecasting.transform import TransformParams
from stages.shared.errors import InputError
from stages.shared.params import Count, DataPath, Params

if TYPE_CHECKING:
    import pandas as pd

_Array = NDArray[np.float64]
_Cells = list[str]

_LARGEST = 1e30  # a larger sample could not be squared
_YEARS = 1678, 2261  # of dates: pandas counts nanoseconds
_LAST_YEAR = 9999  # of a forecast
_UNEVEN = 1.5  # times the usual step: months differ less, a missing sample doubles it
_OUTLYING = 8  # robust standard deviations from the median
_MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "?"}  # in any case
_MOST_BYTES = 2**26  # of a CSV file: millions of samples
_MOST_MESSAGES = 5  # of a file with many series, and most names in a message
_SEPARATORS = (",", ";", "\t", "|")
_FORMATS = (  # of times, beside numbers, ISO 8601 and quarters
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m",
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%d %b %Y",
    "%d %B %Y",
)
_QUARTER = re.compile(r"\d{4}[ -]?Q[1-4]|Q[1-4][ /-]?\d{4}", re.IGNORECASE)
_OFFSET = re.compile(r"[T ]\d\d:\d\d.*(?:Z|[+-]\d\d:?\d\d)$")


class CellParams(Params):
    """Params for reading the cells of a CSV file."""

    separator: str | None = Field(default=None, min_length=1, max_length=1)  # null: found out
    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", " ", "'"] | None = None  # separator of groups of three digits
    encoding: str = "utf-8-sig"  # reads UTF-8 with and without a byte order mark
    skip_rows: int = Field(default=0, ge=0, le=1000)  # below the header: units
    time_format: str | None = None  # for strptime, such as "%d/%m/%Y"
    time_zone: str | None = None  # of times without an offset, such as Europe/Berlin
    # even: any steps of one length; business_days: Monday to Friday, holidays are left out;
    # rows: each row is a step, whatever its time
    calendar: Literal["even", "business_days", "rows"] = "even"
    missing: list[float | str] = Field(default=[])  # marks of missing samples, beside empty cells
    fill: Literal["previous", "linear", "season"] | None = None  # of samples missing in the middle


class CsvParams(CellParams):
    """Params for reading a column of a CSV file."""

    column: str  # of the samples
    time: str | None = None  # column of their times, evenly apart; null: rows are counted


class ObservedParams(CsvParams):
    """An entry of section `observed_series` with one series."""

    path: DataPath  # of the file, a dependency of DVC
    test_share: float = Field(gt=0, lt=0.5)  # the last part; validation is the same share before it
    window: Count  # input samples of a forecaster, in training and evaluation
    horizons: list[Count] = Field(min_length=1)  # steps of the closed-loop forecasts
    season: Count  # samples after which the series may repeat; 1: no season
    transform: TransformParams | None = None  # auto (None), none, log, or {log, difference}
    floor: float | None = None  # lower bound of forecasts: 0 for counts

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


class PanelParams(CellParams):
    """An entry of section `observed_series` with many series, in a long or a wide file.

    A long file has one row per series and time, as for statsforecast and neuralforecast; a wide
    file has one column per series.
    """

    path: DataPath  # of the file, a dependency of DVC
    id: str | None = None  # long: column with the names of the series
    column: str | None = None  # long: of the samples
    time: str | None = None  # column of times, evenly apart in each series; null: rows are counted
    columns: list[str] | Literal["all"] | None = None  # wide: one series each; all: all but time
    season: Count  # samples after which the series may repeat; 1: no season
    horizon: Count  # steps of a forecast; the last samples of each series are its test
    floor: float | None = None  # lower bound of forecasts: 0 for counts

    @model_validator(mode="after")
    def _check_format(self) -> "PanelParams":
        is_long = bool(self.id and self.column)
        if is_long == bool(self.columns) or (self.columns and (self.id or self.column)):
            raise ValueError("give id and column of a long file, or columns of a wide one")
        return self

    @property
    def shortest_scored(self) -> int:
        """Fewest samples of a series: validation, test, and a season with its change before."""
        return 2 * self.horizon + max(self.season + 2, 4)

    @property
    def id_column(self) -> str:
        """Name of the column of names in forecasts."""
        return self.id or "series"

    @property
    def sample_column(self) -> str:
        """Name of the column of forecasts."""
        return self.column or "forecast"


def has_many_series(entry: Any) -> bool:
    """Test if an entry of `observed_series` is for many series."""
    return isinstance(entry, dict) and not {"id", "columns"}.isdisjoint(entry)


def _choose_class(entry: Any) -> str:
    return "[many series]" if has_many_series(entry) else "[one series]"


OBSERVED: Any = Annotated[  # the schema of any entry of section `observed_series`
    Annotated[ObservedParams, Tag("[one series]")] | Annotated[PanelParams, Tag("[many series]")],
    Discriminator(_choose_class),
]


@dataclass(frozen=True)
class CsvSeries:
    """The samples and times of one series in a CSV file."""

    samples: _Array  # (T,)
    times: _Array  # (T,) numbers, days since 1970, or row numbers without a column of times
    dates: "pd.DatetimeIndex | None" = None  # the times, if they are dates
    date_format: str = ""  # of these dates
    messages: list[str] = field(default_factory=list)  # notes for the user

    @property
    def spacing(self) -> float:
        """Return the usual time between two samples."""
        return find_spacing(self.times)

    def find_days_ahead(self, num_steps: int) -> _Array:
        """Return the distances of the next times from the last one, in the units of `times`."""
        if self.dates is None:
            return self.spacing * np.arange(1.0, num_steps + 1)
        following = _continue_dates(self.dates, num_steps)
        seconds = [(date - self.dates[-1]).total_seconds() for date in following]
        return np.array(seconds) / 86_400  # seconds of a day

    def continue_times(self, num_steps: int) -> list[str]:
        """Return the times after the last one, with dates in the format of the file."""
        if self.dates is None:
            last, step = float(self.times[-1]), self.spacing
            return [f"{last + step * ahead:g}" for ahead in range(1, num_steps + 1)]
        following = _continue_dates(self.dates, num_steps)
        return [_format_date(date, self.date_format) for date in following]


def read_csv_series(path: Path, params: CsvParams, season: int = 1) -> CsvSeries:
    """Read the series of a file; `season` is for `fill: season`.

    Raises:
        InputError: if the file or a column is missing, a cell is not a number, or times are not in
            order or not evenly spaced. The message has the line; the header is line 1.
    """
    table = _read_table(path, params, [name for name in (params.column, params.time) if name])
    where = f"{path}, column {params.column}"
    samples = _parse_numbers(table.column(params.column), table.lines, params, where)
    samples, kept, messages = _fill(samples, table.lines, params, season, where)
    lines = table.lines[kept]
    if outlying := _find_outlying(samples, lines):
        messages.append(f"{where}: {outlying}")
    if params.time is None:
        _check_one_series(table, params, path)
        return CsvSeries(samples, np.arange(len(samples), dtype=np.float64), messages=messages)
    where = f"{path}, column {params.time}"
    times, dates, date_format = _parse_times(table.column(params.time)[kept], lines, params, where)
    _check_steps(times, dates, lines, params, where)
    return CsvSeries(samples, times, dates, date_format, messages)


def read_csv_panel(path: Path, params: PanelParams) -> tuple[dict[str, CsvSeries], list[str]]:
    """Read the series of a file by name, in the order of their first rows.

    Rows of a long file may be in any order; each series is sorted by time. Also returns messages
    about dropped and filled rows.

    Raises:
        InputError: as in `read_csv_series`, with the name of the series.
    """
    wanted = [name for name in (params.id, params.column, params.time) if name]
    if isinstance(params.columns, list):
        wanted += params.columns
    table = _read_table(path, params, wanted)
    times, dates, date_format = np.arange(len(table.rows), dtype=np.float64), None, ""
    lines = np.array(table.lines)
    if params.time:
        where = f"{path}, column {params.time}"
        times, dates, date_format = _parse_times(
            table.column(params.time), table.lines, params, where
        )
    rows_of: dict[str, NDArray[np.int64]] = {}
    samples_of: dict[str, _Array] = {}
    if params.id:
        where = f"{path}, column {params.column}"
        samples = _parse_numbers(table.column(params.column or ""), table.lines, params, where)
        names, firsts, numbers = np.unique(
            np.array(table.column(params.id)), return_index=True, return_inverse=True
        )
        order = np.lexsort((times, numbers))
        groups = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
        for number in np.argsort(firsts):
            rows_of[str(names[number])] = groups[number]
            samples_of[str(names[number])] = samples[groups[number]]
    else:
        columns = params.columns
        if not isinstance(columns, list):
            columns = [name for name in table.header if name and name != params.time]
        for name in columns:
            where = f"{path}, column {name}"
            samples_of[name] = _parse_numbers(table.column(name), table.lines, params, where)
            rows_of[name] = np.arange(len(lines))

    panel, messages = {}, []
    for name, rows in rows_of.items():
        where = f"{path}, series {name!r}"
        own_lines = lines[rows].tolist()
        filled, kept, filling = _fill(samples_of[name], own_lines, params, params.season, where)
        messages += filling
        own_times, own_dates = times[rows][kept], None if dates is None else dates[rows][kept]
        if params.time:
            _check_steps(own_times, own_dates, own_lines[kept], params, where)
        else:  # rows of each series are counted
            own_times = np.arange(len(filled), dtype=np.float64)
        panel[name] = CsvSeries(filled, own_times, own_dates, date_format)
    return panel, messages


def join_some(texts: list[str], separator: str) -> str:
    """Join the first texts, and add how many more there are."""
    more = len(texts) - _MOST_MESSAGES
    shown = texts[:_MOST_MESSAGES] + ([f"and {more} more"] if more > 0 else [])
    return separator.join(shown)


def check_csv_file(path: Path) -> None:
    """Raise InputError if a file is missing, no regular file, or too large."""
    if not path.exists():
        raise InputError(f"{path} cannot be read: there is no such file")
    if not path.is_file():
        raise InputError(f"{path} cannot be read: it is not a regular file")
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise InputError(
            f"{path} has {size:,} bytes, more than {_MOST_BYTES:,}: give the newest part of it"
        )


def find_spacing(times: _Array) -> float:
    """Return the usual time between two samples."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0


# Rows and cells


@dataclass(frozen=True)
class _Table:
    """The cells of a file, without blank lines."""

    header: _Cells
    rows: list[_Cells]
    lines: list[int]  # of the rows in the file

    def column(self, name: str) -> _Cells:
        """Return the cells of one column."""
        index = self.header.index(name)
        return [row[index] for row in self.rows]


def _read_table(path: Path, params: CellParams, wanted: list[str]) -> _Table:
    """Read header and rows; check that all columns exist, and that all cells have a column."""
    header, rows, lines = _split_lines(path, params.separator or ",", params.encoding)
    if not params.separator and (wanted[0] not in header if wanted else len(header) < 2):
        for separator in _SEPARATORS[1:]:  # German Excel writes ;
            other = _split_lines(path, separator, params.encoding)
            if wanted[0] in other[0] if wanted else len(other[0]) > len(header):
                header, rows, lines = other
    doubled = [name for name, count in Counter(header).items() if count > 1 and name]
    if doubled:
        raise InputError(
            f"{path} has more than one column {doubled[0]}: rename all but one in its header"
        )
    for name in wanted:
        if name not in header:
            raise InputError(
                f"{path} has no column {name} ({', '.join(header)}): name one that it has, or the "
                "separator of its cells"
            )
    rows, lines = rows[params.skip_rows :], lines[params.skip_rows :]
    if not rows:
        raise InputError(f"{path} has no rows: give a CSV file with a header and samples below it")
    for row, line in zip(rows, lines, strict=True):
        if len(row) > len(header):
            raise InputError(
                f"{path}, line {line}: {len(row)} cells under {len(header)} names: quote a cell "
                "that has a comma in it, or give another separator"
            )
        row += [""] * (len(header) - len(row))
    return _Table(header, rows, lines)


def _split_lines(
    path: Path, separator: str, encoding: str
) -> tuple[_Cells, list[_Cells], list[int]]:
    """Return header, rows and their line numbers, without blank lines."""
    check_csv_file(path)
    rows, lines = [], []
    try:
        with path.open(encoding=encoding, newline="") as file:
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    rows.append(cells)
                    lines.append(reader.line_num)
    except (OSError, UnicodeError, LookupError, csv.Error) as error:
        hint = "give a CSV file in UTF-8, or its encoding: such as utf-16 or cp1252"
        raise InputError(f"{path} cannot be read ({error}): {hint}") from None
    if not rows:
        raise InputError(f"{path} has no rows: give a CSV file with a header and samples below it")
    return rows[0], rows[1:], lines[1:]


def _check_one_series(table: _Table, params: CsvParams, path: Path) -> None:
    """Reject several series below each other, recognised by a column of times that restarts."""
    for name in table.header:
        if name == params.column:
            continue
        cells = table.column(name)
        try:
            times, dates, _ = _parse_times(cells, table.lines, params, "")
        except InputError:
            continue
        # numbers may be months of a year, if no other column distinguishes equal ones
        labels = [other for other in table.header if other not in (name, params.column)]
        is_labelled = any(
            len(set(zip(table.column(label), cells, strict=True))) == len(cells)
            and not any(cell.replace(".", "").isdecimal() for cell in table.column(label))
            for label in labels
        )
        if len(cells) >= 10 and _counts_up(times) and (dates is not None or is_labelled):
            again = int(np.flatnonzero(np.diff(times) <= 0)[0]) + 1
            raise InputError(
                f"{path}, line {table.lines[again]}: column {name} is not after that of the row "
                f"before ({cells[again]}): several series in one file? Name the column of their "
                "names in id: of the entry, or keep the rows of one, the oldest first"
            )


def _counts_up(times: _Array) -> bool:
    """Test if times look like several series below each other: repeated, mostly ascending."""
    steps = np.diff(times)
    num_back = int((steps <= 0).sum())
    values, counts = np.unique(times, return_counts=True)
    is_repeated = len(values) >= 5 and counts.min() > 1
    return num_back > 0 and is_repeated and bool((steps >= 0).mean() > 0.4)


# Numbers


def _parse_numbers(cells: _Cells, lines: list[int], params: CellParams, where: str) -> _Array:
    """Return the numbers of a column, NaN for missing ones."""
    import pandas as pd

    texts = []
    for cell in cells:
        text = cell
        if params.thousands and re.fullmatch(
            rf"[+-]?\d{{1,3}}({re.escape(params.thousands)}\d{{3}})+([.,]\d+)?", text
        ):
            text = text.replace(params.thousands, "")
        if params.decimal == ",":
            text = text.replace(".", "x").replace(",", ".")  # a point is no part of a number then
        texts.append(text)
    numbers = pd.to_numeric(pd.Series(texts, dtype=str), errors="coerce").to_numpy(np.float64)
    absent = {text.lower() for text in params.missing if isinstance(text, str)} | _MISSING
    is_missing = np.array([cell.lower() in absent for cell in cells])
    for number in params.missing:
        if not isinstance(number, str):
            is_missing |= numbers == number
    wrong = np.flatnonzero(~is_missing & ~(np.abs(numbers) <= _LARGEST))
    if len(wrong):
        cell = cells[wrong[0]]
        line = lines[wrong[0]]
        advice = _advise(cell, len(wrong), line)
        raise InputError(f"{where}, line {line}: {cell!r} is not a number: {advice}")
    return np.where(is_missing, np.nan, numbers)


def _advise(cell: str, num_wrong: int, line: int) -> str:
    """Return the advice about a cell that is not a number."""
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", cell):
        return 'add thousands: "," to the series in params.yaml, or decimal: ","'
    if re.fullmatch(r"[+-]?\d*,\d+", cell):
        return 'add decimal: "," to the series in params.yaml'
    if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?", cell):
        return 'add thousands: "." and decimal: "," to the series in params.yaml'
    if num_wrong == 1 and line <= 2 and not re.search(r"\d", cell):
        return "correct it, or skip_rows: 1 if the row below the header has units"
    return "correct it, or list it under missing: of the series in params.yaml"


def _fill(
    samples: _Array, lines: list[int], params: CellParams, season: int, where: str
) -> tuple[_Array, slice, list[str]]:
    """Fill gaps; return samples, their rows, and messages about dropped and filled rows."""
    present = np.flatnonzero(~np.isnan(samples))
    if not len(present):
        raise InputError(f"{where} has no number: name another column")
    kept = slice(int(present[0]), int(present[-1]) + 1)
    messages = []
    num_dropped = len(samples) - (kept.stop - kept.start)
    if num_dropped:
        messages.append(f"{where}: {num_dropped} empty rows at the ends are left out")
    filled = samples[kept].copy()
    gaps = np.flatnonzero(np.isnan(filled))
    if not len(gaps):
        return filled, kept, messages
    if params.fill is None:
        raise InputError(
            f"{where}, line {lines[kept][gaps[0]]}: no number in {len(gaps)} rows: fill them, or "
            "add fill: previous, linear or season to the series in params.yaml"
        )
    if params.fill == "linear":
        known = np.flatnonzero(~np.isnan(filled))
        filled[gaps] = np.interp(gaps, known, filled[known])
    else:
        back = season if params.fill == "season" else 1
        for gap in gaps:
            filled[gap] = filled[gap - back] if gap >= back else filled[gap - 1]
    messages.append(f"{where}: {len(gaps)} rows without a number are filled ({params.fill})")
    return filled, kept, messages


def _find_outlying(samples: _Array, lines: list[int]) -> str | None:
    """Return a warning about samples far from all others."""
    deviations = np.abs(samples - np.median(samples))
    scale = 1.4826 * float(np.median(deviations))  # the standard deviation, if they are normal
    far = np.flatnonzero(deviations > _OUTLYING * scale)
    if not scale or not len(far):
        return None
    worst = far[int(np.argmax(deviations[far]))]
    return (
        f"{len(far)} samples are more than {_OUTLYING} robust standard deviations from the median, "
        f"such as {samples[worst]:g} in line {lines[worst]}: they decide the scale of training and "
        "scores; correct them, or list them under missing: if they mark missing samples"
    )


# Times


def _parse_times(
    cells: _Cells, lines: list[int], params: CellParams, where: str
) -> "tuple[_Array, pd.DatetimeIndex | None, str]":
    """Return times as numbers, and for dates also the dates and their format."""
    import pandas as pd

    texts = pd.Series(cells, dtype=str)
    dates, date_format = None, ""
    if params.time_format:
        dates = pd.to_datetime(texts, format=params.time_format, errors="coerce")
        date_format = params.time_format
    elif not texts.str.fullmatch(r"[+-]?\d+(\.\d+)?").all():
        dates, date_format = _guess_dates(texts)
    elif texts.str.fullmatch(r"(1[6-9]|2[01])\d{6}").all():  # 20200101, but 1700 is a number
        dates, date_format = pd.to_datetime(texts, format="%Y%m%d", errors="coerce"), "%Y%m%d"
    elif texts.str.fullmatch(r"(1[6-9]|2[01])\d\d(0[1-9]|1[0-2])").all():
        dates, date_format = pd.to_datetime(texts, format="%Y%m", errors="coerce"), "%Y%m"
    if dates is None:
        numbers: _Array = texts.to_numpy(np.float64)
        far = np.flatnonzero(np.abs(numbers) > _LARGEST)
        if len(far):
            raise InputError(
                f"{where}, line {lines[far[0]]}: a time above {_LARGEST:g}: correct it"
            )
        return numbers, None, ""
    wrong = np.flatnonzero(dates.isna())
    if len(wrong):
        raise InputError(
            f"{where}, line {lines[wrong[0]]}: {cells[wrong[0]]!r} is not a time: give numbers, "
            '2008-12-31, 2008-12, Dec 2008 or 2008Q4; or add time_format: such as "%d/%m/%Y" to '
            "the series in params.yaml, or leave out time: to count rows"
        )
    index = pd.DatetimeIndex(dates)
    far = np.flatnonzero((index.year < _YEARS[0]) | (index.year > _YEARS[1]))
    if len(far):
        raise InputError(
            f"{where}, line {lines[far[0]]}: {cells[far[0]]!r} is not in the years {_YEARS[0]} to "
            f"{_YEARS[1]}: correct it, or leave out time: to count rows"
        )
    if params.time_zone:
        try:
            index = index.tz_localize(params.time_zone, ambiguous="infer")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{where}: time_zone {params.time_zone}: {error}") from None
    utc = index.tz_convert("UTC").tz_localize(None) if index.tz else index
    days = (utc - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return days.to_numpy(np.float64), index, date_format


def _guess_dates(texts: "pd.Series[str]") -> "tuple[pd.Series[Any], str]":
    """Parse dates in the format that fits most cells; NaT for other cells."""
    import pandas as pd

    def count(dates: "pd.Series[Any]") -> int:
        return int(dates.notna().sum())

    if texts.str.fullmatch(_QUARTER).all():
        parts = texts.str.extract(r"(?P<year>\d{4})").join(texts.str.extract(r"[Qq](?P<q>[1-4])"))
        months = 3 * parts["q"].astype(int) - 2
        first = parts["year"] + "-" + months.astype(str)
        return pd.to_datetime(first, format="%Y-%m", errors="coerce"), "quarter"
    has_offset = bool(texts.str.contains(_OFFSET).any())
    best = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=has_offset)
    best_format = "%Y-%m-%d"
    if has_offset:
        best_format = "iso"
    elif texts.str.fullmatch(r"\d{4}-\d\d").all():
        best_format = "%Y-%m"
    elif texts.str.contains(":").any():
        best_format = "%Y-%m-%d %H:%M:%S" if texts.str.count(":").max() > 1 else "%Y-%m-%d %H:%M"
    if texts.str.contains("/").any():  # which ISO 8601 takes too, but writes otherwise
        best, best_format = pd.to_datetime(texts, format=_FORMATS[0], errors="coerce"), _FORMATS[0]
    for date_format in _FORMATS:
        dates = pd.to_datetime(texts, format=date_format, errors="coerce")
        if count(dates) > count(best):
            best, best_format = dates, date_format
    return best, best_format


def _check_steps(
    times: _Array,
    dates: "pd.DatetimeIndex | None",
    lines: list[int],
    params: CellParams,
    where: str,
) -> None:
    """Check that times ascend, by even steps unless the calendar allows others."""
    steps = np.diff(times)
    backwards = np.flatnonzero(steps <= 0)
    if len(backwards):
        row, line = backwards[0], lines[backwards[0] + 1]
        advice = ": sort the rows, the oldest first, and keep one of each time"
        if _counts_up(times):
            advice = f" (several series in one file? Name the column of their names in id:){advice}"
        elif not steps[row]:
            advice = ", but the same: keep one row of each time"
        raise InputError(
            f"{where}, line {line}: this time is not after the one in the line before{advice}"
        )
    if params.calendar == "rows":
        return
    if params.calendar == "business_days":
        weekend = np.flatnonzero(dates.day_of_week > 4) if dates is not None else [0]
        if len(weekend):
            raise InputError(
                f"{where}, line {lines[weekend[0]]}: this is not a date from Monday to Friday, as "
                "calendar: business_days has them: correct it, or take calendar: rows"
            )
        return
    if dates is not None and _find_frequency(dates) is not None:
        return
    usual = find_spacing(times)
    uneven = np.flatnonzero((steps > usual * _UNEVEN) | (steps < usual / _UNEVEN))
    if len(uneven):
        raise InputError(
            f"{where}, line {lines[uneven[0] + 1]}: this time is {steps[uneven[0]]:g} later than "
            f"that of the line before; usually it is {usual:g}: fill in or remove rows; or add "
            "calendar: business_days, time_zone: if clocks change, or calendar: rows to count rows"
        )


def _find_frequency(dates: "pd.DatetimeIndex") -> Any:
    """Return the step from one date to the next as a pandas offset, None if it varies."""
    import pandas as pd

    if len(dates) < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a future change of the type of its result
        frequency = pd.infer_freq(dates)
    if frequency:
        return pd.tseries.frequencies.to_offset(frequency)
    months = np.diff(dates.year * 12 + dates.month)
    if len(set(dates.day)) == 1 and len(set(months)) == 1:  # such as the 15th of each month
        return pd.DateOffset(months=int(months[0]))
    return None


def _continue_dates(dates: "pd.DatetimeIndex", num_steps: int) -> "list[pd.Timestamp]":
    """Return the dates after the last one, by frequency, business days, or the usual spacing."""
    import pandas as pd

    step = _find_frequency(dates)
    if step is None and (dates.day_of_week < 5).all() and len(set(dates.day_of_week)) == 5:
        step = pd.offsets.BusinessDay()
    if step is None:
        step = pd.Timedelta(np.median(np.diff(dates.asi8)), unit=dates.unit)
    following = [dates[-1]]
    try:
        for _ in range(num_steps):
            following.append(following[-1] + step)
    except (OverflowError, ValueError):  # pandas holds no later date
        pass
    if len(following) <= num_steps or following[-1].year > _LAST_YEAR:
        raise InputError(
            f"{num_steps:,} steps after {dates[-1]} are after the year {_LAST_YEAR}: take fewer"
        )
    return following[1:]


def _format_date(date: "pd.Timestamp", date_format: str) -> str:
    """Format a date as in the file."""
    if date_format == "iso":
        return str(date.isoformat())
    if date_format == "quarter":
        return f"{date.year}Q{date.quarter}"
    return str(date.strftime(date_format))
