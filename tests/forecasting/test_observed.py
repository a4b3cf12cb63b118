"""A CSV file gives samples and times, or one line that says which of its lines is wrong."""

import numpy as np
import pytest

from stages.forecasting.observed import ObservedParams, find_spacing, read_samples
from stages.shared.errors import InputError
from stages.shared.params import check_params
from tests.forecasting.entries import FILE


def write(folder, text, encoding="utf-8"):
    path = folder / "a.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_samples_and_times_are_read_by_the_names_of_their_columns(tmp_path):
    path = write(tmp_path, "t,x,y\n1700,7,5\n1701,7,11.5\n\n")

    samples, times = read_samples(path, "y", "t")

    assert samples.tolist() == [5, 11.5]
    assert times.tolist() == [1700, 1701]


def test_without_times_samples_are_counted(tmp_path):
    samples, times = read_samples(write(tmp_path, "y\n5\n6\n8\n"), "y", None)

    assert samples.tolist() == [5, 6, 8]
    assert times.tolist() == [0, 1, 2]


def test_dates_are_days_and_months_are_evenly_apart(tmp_path):
    path = write(tmp_path, "d,y\n2008-01-01,1\n2008-02-01,2\n2008-03-01,3\n2008-04-01,4\n")

    _, times = read_samples(path, "y", "d")

    assert np.diff(times).tolist() == [31, 29, 31]
    assert find_spacing(times) == 31


def test_the_mark_with_which_excel_begins_is_no_part_of_a_name(tmp_path):
    samples, _ = read_samples(write(tmp_path, "y\n5\n", "utf-8-sig"), "y", None)

    assert samples.tolist() == [5]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("t,z\n1,2\n", r"has no column y \(t, z\): name one that it has"),
        ("", "has no rows: give a CSV file with a header"),
        ("t,y\n", "has no rows"),
        ("t,y\n1,2\n2,high\n", "column y, line 3: 'high' is no number"),
        ("t,y\n1,2\n2,nan\n", "column y, line 3: 'nan' is no number"),
        ("t,y\n1,2\n2,-inf\n", "column y, line 3: '-inf' is no number"),
        ("t,y\n1,2\n2,1e40\n", "column y, line 3: '1e40' is no number"),
        ("t,y\n1,2\n2,\n3,4\n", "column y, line 3: '' is no number: correct or fill it in"),
        ("t,y\n1,2\n\n3,4\n", "column y, line 3: '' is no number"),
        ("t,y\n1,2\n2\n3,4\n", "column y, line 3: '' is no number"),
        ("t,y\nsoon,2\n", "column t, line 2: 'soon' is no time"),
        ("t,y\n1,2\n2,2\n2,3\n", "column t, line 4: this time is not after"),
        ("t,y\n2008-01-02,2\n2008-01-01,3\n", "column t, line 3: .* sort the rows"),
        (
            "t,y\n1,2\n2,2\n4,3\n5,3\n",
            "column t, line 4: this time is 2 later than that of the line before",
        ),
        (
            "t,y\n1,2\n2,2\n2.5,2\n3.5,3\n",
            "column t, line 4: this time is 0.5 later .* that are too many",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path, text, reason):
    path = write(tmp_path, text)

    with pytest.raises(InputError, match=reason) as raised:
        read_samples(path, "y", "t")

    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_and_one_that_is_no_text_are_named(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"y\n\xff\n")

    with pytest.raises(InputError, match=r"ghost\.csv cannot be read .*: give a CSV file in UTF-8"):
        read_samples(tmp_path / "ghost.csv", "y", None)
    with pytest.raises(InputError, match=r"b\.csv cannot be read .*: give a CSV file in UTF-8"):
        read_samples(tmp_path / "b.csv", "y", None)


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
    ],
)
def test_entries_that_make_no_sense_are_rejected(changes, reason):
    with pytest.raises(InputError, match=reason):
        check_params(FILE | changes, ObservedParams, "params.yaml: observed_series.mine")
