from pathlib import Path

import numpy as np
import pytest

from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml
from stages.surnames.alphabet import SYMBOLS
from stages.surnames.archive import write_raw
from stages.surnames.names import Corpus, decode_name, read_vocabulary
from stages.surnames.preprocess import SplitParams, main, preprocess

PARAMS = SplitParams(validation_share=0.1, test_share=0.1, seed=0)


def spell(count, stem):
    return [f"{stem}{a}{b}" for a in "abcdefghijklm" for b in "nopqrstuvwxyz"][:count]


def split(**languages) -> Corpus:
    return preprocess(languages, "sample", PARAMS)[0]


def list_pairs(corpus):
    """Name, language and split of each."""
    names = np.split(corpus.letters, np.cumsum(corpus.lengths)[:-1])
    texts = [decode_name(name, SYMBOLS) for name in names]
    return list(zip(texts, corpus.languages.tolist(), corpus.splits.tolist(), strict=True))


def test_no_pair_is_in_two_splits_and_duplicates_are_gone():
    names = spell(60, "x")

    pairs = list_pairs(split(Aa=names * 3, Bb=spell(40, "y")))

    assert len(pairs) == 100
    assert len({(name, language) for name, language, _ in pairs}) == 100
    assert {name for name, language, _ in pairs if language == 0} == set(names)


def test_every_language_is_in_every_split_in_its_share():
    corpus = split(Aa=spell(60, "x"), Bb=spell(20, "y"), Cc=spell(3, "z"))

    for name, counts in (("train", [48, 16, 1]), ("validation", [6, 2, 1]), ("test", [6, 2, 1])):
        assert np.bincount(corpus.languages[corpus.splits == name]).tolist() == counts


def test_names_are_cleaned_and_one_may_have_several_languages():
    pairs = list_pairs(split(Aa=["Müller", "Muller", "Both", "Grö-ß"], Bb=["Both", "Bob", "Cid"]))

    cleaned = [(name, language) for name, language, _ in pairs]
    assert cleaned == [("Muller", 0), ("Both", 0), ("Gro", 0), ("Both", 1), ("Bob", 1), ("Cid", 1)]


def test_a_language_with_too_few_names_is_named():
    names = {"Bad": ["Solo", "Solo"], "Good": spell(5, "x")}

    with pytest.raises(InputError, match=r"'Bad' has 1 distinct name\(s\) after the clean-up"):
        preprocess(names, "custom", PARAMS)


def test_one_language_is_rejected():
    with pytest.raises(InputError, match=r"of 1 label\(s\)"):
        split(Aa=spell(5, "x"))


def test_shares_that_leave_nothing_to_train_on_are_rejected():
    params = SplitParams(validation_share=0.45, test_share=0.45, seed=0)

    with pytest.raises(InputError, match="leave none of 4 names"):
        preprocess({"Aa": spell(4, "x"), "Bb": spell(4, "y")}, "custom", params)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_raw(tmp_path / "raw", {"Aa": spell(30, "x"), "Zz": spell(30, "y")}, "custom", "a.zip")
    return tmp_path


def write_params(**changes):
    section = PARAMS.model_dump() | changes
    Path("params.yaml").write_text(format_yaml({"preprocess_surnames": section}))


def test_languages_are_saved_with_the_data(workspace):
    write_params()

    main("raw", "out")

    vocabulary = read_vocabulary(workspace / "out")
    assert vocabulary.languages == ["Aa", "Zz"]
    assert vocabulary.data == "custom"


def test_bad_names_leave_nothing_behind(workspace):
    write_params()
    write_raw(workspace / "raw", {"Aa": ["Solo"]}, "custom", "a.zip")

    with pytest.raises(InputError):
        main("raw", "out")

    assert not (workspace / "out").exists()


def test_the_split_depends_on_its_seed_alone(workspace):
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        write_params(seed=seed)
        main("raw", folder)

    one, two, three = ((workspace / f / "names.npz").read_bytes() for f in ("one", "two", "three"))
    assert one == two != three
