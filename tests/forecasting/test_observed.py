"""A CSV file gives samples and times, or one line that says which of its lines is wrong."""

import os

import numpy as np
import pandas as pd
import pytest

from stages.forecasting.observed import CsvParams, ObservedParams, find_spacing, read_csv_series
from stages.shared.errors import InputError
from stages.shared.params import check_params
from tests.forecasting.entries import FILE


def read(folder, text, season=1, written="utf-8", **params):
    path = folder / "a.csv"
    path.write_text(text, encoding=written)
    return read_csv_series(path, CsvParams(**{"column": "y", "time": "t", **params}), season)


def make_rows(times, samples=None):
    samples = range(len(times)) if samples is None else samples
    return "t,y\n" + "".join(f"{t},{y}\n" for t, y in zip(times, samples, strict=True))


def test_samples_and_times_are_read_by_the_names_of_their_columns(tmp_path):
    observed = read(tmp_path, "t,x,y\n1700,7,5\n1701,7,11.5\n\n")

    assert observed.samples.tolist() == [5, 11.5]
    assert observed.times.tolist() == [1700, 1701]
    assert observed.dates is None
    assert observed.continue_times(2) == ["1702", "1703"]


def test_without_times_samples_are_counted(tmp_path):
    observed = read(tmp_path, "y\n5\n6\n8\n", time=None)

    assert observed.samples.tolist() == [5, 6, 8]
    assert observed.times.tolist() == [0, 1, 2]
    assert observed.continue_times(1) == ["3"]


def test_dates_are_days_and_months_are_evenly_apart(tmp_path):
    observed = read(tmp_path, make_rows(["2008-01-01", "2008-02-01", "2008-03-01", "2008-04-01"]))

    assert np.diff(observed.times).tolist() == [31, 29, 31]
    assert find_spacing(observed.times) == 31
    assert observed.continue_times(3) == ["2008-05-01", "2008-06-01", "2008-07-01"]
    assert observed.find_days_ahead(2).tolist() == [30, 61]


@pytest.mark.parametrize(
    ("times", "params", "following"),
    [
        (["2000-11", "2000-12", "2001-01"], {}, "2001-02"),
        (["Nov 2000", "Dec 2000", "Jan 2001"], {}, "Feb 2001"),
        (["November 2000", "December 2000", "January 2001"], {}, "February 2001"),
        (["1970Q2", "1970Q3", "1970Q4"], {}, "1971Q1"),
        (["1970-Q2", "1970-Q3", "1970-Q4"], {}, "1971Q1"),
        (["2012/02/27", "2012/02/28", "2012/02/29"], {}, "2012/03/01"),
        (["20200227", "20200228", "20200229"], {}, "20200301"),
        (["200011", "200012", "200101"], {}, "200102"),
        (["1998", "1999", "2000"], {}, "2001"),
        (["2000-01-31", "2000-02-29", "2000-03-31"], {}, "2000-04-30"),
        (["2000-01-15", "2000-02-15", "2000-03-15"], {}, "2000-04-15"),
        (["2020-01-01 22:00", "2020-01-01 23:00", "2020-01-02 00:00"], {}, "2020-01-02 01:00"),
        (["27/2/2020", "28/2/2020", "29/2/2020"], {"time_format": "%d/%m/%Y"}, "01/03/2020"),
        (
            ["2/28/2020 10:00 AM", "2/28/2020 11:00 AM", "2/28/2020 12:00 PM"],
            {"time_format": "%m/%d/%Y %I:%M %p"},
            "02/28/2020 01:00 PM",
        ),
        # Monday to Friday
        (["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07"], {}, "2020-01-08"),
        (
            ["2020-12-23", "2020-12-24", "2020-12-28", "2020-12-29", "2021-01-08"],  # holidays
            {"calendar": "business_days"},
            "2021-01-11",
        ),
        (["2020-01-01", "2020-01-05", "2020-01-06"], {"calendar": "rows"}, "2020-01-08"),
        # clocks in Berlin go from 02:00 to 03:00
        (
            ["2020-03-29 00:00", "2020-03-29 01:00", "2020-03-29 03:00"],
            {"time_zone": "Europe/Berlin"},
            "2020-03-29 04:00",
        ),
        (
            ["2020-03-29T01:00+01:00", "2020-03-29T03:00+02:00", "2020-03-29T04:00+02:00"],
            {},
            "2020-03-29T03:00:00+00:00",
        ),
    ],
)
def test_times_are_read_as_people_write_them_and_continued(tmp_path, times, params, following):
    observed = read(tmp_path, make_rows(times), **params)

    assert len(observed.times) == len(times)
    assert (np.diff(observed.times) > 0).all()
    assert observed.continue_times(1) == [following]


