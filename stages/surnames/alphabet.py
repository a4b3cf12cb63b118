"""From a surname as people write it to symbol indices.

Imports the standard library alone: MLflow serves this very file beside the model.
"""

import string
import unicodedata

SYMBOLS = string.ascii_letters + " .,;'"  # 57 symbols


def clean_name(name: str, symbols: str = SYMBOLS) -> str:
    """Drop accents and whatever is not one of the symbols: `Ślusàrski` -> `Slusarski`."""
    decomposed = unicodedata.normalize("NFD", name)
    return "".join(
        letter
        for letter in decomposed
        if unicodedata.category(letter) != "Mn" and letter in symbols
    )


def encode_name(name: str, symbols: str = SYMBOLS) -> list[int]:
    """Index of each symbol of a cleaned name; an unknown symbol is an error, never a guess.

    Raises:
        ValueError: the name holds a character that is not a symbol.
    """
    return [symbols.index(letter) for letter in name]
