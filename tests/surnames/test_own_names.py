"""Names and labels of one's own, as people have them: a case stands for its kind."""

import csv
import io
import json
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pytest

from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml
from stages.surnames.alphabet import SYMBOLS, UNKNOWN
from stages.surnames.archive import parse_names, write_raw
from stages.surnames.names import decode_name, read_report, read_vocabulary
from stages.surnames.preprocess import SplitParams, main, preprocess

SHARES = {"validation_share": 0.1, "test_share": 0.1, "seed": 0}


def spell(first, last, count=60):
    return [f"{first}{a}{b}{last}" for a in "aeiouy" for b in "bcdfghklmn"][:count]


EAST, NORTH = spell("Mo", "moto"), spell("Be", "sen")
OK = [*((name, "East") for name in EAST), *((name, "North") for name in NORTH)]
ABC = [(f"{a.upper()}{a}{b}{a.upper()}", "Abc") for a in ascii_lowercase for b in "aeiou"]
STROKES = [
    *("Ødegård", "Øverby", "Łukasik", "Łapiński", "Đặng", "Đỗ", "Strauß", "Weiß", "Þórsson"),
    *("Æbelø", "Sørensen", "Jørgensen", "Björnæs"),
]
CYRILLIC = ["Иванов", "Петров", "Сидоров", "Кузнецов", "Смирнов", "Попов", "Волков", "Соколов"]


def write(pairs, header=("name", "label"), separator=","):
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows([header, *pairs])
    return text.getvalue().encode()


def prepare(pairs, source="names.csv", data="custom (names.csv)", **changes):
    """Names by label, by the whole way from the bytes of a file, and the report."""
    names, _ = parse_names(write(pairs), source)
    params = SplitParams.model_validate(SHARES | changes)
    corpus, vocabulary, report = preprocess(names, data, params)
    ends = np.cumsum(corpus.lengths)[:-1]
    texts = [decode_name(row, vocabulary.symbols) for row in np.split(corpus.letters, ends)]
    found = {}
    for text, language, split in zip(texts, corpus.languages, corpus.splits, strict=True):
        found.setdefault(vocabulary.languages[language], {})[text] = str(split)
    return found, report


def test_valid_names_are_read_without_a_report():
    names, report = prepare(OK)

    assert {label: [*group] for label, group in names.items()} == {"East": EAST, "North": NORTH}
    assert len(report.list_lines()) == 1


def test_blanks_around_a_name_are_no_letters():
    names, report = prepare([*((f" {name}\u00a0", label) for name, label in OK), *OK])

    assert [*names["East"]] == EAST
    assert report.num_duplicates == 120


def test_blanks_around_a_label_are_no_letters_and_reported():
    pairs = [(name, "East " if row % 3 else label) for row, (name, label) in enumerate(OK[:60])]

    names, report = prepare([*pairs, *OK[60:]])

    assert {*names["East"]} == {*EAST}
    assert report.blanks == {"East ": 40}
    assert "labels that differ by blanks are one: 'East ' 40" in report.list_lines()


def test_labels_that_differ_by_case_stay_apart_and_are_reported():
    _, report = prepare([*OK, *((name, "EAST") for name in spell("Ki", "to"))])

    assert report.similar == [["EAST", "East"]]


@pytest.mark.parametrize("alphabet", ["official", "data"])
def test_letters_without_decomposition_are_folded_unless_they_are_frequent(alphabet):
    pairs = [*OK, *ABC, *((name, "Stroke") for name in STROKES)]

    names, report = prepare(pairs, alphabet=alphabet)

    assert {"Odegard", "Lukasik", "Dang", "Strauss", "Weiss", "Thorsson"} <= {*names["Stroke"]}
    assert report.folded["Ø→O"] == 2 and report.folded["ß→ss"] == 2


def test_a_frequent_letter_is_a_symbol_of_its_own():
    names, report = prepare([*OK, *((name, "Stroke") for name in spell("Sø", "ås"))])

    assert [*names["Stroke"]] == spell("Sø", "ås")
    assert not report.folded


def test_digits_and_hyphens_are_symbols():
    plates = [(f"A{number}-{number % 90 + 10}", "plateA") for number in range(300, 360)]
    plates += [(f"B{number}", "plateB") for number in range(3000, 3060)]

    names, report = prepare(plates)

    assert [*names["plateA"]] == [name for name, _ in plates[:60]]
    assert not (report.unknown or report.dropped)


def test_an_alphabet_without_digits_reports_how_many_are_lost():
    plates = [(f"{letter}{number}", letter) for letter in "AB" for number in range(60)]

    with pytest.raises(InputError, match=r"label 'A' has 2 distinct .*; its alphabet has no 1 2 3"):
        prepare(plates, alphabet="official")


def test_other_scripts_are_read():
    slavic = [f"{name}{ending}" for name in CYRILLIC for ending in ("", "а", "у", "ым", "ич")]

    names, report = prepare([*OK, *((name, "Slavic") for name in slavic)])

    assert [*names["Slavic"]] == slavic
    assert not report.no_letter


def test_an_alphabet_without_a_script_reports_the_labels_left_out():
    slavic = [(name, "Slavic") for name in [*CYRILLIC, "Ivanov", "Petrov", "Popov"]]

    names, report = prepare([*OK, *slavic], alphabet="official")

    assert [*names["Slavic"]] == ["Ivanov", "Petrov", "Popov"]
    assert "rows without a known letter, left out: Slavic 8" in report.list_lines()


def test_a_letter_that_training_hardly_has_is_unknown_to_models_too():
    names, report = prepare([*OK, ("Moẋ猫", "East")])

    assert f"Mo{UNKNOWN}{UNKNOWN}" in names["East"]
    assert report.unknown == {"ẋ": 1, "猫": 1}


