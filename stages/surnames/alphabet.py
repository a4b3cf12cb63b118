"""Convert names to symbol indices.

An alphabet is a string of symbols. With the alphabet of the walk-through, all other letters are
dropped. An alphabet with the symbol `UNKNOWN` is for other data: a letter that is no symbol is
folded, or else unknown.

Imports the standard library alone: MLflow serves a copy of this file beside the model.
"""

import string
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

SYMBOLS = string.ascii_letters + " .,;'"  # 57 symbols
UNKNOWN = "\ufffd"  # the replacement character of Unicode

# letters that Unicode does not decompose
_FOLDED = str.maketrans(
    dict(zip("ØøŁłĐđÐðĦħŦŧƏəıȷŊŋ", "OoLlDdDdHhTtEeijNn", strict=True))
    | {"ß": "ss", "ẞ": "SS", "Þ": "Th", "þ": "th", "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe"}
    | dict.fromkeys("‘’ʻʼ`", "'")
    | dict.fromkeys("‐‑‒–—−", "-")
)


class _Fates(dict[int, str]):
    """Code of a letter -> its symbols, found at first use; a table for `str.translate`."""

    def __init__(self, symbols: str) -> None:
        super().__init__()
        self.symbols = symbols

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        self[code] = letter if letter in self.symbols else self.replace(letter)
        return self[code]

    def replace(self, letter: str) -> str:
        """Return the replacement of a letter that is no symbol."""
        if UNKNOWN not in self.symbols or unicodedata.category(letter) in ("Mn", "Cc", "Cf"):
            return ""
        plain = _fold(letter)
        plain = "".join(part if part in self.symbols else part.swapcase() for part in plain)
        return plain if plain and all(part in self.symbols for part in plain) else UNKNOWN


_find_fates = cache(_Fates)


def _fold(letter: str) -> str:
    """Return a letter in more common letters, without marks: `Ǿ` -> `O`, `ß` -> `ss`."""
    parts = unicodedata.normalize("NFKD", letter)
    plain = "".join(part for part in parts if unicodedata.category(part) != "Mn")
    return plain.translate(_FOLDED)


def normalize_name(name: str) -> str:
    """Compose letters with their marks; leave one blank between words, none around the name."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def clean_name(name: str, symbols: str = SYMBOLS) -> str:
    """Write a name in an alphabet.

    With the alphabet of the walk-through, accents and letters that are no symbols are dropped:
    `Weiß` -> `Wei`. With `UNKNOWN` in the alphabet, blanks around a name are dropped, and a letter
    that is no symbol is folded to symbols, `Weiß` -> `Weiss`, or else unknown.
    """
    text = normalize_name(name) if UNKNOWN in symbols else unicodedata.normalize("NFD", name)
    return text.translate(_find_fates(symbols))


def has_letter(name: str) -> bool:
    """Test if a name, written in an alphabet, has any known letter or digit."""
    return any(map(str.isalnum, name))


def encode_name(name: str, symbols: str = SYMBOLS) -> list[int]:
    """Return the index of each symbol of a cleaned name.

    Raises:
        ValueError: if the name holds a character that is not a symbol.
    """
    return [symbols.index(letter) for letter in name]


def choose_symbols(names: Iterable[str], least_count: int) -> str:
    """Return the alphabet of normalised names.

    It has all letters, digits and marks with at least `least_count` occurrences, in either case, or
    as foldings of rarer letters, and `UNKNOWN` for all others.
    """
    counts = Counter("".join(names))
    for letter in [letter for letter, count in counts.items() if count < least_count]:
        for part in _fold(letter):
            if part != letter:  # such as the letters of a rare syllable in Korean
                counts[part] += counts[letter]
    known = [
        letter
        for letter, count in counts.items()
        if max(count, counts[letter.swapcase()]) >= least_count
        and unicodedata.category(letter) not in ("Cc", "Cf")
        and (_fold(letter) == letter or count >= least_count)
    ]
    return "".join(sorted({*known} - {UNKNOWN})) + UNKNOWN


def count_changes(names: Iterable[str], symbols: str) -> dict[str, dict[str, int]]:
    """Count the letters of names that are `folded` (`ö→o`), `unknown` or `dropped`.

    The most frequent letters come first.
    """
    changes: dict[str, dict[str, int]] = {"folded": {}, "unknown": {}, "dropped": {}}
    for letter, count in Counter(unicodedata.normalize("NFC", "".join(names))).most_common():
        cleaned = clean_name(letter, symbols)
        if letter in symbols or letter.isspace():
            continue
        if cleaned == UNKNOWN:
            changes["unknown"][letter] = count
        elif cleaned:
            changes["folded"][f"{letter}→{cleaned}"] = count
        else:
            changes["dropped"][letter] = count
    return changes
