"""Train one surname classifier: data/preprocessed/surnames/ -> data/trained/<model>/.

Run by DVC as `python -m stages.surnames.train MODEL SURNAMES OUT`.
"""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from stages.shared.bundle import Curves, Sizes, build_network, write_bundle, write_times
from stages.shared.errors import exit_on_input_error
from stages.shared.fit import FitParams, fit, make_update, seed_everything
from stages.shared.params import read_params
from stages.surnames.names import (
    Names,
    Vocabulary,
    decode_names,
    read_split,
    read_vocabulary,
)

Batch = tuple[Tensor, Tensor, Tensor]  # letters (B, T), lengths (B,), languages (B,)


class SurnameParams(FitParams):
    """One entry of section `surnames` in params.yaml."""

    architecture: str  # module in stages/models/
    network: dict[str, Any]  # arguments of its class, without those that the data give
    sampling: Literal["independent", "epochs"]  # each draw anew, or every name in turn
    balance: float = Field(ge=0, le=1)  # a name weighs prior^-balance; 1: languages are equal
    sorted_batches: int = Field(default=1, gt=0)  # batches drawn together and sorted by length
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    gradient: Literal["autograd", "by_hand"] = "autograd"
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _by_hand_is_plain_sgd(self) -> "SurnameParams":
        plain = (self.optimizer, self.schedule, self.batch) == ("sgd", "constant", 1)
        extras = (self.weight_decay, self.momentum, self.clip_norm, self.label_smoothing)
        here = (self.architecture, self.device, self.precision)
        known = plain and not any(extras) and here == ("elman_classifier", "cpu", "float32")
        if self.gradient == "by_hand" and not known:
            raise ValueError(
                "gradient by_hand knows only plain sgd, batch 1, elman_classifier in float32 on "
                "the cpu"
            )
        return self