def test_more_than_256_symbols_are_distinguished():
    han = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    pairs = [(han[n] + han[n + gap], str(gap)) for gap in (1, 7) for n in range(300 - gap)]

    names, _ = prepare(pairs, least_count=1)

    assert len(names["1"]) == 299 and len(names["7"]) == 293


def test_a_name_under_two_labels_is_in_one_split_and_reported():
    pairs = [(name, label) for name in EAST for label in ("East", "North")]

    names, report = prepare(pairs)

    assert names["East"] == names["North"]
    assert {*names["East"].values()} == {"train", "validation", "test"}
    assert report.num_shared == 60 and report.shared["Moabmoto"] == ["East", "North"]
    assert any(
        "no model can tell apart, 60: Moabmoto (East, North)" in line
        for line in report.list_lines()
    )


def test_each_label_is_in_each_split_though_most_of_its_names_are_shared():
    pairs = [*OK, *((name, "Few") for name in [*EAST[:2], NORTH[0]]), (EAST[5], "North")]

    names, _ = prepare(pairs)

    for group in names.values():
        assert {*group.values()} == {"train", "validation", "test"}
    for name in {*names["East"]} & {*names["North"]}:
        assert names["East"][name] == names["North"][name]


def test_names_that_become_equal_are_counted_and_never_in_two_splits():
    rare = [
        (f"{name}{chr(0x4E00 + 60 * n + row)}", "East")
        for n in range(4)
        for row, name in enumerate(EAST)
    ]

    names, report = prepare([*OK, *rare])

    assert len(names["East"]) == 120  # with and without an unknown letter at the end
    assert report.num_duplicates == 180


def test_a_line_break_in_a_quoted_name_is_a_blank(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, _ = parse_names(
        write([*OK, *[("Van\nHalen", "North")], *[(f"Van {n}", "North") for n in EAST]]),
        "names.csv",
    )
    write_raw(Path("raw"), names, "custom (names.csv)", "names.csv")
    Path("params.yaml").write_text(format_yaml({"preprocess_surnames": SHARES}))

    main("raw", "out")

    assert read_report(Path("out")).num_names == 181
    assert " " in read_vocabulary(Path("out")).symbols


@pytest.mark.parametrize("label", ["East/Far", "R&B", "a" * 100, "50 %", "..", "$x$", "東"])
def test_a_label_may_have_any_letters(label):
    names, _ = prepare([(name, label if at == "East" else at) for name, at in OK])

    assert {*names} == {label, "North"}


def test_a_label_with_few_names_is_named_as_the_file_has_it():
    with pytest.raises(
        InputError, match=r"^label 'South' has 2 distinct .*\.rare: drop or merge in"
    ):
        prepare([*OK, *ABC, ("Rossi", "South"), ("Bianchi", "South")])


def test_labels_with_few_names_are_left_out_or_merged_on_request():
    few = [("Rossi", "South"), ("Bianchi", "South"), ("Smith", "West")]

    dropped, left_out = prepare([*OK, *ABC, *few], rare="drop")
    merged, report = prepare([*OK, *ABC, *few], rare="merge")

    assert {*dropped} == {"Abc", "East", "North"}
    assert {*merged["other"]} == {"Rossi", "Bianchi", "Smith"}
    assert left_out.list_lines()[-1] == "labels with too few names, left out: South 2, West 1"
    assert report.list_lines()[-1] == "labels with too few names, now other: South 2, West 1"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("source", ["names.csv", "NAMES.CSV", "names.tsv", "names.txt", "names"])
def test_a_table_is_read_by_its_header_whatever_it_is_called(source, separator):
    names, _ = parse_names(b"\xef\xbb\xbf" + write(OK, separator=separator), source)

    assert names == {"East": EAST, "North": NORTH}


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Name,Label", "has the columns 'Name', 'Label': name its columns name and label"),
        ("Name;Label", "has the columns 'Name', 'Label'"),
        ("name,class", "has the columns 'name', 'class'"),
        ("", "has no columns"),
    ],
)
def test_a_table_without_the_columns_names_those_that_it_has(header, found):
    with pytest.raises(InputError, match=found):
        parse_names(f"{header}\nMori,East\n".encode() if header else b"", "names.csv")


def test_official_names_are_split_and_encoded_as_they_always_were():
    """A name under two labels is drawn for each of them, and 57 symbols drop all other letters."""
    raw = {"East": [*EAST, "Weiß-1"], "North": [*NORTH, *EAST]}

    corpus, vocabulary, report = preprocess(raw, "official", SplitParams.model_validate(SHARES))

    assert vocabulary.symbols == SYMBOLS and corpus.letters.dtype == np.uint8
    assert report.dropped == {"ß": 1, "-": 1, "1": 1}
    counts = {"train": 49, "validation": 6, "test": 6}
    for split, count in counts.items():
        assert ((corpus.splits == split) & (corpus.languages == 0)).sum() == count
    shared = corpus.splits[:60].tolist(), corpus.splits[-60:].tolist()
    assert shared[0] != shared[1]


def test_the_report_is_a_file_that_is_read_as_it_was_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"East": [*EAST, "...", "--"], "North": [*NORTH, *EAST]}
    write_raw(Path("raw"), names, "custom (a.csv)", "a.csv")
    Path("params.yaml").write_text(format_yaml({"preprocess_surnames": SHARES}))

    main("raw", "out")

    written = json.loads(Path("out/report.json").read_text("utf-8"))
    assert (written["num_shared"], written["no_letter"]) == (60, {"East": 2})
    first, *others = read_report(Path("out")).list_lines()
    said = capsys.readouterr().out.splitlines()
    assert said == [first, *(f"WARNING: {line}" for line in others)]
