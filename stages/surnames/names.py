"""The preprocessed surnames: names.npz and vocabulary.json.

Imports no torch, which takes a second that preprocessing does not need.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.shared.arrays import read_arrays
from stages.shared.json_files import read_json, write_json


@dataclass(frozen=True)
class Vocabulary:
    """Meaning and origin of the indices: vocabulary.json."""

    data: str  # official, sample or custom
    symbols: str
    languages: list[str]  # sorted


@dataclass(frozen=True)
class Corpus:
    """The names of all splits, as names.npz holds them."""

    letters: NDArray[np.uint8]  # symbol indices of all names, end to end
    lengths: NDArray[np.int64]  # (N,), letters of each name
    languages: NDArray[np.int64]  # (N,)
    splits: NDArray[np.str_]  # (N,)


@dataclass(frozen=True)
class Names:
    """Names of one split, padded on the right with symbol 0."""

    letters: NDArray[np.uint8]  # (N, T); networks take wider numbers, of a batch at a time
    lengths: NDArray[np.int64]  # (N,)
    languages: NDArray[np.int64]  # (N,)


@dataclass(frozen=True)
class Splits:
    """The names by split."""

    train: Names
    validation: Names
    test: Names


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Write vocabulary.json."""
    write_json(folder / "vocabulary.json", asdict(vocabulary))


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read vocabulary.json of a preprocessed folder."""
    return Vocabulary(**read_json(folder / "vocabulary.json"))


def write_corpus(folder: Path, corpus: Corpus) -> None:
    """Write names.npz."""
    np.savez(folder / "names.npz", allow_pickle=False, **asdict(corpus))


def read_splits(folder: Path) -> Splits:
    """Read all names of names.npz."""
    return divide_corpus(read_corpus(folder))


def read_corpus(folder: Path) -> Corpus:
    """Read names.npz."""
    return Corpus(**read_arrays(folder / "names.npz"))


def divide_corpus(corpus: Corpus) -> Splits:
    """The names by split, in the order of the corpus."""
    names = []
    for split in ("train", "validation", "test"):
        is_chosen = corpus.splits == split
        letters = corpus.letters[np.repeat(is_chosen, corpus.lengths)]
        lengths = corpus.lengths[is_chosen]
        names.append(Names(pad_letters(letters, lengths), lengths, corpus.languages[is_chosen]))
    return Splits(*names)


def pad_letters(letters: NDArray[np.uint8], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Letters of all names, end to end, -> `(N, T)`, padded to the longest name."""
    is_letter = np.arange(lengths.max()) < lengths[:, None]
    padded = np.zeros(is_letter.shape, dtype=np.uint8)
    padded[is_letter] = letters
    return padded


def decode_names(names: Names, symbols: str) -> list[str]:
    """The names as text."""
    pairs = zip(names.letters, names.lengths, strict=True)
    return [decode_name(letters[:length], symbols) for letters, length in pairs]


def decode_name(letters: Iterable[int], symbols: str) -> str:
    """One name as text, from its symbol indices."""
    return "".join(symbols[letter] for letter in letters)