def draw_names(params: SurnameParams, languages: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which names training sees, in order: `(iterations * batch,)`.

    A name's weight is prior(its language)^-balance, so that with a balance of 1 a language is
    drawn uniformly and then a name of it uniformly.
    """
    generator = np.random.default_rng(params.seed)
    weights = np.bincount(languages)[languages] ** -params.balance
    weights /= weights.sum()
    total = params.iterations * params.batch
    if params.sampling == "independent":
        return generator.choice(len(languages), size=total, p=weights)
    num_epochs = -(-total // len(languages))
    return np.concatenate([_draw_epoch(weights, generator) for _ in range(num_epochs)])[:total]


def _draw_epoch(weights: NDArray[Any], generator: np.random.Generator) -> NDArray[np.int64]:
    """Each name as often as it is expected, in random order: `(N,)`."""
    edges = np.cumsum(weights) * len(weights) + generator.random()
    times = np.diff(np.floor(edges), prepend=np.floor(edges[0] - weights[0] * len(weights)))
    epoch = np.repeat(np.arange(len(weights)), times.astype(np.int64))
    return generator.permutation(epoch)


def sort_batches(
    draws: NDArray[np.int64], lengths: NDArray[np.int64], params: SurnameParams
) -> NDArray[np.int64]:
    """Put names of like length into one batch, which leaves less padding to compute.

    Args:
        draws: `(iterations * batch,)` names in the order of the draws.
        lengths: `(N,)` letters of each name.
        params: batch, and how many batches are drawn together.

    Returns:
        `(iterations, batch)`.
    """
    generator = np.random.default_rng(params.seed)
    batches = draws.reshape(-1, params.batch)
    if params.sorted_batches == 1:
        return batches
    cuts = range(params.sorted_batches, len(batches), params.sorted_batches)
    pools = np.array_split(batches, cuts)
    for pool in pools:
        flat = pool.ravel()
        ordered = flat[np.argsort(lengths[flat], kind="stable")].reshape(pool.shape)
        pool[...] = generator.permutation(ordered)
    return np.concatenate(pools)


def make_batches(params: SurnameParams, names: Names, device: torch.device) -> Iterator[Batch]:
    """One batch an update, cut to the letters of its longest name."""
    chosen = sort_batches(draw_names(params, names.languages), names.lengths, params)
    letters, lengths, languages = (
        torch.from_numpy(values).to(device)
        for values in (names.letters, names.lengths, names.languages)
    )
    longest = names.lengths[chosen].max(axis=1).tolist()
    for rows, length in zip(torch.from_numpy(chosen).to(device), longest, strict=True):
        yield letters[rows, :length], lengths[rows], languages[rows]


def make_loss(model: nn.Module, params: SurnameParams) -> Callable[[Batch], Tensor]:
    """Negative log-likelihood, in the precision of the params."""
    device = next(model.parameters()).device.type
    half = params.precision == "bfloat16"

    def loss_of(batch: Batch) -> Tensor:
        letters, lengths, languages = batch
        with torch.autocast(device, torch.bfloat16, enabled=half):
            log_odds = model(letters, lengths)  # (B, L)
        # on log-probabilities cross-entropy is the negative log-likelihood, and it can smooth
        return nn.functional.cross_entropy(
            log_odds.float(), languages, label_smoothing=params.label_smoothing
        )

    return loss_of


def train(
    params: SurnameParams,
    names: Names,
    vocabulary: Vocabulary,
    name: str,
) -> tuple[nn.Module, dict[str, Any], Curves]:
    """Train a classifier; the same params and names give the same result.

    Args:
        params: how.
        names: the training split.
        vocabulary: symbols and languages.
        name: of the model, for messages.

    Returns:
        the network, the arguments that build it, and the curves.

    Raises:
        InputError: params that fit no network, or a loss that is not finite.
    """
    device = seed_everything(params)
    network = {
        "num_letters": len(vocabulary.symbols),
        "num_languages": len(vocabulary.languages),
        **params.network,
    }
    model = build_network(params.architecture, network, f"params.yaml: surnames.{name}").to(device)
    update = (
        model.make_update_by_hand(params.rate)
        if params.gradient == "by_hand"
        else make_update(model, make_loss(model, params), params)
    )
    batches = make_batches(params, names, device)
    report = Report(model, names, vocabulary)
    return model, network, fit(update, batches, params, name, report)


class Report:
    """The walk-through's progress line: iteration, time, loss, a name, the guess, ✓ or ✗."""

    def __init__(self, model: nn.Module, names: Names, vocabulary: Vocabulary) -> None:
        self.model, self.names, self.vocabulary = model, names, vocabulary
        self.started = time.monotonic()

    @torch.no_grad()
    def __call__(self, iteration: int, loss: float) -> str:
        """The line of one iteration, about one name of the training split."""
        row = slice(iteration % len(self.names.lengths), iteration % len(self.names.lengths) + 1)
        one = Names(self.names.letters[row], self.names.lengths[row], self.names.languages[row])
        device = next(self.model.parameters()).device
        letters, lengths = (torch.from_numpy(v).to(device) for v in (one.letters, one.lengths))
        self.model.eval()  # dropout would blur the guess, and its draws change the training
        guess = self.vocabulary.languages[int(self.model(letters, lengths).argmax())]
        self.model.train()
        truth = self.vocabulary.languages[one.languages[0]]
        verdict = "✓" if guess == truth else f"✗ ({truth})"
        text = decode_names(one, self.vocabulary.symbols)[0]
        seconds = time.monotonic() - self.started
        return f"{iteration:>7}  {seconds:6.1f} s  {loss:.4f}  {text} / {guess} {verdict}"


def main(name: str, surnames: str, out: str) -> None:
    """Write the bundle of one model."""
    started = datetime.now(UTC)
    params = read_params(f"surnames.{name}", SurnameParams)
    folder = Path(surnames)
    names, vocabulary = read_split(folder, "train"), read_vocabulary(folder)
    model, network, curves = train(params, names, vocabulary, name)
    write_bundle(Path(out), Sizes("surnames", params.architecture, network), model, curves)
    write_times(Path(out), started)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
