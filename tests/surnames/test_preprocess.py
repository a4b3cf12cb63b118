import json

import numpy as np
import pytest
import yaml

from stages.shared.errors import InputError
from stages.surnames.alphabet import SYMBOLS, clean_name, encode_name
from stages.surnames.names import decode_names, read_split, read_vocabulary
from stages.surnames.preprocess import main

SPLIT = {"validation_share": 0.1, "test_share": 0.1, "seed": 0}


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"preprocess_surnames": SPLIT}))
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "source.json").write_text('{"data": "custom"}')
    return folder


def write_names(raw, **languages):
    for language, names in languages.items():
        (raw / f"{language}.txt").write_text("\n".join(names), encoding="utf-8")


def spell(count, stem):
    return [f"{stem}{a}{b}" for a in "abcdefghijklm" for b in "nopqrstuvwxyz"][:count]


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("Ślusàrski", "Slusarski"),
        ("O'Néàl", "O'Neal"),
        ("To The First\u00a0 Page", "To The First Page"),
        ("Jung ", "Jung "),
        ("Groß-Łuk", "Grouk"),
        ("1", ""),
    ],
)
def test_accents_go_and_unknown_symbols_are_dropped(name, clean):
    assert clean_name(name) == clean


def test_there_are_57_symbols_and_an_unknown_one_is_no_symbol():
    assert len(SYMBOLS) == 57
    assert encode_name("aZ'") == [0, 51, 56]
    with pytest.raises(ValueError):
        encode_name("ß")


def test_no_pair_is_in_two_splits_and_duplicates_are_gone(raw):
    names = spell(60, "x")
    write_names(raw, Aa=names * 3, Bb=spell(40, "y"))

    main("raw", "out")

    vocabulary = read_vocabulary(raw.parent / "out")
    splits = [read_split(raw.parent / "out", s) for s in ("train", "validation", "test")]
    pairs = [
        set(zip(decode_names(split, vocabulary.symbols), split.languages.tolist(), strict=True))
        for split in splits
    ]
    assert [len(p) for p in pairs] == [80, 10, 10]
    assert len(pairs[0] | pairs[1] | pairs[2]) == 100
    assert {name for name, language in set().union(*pairs) if language == 0} == set(names)


def test_every_language_is_in_every_split_in_its_share(raw):
    write_names(raw, Aa=spell(60, "x"), Bb=spell(20, "y"), Cc=spell(3, "z"))

    main("raw", "out")

    counts = [
        np.bincount(read_split(raw.parent / "out", s).languages)
        for s in ("train", "validation", "test")
    ]
    assert [c.tolist() for c in counts] == [[48, 16, 1], [6, 2, 1], [6, 2, 1]]


def test_languages_are_sorted_and_saved_with_the_data(raw):
    write_names(raw, Zz=spell(5, "x"), Aa=spell(5, "y"))

    main("raw", "out")

    vocabulary = read_vocabulary(raw.parent / "out")
    assert (vocabulary.languages, vocabulary.data) == (["Aa", "Zz"], "custom")


def test_the_report_says_what_was_dropped_and_why(raw):
    write_names(raw, Aa=["Müller", "Muller", "Both", "Grö-ß"], Bb=["Both", "Bob", "Cid"])

    main("raw", "out")

    report = json.loads((raw.parent / "out/report.json").read_text())
    assert (report["lines"], report["pairs"], report["duplicates"]) == (7, 6, 1)
    assert report["ambiguous_names"] == ["Both"]
    assert report["dropped_characters"] == {"-": 1, "ß": 1}
    assert report["plain_letters"] == {"ö": 1, "ü": 1}


def test_padding_comes_after_the_name_and_lengths_are_its_letters(raw):
    write_names(raw, Aa=["Al", "Alexander", "Bo"], Bb=["Chi", "Di", "Eva"])

    main("raw", "out")

    train = read_split(raw.parent / "out", "train")
    names = decode_names(train, SYMBOLS)
    assert [len(name) for name in names] == train.lengths.tolist()
    assert train.letters.shape[1] == max(map(len, names))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"M\xfcller\nB\nC", r"Bad.txt is not UTF-8 \(byte 1\)"),
        (b"", "Bad.txt is empty"),
        (b" \n\n", "Bad.txt is empty"),
        (b"Solo", r"Bad.txt holds 1 distinct name"),
    ],
)
def test_a_bad_names_file_is_named_and_nothing_is_written(raw, content, reason):
    write_names(raw, Good=spell(5, "x"))
    (raw / "Bad.txt").write_bytes(content)

    with pytest.raises(InputError, match=reason):
        main("raw", "out")

    assert not (raw.parent / "out").exists()


def test_the_split_depends_on_its_seed_alone(raw, tmp_path):
    write_names(raw, Aa=spell(30, "x"), Bb=spell(30, "y"))

    main("raw", "one")
    main("raw", "two")
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump({"preprocess_surnames": {**SPLIT, "seed": 1}})
    )
    main("raw", "three")

    one, two, three = ((tmp_path / f / "names.npz").read_bytes() for f in ("one", "two", "three"))
    assert one == two != three