@pytest.mark.parametrize(
    ("text", "params", "samples"),
    [
        ("t;y\n1;5,5\n2;6,25\n", {"decimal": ","}, [5.5, 6.25]),  # as German Excel writes it
        ("t\ty\n1\t5.5\n2\t6\n", {}, [5.5, 6]),
        ("t|y\n1|5\n2|6\n", {"separator": "|"}, [5, 6]),
        ('t,y\n1,"1,005.5"\n2,12\n', {"thousands": ","}, [1005.5, 12]),
        ("t;y\n1;1.005,5\n2;12\n", {"thousands": ".", "decimal": ","}, [1005.5, 12]),
        ("t, y\n1, 5\n2, 6\n", {}, [5, 6]),
        ("t,y\n\n1,5\n , \n2,6\n", {}, [5, 6]),
        ("t,y\n[-],[degC]\n1,5\n2,6\n", {"skip_rows": 1}, [5, 6]),
        ("t,y\n1,5\n2,1e1\n", {}, [5, 10]),
        ("t,y\n1,\n2,5\n3,6\n4,NA\n", {}, [5, 6]),
        ("t,y\n1,5\n2,\n3,7\n", {"fill": "linear"}, [5, 6, 7]),
        ("t,y\n1,5\n2,\n3,7\n", {"fill": "previous"}, [5, 5, 7]),
        ("t,y\n1,5\n2,6\n3,n/a\n4,8\n", {"fill": "season", "season": 2}, [5, 6, 5, 8]),
        ("t,y\n1,5\n2,-999\n3,7\n", {"fill": "linear", "missing": [-999]}, [5, 6, 7]),
        ("t,y\n1,5\n2,closed\n3,7\n", {"fill": "linear", "missing": ["closed"]}, [5, 6, 7]),
    ],
)
def test_numbers_are_read_as_people_write_them(tmp_path, text, params, samples):
    assert read(tmp_path, text, **params).samples.tolist() == samples


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_file_may_have_any_encoding_that_is_named(tmp_path, encoding):
    given = {} if encoding.startswith("utf-8") else {"encoding": encoding}

    observed = read(tmp_path, "Höhe\n5\n", written=encoding, column="Höhe", time=None, **given)

    assert observed.samples.tolist() == [5]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("t,z\n1,2\n", r"has no column y \(t, z\): name one that it has"),
        ("", "has no rows: give a CSV file with a header"),
        ("t,y\n", "has no rows"),
        ("t,y\n1,2\n2,high\n", "column y, line 3: 'high' is not a number"),
        ("t,y\n1,2\n2,-inf\n", "column y, line 3: '-inf' is not a number"),
        ("t,y\n1,2\n2,1e40\n", "column y, line 3: '1e40' is not a number"),
        ("t,y\n1,97_0\n2,98_1\n", "column y, line 2: '97_0' is not a number"),
        ("t,y\n1,2\n2,\n3,4\n", "column y, line 3: no number in 1 rows: .* fill: previous, linear"),
        ("t,y\n1,2\n\n2\n3,4\n", "column y, line 4: no number in 1 rows"),
        ("t,y\n1,\n2,\n", "column y has no number"),
        (
            "t,y\nsoon,2\n",
            "column t, line 2: 'soon' is not a time: .* time_format: .* leave out time",
        ),
        ("t,y\n3/1/2020,2\n3/2/2020,2\n", "column t, line 2: '3/1/2020' is not a time"),
        ("t,y\n1,2\n2,2\n2,3\n", "column t, line 4: this time is not after"),
        ("t,y\n2008-01-02,2\n2008-01-01,3\n", "column t, line 3: .* sort the rows"),
        (
            "t,y\n1,2\n2,2\n4,3\n5,3\n",
            "column t, line 4: this time is 2 later than that of the line before",
        ),
        (
            "t,y\n1,2\n2,2\n2.5,2\n3.5,3\n",
            "column t, line 4: this time is 0.5 later .* fill in or remove rows; .*calendar",
        ),
        ("t,y\n1,9,766\n", "line 2: 3 cells under 2 names: quote a cell that has a comma"),
        ("t,y,y\n1,5,6\n", "has more than one column y: rename"),
        ('t,y\n1,"97,66"\n', "line 2: '97,66' is not a number: add decimal: \",\""),
        ('t,y\n1,"9,766"\n', "line 2: '9,766' is not a number: add thousands: \",\""),
        ("t;y\n1;9.766,5\n", "'9.766,5' is not a number: add thousands: \".\" and decimal"),
        ("t,y\n[-],[degC]\n1,5\n2,6\n", r"line 2: '\[degC\]' is not a number: .*skip_rows: 1"),
    ],
)
def test_errors_in_a_file_name_the_line(tmp_path, text, reason):
    with pytest.raises(InputError, match=reason) as raised:
        read(tmp_path, text)

    message = str(raised.value).replace(str(tmp_path), "data/series")
    assert "\n" not in message
    assert len(message) <= 300


