import numpy as np

from stages.surnames.names import (
    Corpus,
    Vocabulary,
    decode_names,
    pad_letters,
    read_splits,
    read_vocabulary,
    write_corpus,
    write_vocabulary,
)

ABC = Corpus(  # "ab" and "c" to train on, "bca" to validate, "a" to test
    letters=np.array([0, 1, 1, 2, 0, 0, 2], dtype=np.uint8),
    lengths=np.array([2, 3, 1, 1]),
    languages=np.array([0, 0, 1, 1]),
    splits=np.array(["train", "validation", "test", "train"]),
)


def test_each_split_has_its_own_names_padded_on_the_right(tmp_path):
    write_corpus(tmp_path, ABC)

    splits = read_splits(tmp_path)

    assert splits.train.letters.tolist() == [[0, 1], [2, 0]]
    assert splits.train.lengths.tolist() == [2, 1]
    assert splits.train.languages.tolist() == [0, 1]
    assert decode_names(splits.train, "abc") == ["ab", "c"]
    assert decode_names(splits.validation, "abc") == ["bca"]
    assert decode_names(splits.test, "abc") == ["a"]


def test_names_of_different_lengths_make_one_batch():
    letters = pad_letters(np.array([1, 2, 0, 1], dtype=np.uint8), np.array([1, 3]))

    assert letters.tolist() == [[1, 0, 0], [2, 0, 1]]


def test_a_vocabulary_is_read_as_it_was_written(tmp_path):
    vocabulary = Vocabulary("custom", "abc", ["Aa", "Zz"])

    write_vocabulary(tmp_path, vocabulary)

    assert read_vocabulary(tmp_path) == vocabulary
