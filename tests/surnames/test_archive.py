import io
import zipfile
from pathlib import Path

import pytest

from stages.shared.errors import InputError
from stages.surnames.archive import (
    OFFICIAL_SHA256,
    find_differences,
    read_archive,
    read_names_folder,
    read_source,
    write_raw,
)

SAMPLE = Path(__file__).parents[2] / "data/sample"
NAMES = {"Aa.txt": b"Abe\nAda\nAlf\n", "Bb.txt": b"Bea\nBen\nBob\n"}


def zip_names(names, folder="data/names"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("data/eng-fra.txt", "Go.\tVa !")
        for file, content in names.items():
            opened.writestr(f"{folder}/{file}", content)
    return buffer.getvalue()


def test_the_names_files_of_a_zip_are_read_and_nothing_else():
    assert read_archive(zip_names(NAMES), "data.zip") == NAMES


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>Log in</html>", "not a complete zip"),
        (b"", "not a complete zip"),
        (zip_names(NAMES)[:150], "not a complete zip"),
        (zip_names(NAMES, folder="data/other"), "holds no names"),
        (zip_names({"Big.txt": b"x" * (2**20 + 1)}), "larger than"),
    ],
)
def test_a_bad_zip_is_refused(content, reason):
    with pytest.raises(InputError, match=reason):
        read_archive(content, "data.zip")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"name,language\nArwen,Elvish\n",
            r"names\.csv, line 2: name 'Arwen' and label '': give",
        ),
        (b"name,label\nArwen,Elvish\n,Elvish\n", r"names\.csv, line 3: name '' and label 'Elvish'"),
        (b"name,label\nArwen,../evil\n", r"names\.csv, line 2: .* label '\.\./evil'"),
        (b"name,label\n", "has 0 labels"),
        (b"name,label\n\xff,Elvish\n", "is no CSV file in UTF-8"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(content, reason):
    with pytest.raises(InputError, match=reason):
        read_archive(content, "names.csv")


def test_files_that_are_not_official_are_named():
    differences = find_differences({"Aa.txt": b"Abe", "Arabic.txt": b"Abe"})

    assert differences == sorted({"Aa.txt", *OFFICIAL_SHA256})


def test_raw_names_are_read_as_they_were_written_and_replaced_whole(tmp_path):
    folder = tmp_path / "data/raw"
    write_raw(folder, NAMES | {"Old.txt": b"Olaf"}, "custom")

    write_raw(folder, NAMES, "sample")

    assert read_names_folder(folder) == NAMES
    assert read_source(folder) == "sample"
    assert [path.name for path in folder.parent.iterdir()] == ["raw"]


def test_raw_names_that_cannot_be_written_whole_leave_the_old_ones(tmp_path):
    write_raw(tmp_path / "raw", NAMES, "custom")

    with pytest.raises(OSError):
        write_raw(tmp_path / "raw", {"Cc.txt": b"Cid", "no/folder.txt": b""}, "sample")

    assert read_names_folder(tmp_path / "raw") == NAMES
    assert read_source(tmp_path / "raw") == "custom"


def test_the_sample_holds_enough_distinct_names_of_each_language():
    names = {p.name: p.read_text(encoding="utf-8").split("\n")[:-1] for p in SAMPLE.glob("*.txt")}

    assert names.keys() == OFFICIAL_SHA256.keys()
    assert sum(map(len, names.values())) >= 2500
    for file, lines in names.items():
        assert len(set(lines)) == len(lines) >= 60, file