def test_times_that_the_zone_does_not_have_are_an_error(tmp_path):
    with pytest.raises(InputError, match="time_zone Europe/Berlin: 2020-03-29 02:30:00 is a nonex"):
        read(
            tmp_path,
            make_rows(["2020-03-29 01:30", "2020-03-29 02:30"]),
            time_zone="Europe/Berlin",
        )
    with pytest.raises(InputError, match="time_zone Nowhere"):
        read(tmp_path, make_rows(["2020-03-29 01:30"]), time_zone="Nowhere")


def test_a_weekend_is_no_business_day(tmp_path):
    with pytest.raises(InputError, match="line 3: this is not a date from Monday to Friday"):
        read(tmp_path, make_rows(["2020-01-03", "2020-01-04"]), calendar="business_days")


@pytest.mark.parametrize("sort", ["date", "store"])
@pytest.mark.parametrize("time", ["t", None])
def test_several_series_below_each_other_are_recognised(tmp_path, sort, time):
    dates = pd.date_range("2020-01-01", periods=20).strftime("%Y-%m-%d")
    rows = [(date, store) for date in dates for store in "AB"]
    if sort == "store":
        rows.sort(key=lambda row: row[1])
    text = "t,store,y\n" + "".join(f"{date},{store},5\n" for date, store in rows)

    with pytest.raises(InputError, match=r"line (3|22): .*several series in one file\?"):
        read(tmp_path, text, time=time)


def test_a_repeated_column_does_not_mean_several_series(tmp_path):
    rows = "".join(f"{1 + number % 12},{number}\n" for number in range(60))

    assert len(read(tmp_path, f"month,y\n{rows}", time=None).samples) == 60


@pytest.mark.parametrize("odd", [100_000, -999])
def test_a_sample_far_from_all_others_is_reported(tmp_path, odd):
    samples = [100 + number % 7 for number in range(50)]
    samples[30] = odd

    [message] = read(tmp_path, make_rows(range(50), samples)).messages

    assert f"such as {odd} in line 32" in message


