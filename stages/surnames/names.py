"""The preprocessed surnames, and names as padded batches."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.surnames.alphabet import encode_name


@dataclass(frozen=True)
class Vocabulary:
    """What indices stand for, and which data they come from."""

    data: str  # official, sample or custom
    symbols: str
    languages: list[str]  # sorted


@dataclass(frozen=True)
class Names:
    """Names of one split, padded on the right with symbol 0."""

    letters: NDArray[np.int64]  # (N, T)
    lengths: NDArray[np.int64]  # (N,)
    languages: NDArray[np.int64]  # (N,)


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read vocabulary.json of a preprocessed folder."""
    return Vocabulary(**json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")))


def read_split(folder: Path, split: Literal["train", "validation", "test"]) -> Names:
    """Read the names of one split of names.npz."""
    with np.load(folder / "names.npz") as arrays:
        letters, lengths = arrays["letters"].astype(np.int64), arrays["lengths"]
        chosen = arrays["splits"] == split
        names = np.split(letters, np.cumsum(lengths)[:-1])
        padded = pad_names([name for name, take in zip(names, chosen, strict=True) if take])
        return Names(padded, lengths[chosen], arrays["languages"][chosen])


def pad_names(names: list[Any]) -> NDArray[np.int64]:
    """Names of different lengths as one array `(N, T)`, T letters of the longest."""
    padded = np.zeros((len(names), max(map(len, names))), dtype=np.int64)
    for row, name in zip(padded, names, strict=True):
        row[: len(name)] = name
    return padded


def batch_names(names: list[str], symbols: str) -> tuple[Tensor, Tensor]:
    """Clean, not empty names as letters `(B, T)` and lengths `(B,)`."""
    encoded = [encode_name(name, symbols) for name in names]
    lengths = torch.tensor([len(name) for name in encoded])
    return torch.from_numpy(pad_names(encoded)), lengths


def decode_names(names: Names, symbols: str) -> list[str]:
    """The names as text."""
    return [
        "".join(symbols[letter] for letter in row[:length])
        for row, length in zip(names.letters, names.lengths, strict=True)
    ]
