"""surname_rnn, literally: a recurrent cell written by hand that names a surname's language.

Literal: three linear layers and tanh instead of `nn.RNN`, a Python loop over the letters, one
one-hot vector a letter, head and log-softmax after each of them though the last answer alone is
used, names of any length without padding, batch 1, SGD written by hand; for each update a language
is drawn uniformly, then a name of it uniformly, from all lines of its file.
Not copied: the language order of an unsorted file listing, a prediction that skips the clean-up,
and the progress that is printed on the way.
"""

import random
import string
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

SYMBOLS = string.ascii_letters + " .,;'"
HIDDEN = 128
NUM_LANGUAGES = 18
LEARNING_RATE = 0.005


class SurnameRNN(nn.Module):
    """One step of the network: h = tanh(u(x) + w(h)), log-softmax of v(h)."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Linear(len(SYMBOLS), HIDDEN)
        self.w = nn.Linear(HIDDEN, HIDDEN)
        self.v = nn.Linear(HIDDEN, NUM_LANGUAGES)

    def forward(self, letter: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(1, 57) one-hot letter and (1, H) state -> (1, 18) log-probabilities, the next state."""
        hidden = torch.tanh(self.u(letter) + self.w(hidden))
        return nn.functional.log_softmax(self.v(hidden), dim=1), hidden


class Trained(NamedTuple):
    """What training leaves behind; losses have one entry per update."""

    model: SurnameRNN
    losses: list[float]


def clean_name(name: str) -> str:
    """Drop accents and whatever is not one of the 57 symbols."""
    return "".join(
        symbol
        for symbol in unicodedata.normalize("NFD", name)
        if unicodedata.category(symbol) != "Mn" and symbol in SYMBOLS
    )


def read_names(folder: Path) -> dict[str, list[str]]:
    """Cleaned names by language, duplicates included: one file a language, one line a name."""
    names = {}
    for path in sorted(folder.glob("*.txt")):
        lines = path.read_text(encoding="utf-8").strip().split("\n")
        names[path.stem] = [clean_name(line) for line in lines]
    return names


def draw_names(
    names: Mapping[str, Sequence[str]], num_updates: int, seed: int = 1
) -> list[tuple[str, int]]:
    """A name and the index of its language for each update: the language first, then the name."""
    generator = random.Random(seed)
    languages = list(names)
    draws = []
    for _ in range(num_updates):
        language = generator.choice(languages)
        name = generator.choice(names[language])
        draws.append((name, languages.index(language)))
    return draws


def encode_name(name: str) -> Tensor:
    """A cleaned name as (T, 1, 57) one-hot letters."""
    letters = torch.zeros(len(name), 1, len(SYMBOLS))
    for position, symbol in enumerate(name):
        letters[position][0][SYMBOLS.index(symbol)] = 1
    return letters


def read_name(model: SurnameRNN, letters: Tensor) -> Tensor:
    """(T, 1, 57) one-hot letters, T > 0 -> (1, 18) log-probabilities after the last one."""
    hidden = torch.zeros(1, HIDDEN)
    for letter in letters:
        output, hidden = model(letter, hidden)
    answer: Tensor = output
    return answer


def train(
    num_updates: int,
    draws: Sequence[tuple[str, int]],
    initial: dict[str, Tensor] | None = None,
    seed: int = 1,
) -> Trained:
    """Train on one name per update; `draws` are (cleaned name, language index) pairs."""
    torch.manual_seed(seed)
    model = SurnameRNN()
    if initial is not None:
        model.load_state_dict(initial)
    criterion = nn.NLLLoss()

    losses = []
    for iteration in range(num_updates):
        name, language = draws[iteration]
        output = read_name(model, encode_name(name))
        loss = criterion(output, torch.tensor([language]))

        model.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            assert parameter.grad is not None  # each of them reaches the loss
            parameter.data.add_(parameter.grad.data, alpha=-LEARNING_RATE)

        losses.append(loss.item())
    return Trained(model, losses)


@torch.no_grad()
def log_probabilities(model: SurnameRNN, name: str) -> Tensor:
    """(18,) log-probabilities of the languages, for a name as people type it."""
    return read_name(model, encode_name(clean_name(name)))[0]
