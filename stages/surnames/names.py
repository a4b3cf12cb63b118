"""The preprocessed surnames: names.npz, vocabulary.json and report.json.

Imports no torch, which takes a second that preprocessing does not need.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.shared.arrays import read_arrays
from stages.shared.json_files import read_json, write_json

Letters = NDArray[np.integer[Any]]  # uint8, or int32 of more than 256 symbols

PUBLISHED_QUERIES = ("Yue Tingsong", "Yue tingsong", "yutingsong", "test your name")

_SHOWN = 6  # letters, labels or names in a line of the report


@dataclass(frozen=True)
class Vocabulary:
    """Meaning and origin of the indices: vocabulary.json."""

    data: str  # official, sample, or custom with the name of a file
    symbols: str
    languages: list[str]  # sorted


@dataclass(frozen=True)
class Report:
    """Changes of the given names by preprocessing: report.json."""

    alphabet: str  # official or data
    num_symbols: int
    num_rows: int  # given names
    num_names: int  # left, each once per label
    num_duplicates: int  # rows that repeat a name of their label, after the clean-up
    folded: dict[str, int]  # letter and its replacement -> how often
    unknown: dict[str, int]  # letter that is the unknown symbol -> how often
    dropped: dict[str, int]  # letter -> how often
    no_letter: dict[str, int]  # label -> its rows without a known letter, left out
    num_shared: int  # names that stand under several labels
    shared: dict[str, list[str]]  # the first of them, and their labels
    blanks: dict[str, int]  # label that differs from another by blanks -> rows
    similar: list[list[str]]  # labels that differ by case alone
    rare: dict[str, int]  # label -> its names, too few to be split
    merged_into: str | None  # label that they got; None: they were left out

    def list_lines(self) -> list[str]:
        """Return the report in a few lines, without changes that did not happen."""
        lines = [
            f"{self.num_names:,} names of {self.num_rows:,} rows, {self.num_duplicates:,} rows "
            f"repeat one; alphabet {self.alphabet}, {self.num_symbols} symbols"
        ]
        for change in ("folded", "unknown", "dropped"):
            counts: dict[str, int] = getattr(self, change)
            if counts:
                lines.append(f"letters {change}, {sum(counts.values()):,}: {_list(counts)}")
        if self.no_letter:
            lines.append(f"rows without a known letter, left out: {_list(self.no_letter)}")
        if self.shared:
            names = [f"{name} ({', '.join(labels)})" for name, labels in self.shared.items()]
            lines.append(
                f"names under several labels, which no model can tell apart, {self.num_shared:,}: "
                f"{', '.join(names[:_SHOWN])}"
            )
        if self.blanks:
            quoted = {repr(label): count for label, count in self.blanks.items()}
            lines.append(f"labels that differ by blanks are one: {_list(quoted)}")
        if self.similar:
            groups = [", ".join(labels) for labels in self.similar[:_SHOWN]]
            lines.append(f"labels that differ by case alone stay apart: {'; '.join(groups)}")
        if self.rare:
            fate = f"now {self.merged_into}" if self.merged_into else "left out"
            lines.append(f"labels with too few names, {fate}: {_list(self.rare)}")
        return lines


@dataclass(frozen=True)
class Corpus:
    """The names of all splits: content of names.npz."""

    letters: Letters  # symbol indices of all names, end to end
    lengths: NDArray[np.int64]  # (N,), letters of each name
    languages: NDArray[np.int64]  # (N,)
    splits: NDArray[np.str_]  # (N,)


@dataclass(frozen=True)
class Names:
    """Names of one split, padded on the right with symbol 0."""

    letters: Letters  # (N, T); networks take wider numbers, of a batch at a time
    lengths: NDArray[np.int64]  # (N,)
    languages: NDArray[np.int64]  # (N,)


@dataclass(frozen=True)
class Splits:
    """The names by split."""

    train: Names
    validation: Names
    test: Names


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read vocabulary.json of a preprocessed folder."""
    return Vocabulary(**read_json(folder / "vocabulary.json"))


def read_report(folder: Path) -> Report:
    """Read report.json of a preprocessed folder."""
    return Report(**read_json(folder / "report.json", Report))


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Write vocabulary.json."""
    write_json(folder / "vocabulary.json", asdict(vocabulary))


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
    """Divide the names by split, in the order of the corpus."""
    names = []
    for split in ("train", "validation", "test"):
        is_chosen = corpus.splits == split
        letters = corpus.letters[np.repeat(is_chosen, corpus.lengths)]
        lengths = corpus.lengths[is_chosen]
        names.append(Names(pad_letters(letters, lengths), lengths, corpus.languages[is_chosen]))
    return Splits(*names)


def pad_letters(letters: Letters, lengths: NDArray[np.int64]) -> Letters:
    """Pad the letters of all names, end to end, to the longest name: `(N, T)`."""
    is_letter = np.arange(lengths.max()) < lengths[:, None]
    padded = np.zeros(is_letter.shape, dtype=letters.dtype)
    padded[is_letter] = letters
    return padded


def decode_names(names: Names, symbols: str) -> list[str]:
    """Return the names as text."""
    pairs = zip(names.letters, names.lengths, strict=True)
    return [decode_name(letters[:length], symbols) for letters, length in pairs]


def decode_name(letters: Iterable[int], symbols: str) -> str:
    """Return one name as text, from its symbol indices."""
    return "".join(symbols[letter] for letter in letters)


def format_answer(name: str, ranked: Iterable[tuple[float, str]]) -> list[str]:
    """Format a name and below it its log-probabilities and languages, as in the walk-through."""
    return [f"> {name}", *(f"({logarithm:.2f}) {language}" for logarithm, language in ranked)]


def _list(counts: dict[str, int]) -> str:
    """List the most frequent keys with their numbers."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    more = [f"{len(ranked) - _SHOWN} more"] if len(ranked) > _SHOWN else []
    return ", ".join([*(f"{key} {count:,}" for key, count in ranked[:_SHOWN]), *more])
