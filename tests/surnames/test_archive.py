import io
import zipfile
from pathlib import Path

import pytest

from stages.shared.errors import InputError
from stages.surnames.archive import (
    OFFICIAL_SHA256,
    find_differences,
    list_names,
    parse_names,
    read_archive,
    read_raw,
    write_raw,
)

SAMPLE = Path(__file__).parents[2] / "data/sample"
NAMES = {"Aa.txt": b"Abe\nAda\nAlf\n", "Bb.txt": b"Bea\nBen\nBob\n"}


LABELLED = {"Aa": ["Abe", "Ada", "Alf"], "Bb": ["Bea", "Ben", "Bob"]}


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
def test_a_bad_zip_is_rejected(content, reason):
    with pytest.raises(InputError, match=reason):
        read_archive(content, "data.zip")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"name,language\nArwen,Elvish\n",
            r"names\.csv has the columns 'name', 'language': name",
        ),
        (
            b"name,label\nArwen,Elvish\n,Elvish\n",
            r"names\.csv, row 2 below the header: name '' and label 'Elvish': fill in both",
        ),
        (b"name,label\nArwen,a\x1b[2J\n", r"row 1 below the header: .* all that can be printed"),
        (b"name,label\nArwen," + b"x" * 101, "a label 100"),
        (b"name,label\n" + b"x" * 1001 + b",Elvish", "a name has up to 1,000 letters"),
        (b"name,label\n", "has 0 labels"),
        (b"name,label\n\xff,Elvish\n", "is not a CSV file in UTF-8"),
    ],
)
def test_a_bad_table_is_rejected_with_its_line(content, reason):
    with pytest.raises(InputError, match=reason):
        parse_names(content, "names.csv")


def test_files_that_are_not_official_are_named():
    differences = find_differences({"Aa.txt": b"Abe", "Arabic.txt": b"Abe"})

    assert differences == sorted({"Aa.txt", *OFFICIAL_SHA256})


def test_the_names_of_a_file_are_its_lines():
    files = {"Aa.txt": b"\nAbe \r\n\r\n Ada\rAlf\n\n"}

    assert list_names(files) == {"Aa": ["Abe ", " Ada", "Alf"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"M\xfcller\nB\nC", r"Bad.txt is not UTF-8 \(byte 1\)"),
        (b"", "Bad.txt is empty"),
        (b" \n\n", "Bad.txt is empty"),
    ],
)
def test_a_bad_names_file_is_named(content, reason):
    with pytest.raises(InputError, match=reason):
        list_names({"Good.txt": b"Ann", "Bad.txt": content})


def test_raw_names_are_read_as_they_were_written(tmp_path):
    folder = tmp_path / "data/raw"
    names = {"Zz": ['O"Neill, Ann', " Bé ", "x\x85y\x00"], "Aa": ["Abe"]}
    write_raw(folder, LABELLED, "sample", "sample")

    write_raw(folder, names, "custom (a.zip)", "a.zip")

    read, source = read_raw(folder)
    assert list(read.items()) == list(names.items())
    assert (source.data, source.archive) == ("custom (a.zip)", "a.zip")
    assert sorted(path.name for path in folder.iterdir()) == ["names.csv", "source.json"]


def test_raw_names_are_a_table_of_names_and_labels(tmp_path):
    write_raw(tmp_path, LABELLED, "sample", "sample")

    table = (tmp_path / "names.csv").read_text(encoding="utf-8")
    assert table == "name,label\nAbe,Aa\nAda,Aa\nAlf,Aa\nBea,Bb\nBen,Bb\nBob,Bb\n"


def test_names_that_source_json_does_not_name_are_rejected(tmp_path):
    write_raw(tmp_path, LABELLED, "sample", "sample")
    with (tmp_path / "names.csv").open("a", encoding="utf-8") as file:
        file.write("Bo,Bb\n")

    with pytest.raises(
        InputError, match=r"names\.csv is not the file that source\.json names: type"
    ):
        read_raw(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"data": "official"}'])
def test_a_damaged_source_is_rejected(tmp_path, content):
    write_raw(tmp_path, LABELLED, "sample", "sample")
    (tmp_path / "source.json").write_text(content, encoding="utf-8")

    with pytest.raises(InputError, match=r"source\.json is damaged: type `dvc repro --force"):
        read_raw(tmp_path)


def test_the_sample_holds_enough_distinct_names_of_each_language():
    names = {p.name: p.read_text(encoding="utf-8").split("\n")[:-1] for p in SAMPLE.glob("*.txt")}

    assert names.keys() == OFFICIAL_SHA256.keys()
    assert sum(map(len, names.values())) >= 2500
    for file, lines in names.items():
        assert len(set(lines)) == len(lines) >= 60, file
