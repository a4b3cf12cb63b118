"""From a name as people write it to symbol indices.

An alphabet is its symbols. Of the walk-through's, other letters are dropped. One with the symbol
`UNKNOWN` is for other data: a letter that is no symbol is folded, or else unknown.

Imports the standard library alone: MLflow serves this very file beside the model.
"""

import string
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache

SYMBOLS = string.ascii_letters + " .,;'"  # 57 symbols
UNKNOWN = "\ufffd"  # the replacement character of Unicode

# what Unicode does not decompose
_FOLDED = str.maketrans(
    dict(zip("ØøŁłĐđÐðĦħŦŧƏəıȷŊŋ", "OoLlDdDdHhTtEeijNn", strict=True))
    | {"ß": "ss", "ẞ": "SS", "Þ": "Th", "þ": "th", "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe"}
    | dict.fromkeys("‘’ʻʼ`", "'")
    | dict.fromkeys("‐‑‒–—−", "-")
)


class _Fates(dict[int, str]):
    """Code of a letter -> the symbols that stand for it, found once each; for `str.translate`."""

    def __init__(self, symbols: str) -> None:
        super().__init__()
        self.symbols = symbols

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        self[code] = letter if letter in self.symbols else self.replace(letter)
        return self[code]

    def replace(self, letter: str) -> str:
        """What stands for a letter that is no symbol."""
        if UNKNOWN not in self.symbols or unicodedata.category(letter) in ("Mn", "Cc", "Cf"):
            return ""
        plain = _fold(letter)
        plain = "".join(part if part in self.symbols else part.swapcase() for part in plain)
        return plain if plain and all(part in self.symbols for part in plain) else UNKNOWN


_find_fates = cache(_Fates)


def _fold(letter: str) -> str:
    """A letter without marks, and in letters that more alphabets have: `Ǿ` -> `O`, `ß` -> `ss`."""
    parts = unicodedata.normalize("NFKD", letter)
    plain = "".join(part for part in parts if unicodedata.category(part) != "Mn")
    return plain.translate(_FOLDED)


def normalize_name(name: str) -> str:
    """Letters composed with their marks, one blank between words, none around the name."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def clean_name(name: str, symbols: str = SYMBOLS) -> str:
    """Write a name in an alphabet.

    In the walk-through's, accents and what is not one of the symbols are dropped: `Weiß` -> `Wei`.
    In one with `UNKNOWN`, blanks around a name are dropped, and a letter that is no symbol is
    folded, `Weiß` -> `Weiss`, if that gives symbols; if not, it is unknown.
    """
    text = normalize_name(name) if UNKNOWN in symbols else unicodedata.normalize("NFD", name)
    return text.translate(_find_fates(symbols))


def has_letter(name: str) -> bool:
    """Whether a name, written in an alphabet, has any known letter or digit."""
    return any(map(str.isalnum, name))


def encode_name(name: str, symbols: str = SYMBOLS) -> list[int]:
    """Index of each symbol of a cleaned name; an unknown symbol is an error, never a guess.

    Raises:
        ValueError: the name holds a character that is not a symbol.
    """
    return [symbols.index(letter) for letter in name]


def choose_symbols(names: Iterable[str], least_count: int) -> str:
    """The alphabet of names that `normalize_name` gave.

    It has the letters, digits and marks that they hold at least `least_count` times, themselves or
    in other case, what rarer ones fold to if that is as frequent, and `UNKNOWN` for all others.
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
    """How often each letter of names was `folded` (`ö→o`), `unknown` or `dropped`.

    The most frequent first.
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