def test_dropped_and_filled_samples_are_reported(tmp_path):
    observed = read(tmp_path, "t,y\n1,\n2,5\n3,\n4,7\n5,\n", fill="linear")

    assert observed.samples.tolist() == [5, 6, 7]
    assert observed.times.tolist() == [2, 3, 4]
    assert [message.partition(": ")[2] for message in observed.messages] == [
        "2 empty rows at the ends are left out",
        "1 rows without a number are filled (linear)",
    ]


def test_endless_and_huge_files_are_rejected_before_they_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("/dev/zero")
    (tmp_path / "sparse.csv").touch()
    os.truncate(tmp_path / "sparse.csv", 200 * 10**9)
    params = CsvParams(column="y")

    for name in ("pipe.csv", "link.csv"):
        with pytest.raises(InputError, match=f"{name} cannot be read: it is not a regular file"):
            read_csv_series(tmp_path / name, params)
    with pytest.raises(InputError, match=r"has 200,000,000,000 bytes, more than 67,108,864"):
        read_csv_series(tmp_path / "sparse.csv", params)


def test_missing_files_and_files_that_are_not_text_are_reported(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"y\n\xff\n")
    params = CsvParams(column="y")

    with pytest.raises(InputError, match=r"ghost\.csv cannot be read: there is no such file"):
        read_csv_series(tmp_path / "ghost.csv", params)
    with pytest.raises(InputError, match=r"b\.csv cannot be read .*: give a CSV file in UTF-8"):
        read_csv_series(tmp_path / "b.csv", params)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "csv"}, r"observed_series\.mine\.kind is not a known key"),
        ({"path": "data/my file.csv"}, r"mine\.path: must be a path below data/ of letters"),
        ({"column": None}, r"observed_series\.mine\.column: input should be a valid string"),
        ({"test_share": 0.5}, r"mine\.test_share: input should be less than 0\.5"),
        ({"horizons": []}, r"mine\.horizons: list should have at least 1"),
        ({"period": 6.0}, r"mine\.period is not a known key"),
        ({"season": 5}, r"mine: window \(4\) must reach a season \(5\)"),
        ({"transform": "sqrt"}, r"mine\.transform: must be auto, none, log, or a mapping"),
        ({"transform": {"lag": 1}}, r"mine\.transform\.lag is not a known key"),
        ({"calendar": "lunar"}, r"mine\.calendar: input should be 'even', 'business_days' or"),
    ],
)
def test_invalid_entries_are_rejected(changes, reason):
    with pytest.raises(InputError, match=reason):
        check_params(FILE | changes, ObservedParams, "params.yaml: observed_series.mine")


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ([f"9999-11-{day:02d}" for day in range(1, 30)], "'9999-11-01' is not in the years 1678"),
        ([f"0000-01-{day:02d}" for day in range(1, 30)], "'0000-01-01' is not in the years 1678"),
        ([f"99{year}Q1" for year in range(70, 99)], "'9970Q1' is not in the years 1678 to 2261"),
        ([f"000{year}Q1" for year in range(9)], "'0000Q1' is not in the years 1678 to 2261"),
        ([f"{year}e300" for year in range(1, 30)], "is not a time"),
        ([10**400 + year for year in range(30)], "line 2: a time above 1e"),
    ],
)
def test_a_time_outside_of_the_calendar_is_reported(tmp_path, times, reason):
    with pytest.raises(InputError, match=reason):
        read(tmp_path, make_rows(times))


@pytest.mark.parametrize("times", [[f"{1900 + n}-01-01" for n in range(60)], range(1900, 1960)])
def test_a_forecast_ends_before_the_year_10000(tmp_path, times):
    observed = read(tmp_path, make_rows(times))

    if observed.dates is None:
        assert observed.continue_times(10_000)[-1] == "11959"
        return
    assert observed.continue_times(8_040)[-1] == "9999-01-01"
    with pytest.raises(InputError, match=r"8,041 steps after 1959.* are after the year 9999"):
        observed.continue_times(8_041)
