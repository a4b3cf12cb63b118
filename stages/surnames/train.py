"""Train one classifier: data/preprocessed/surnames/ -> data/trained/<model>/.

Run by DVC as `python stages/run.py launch surnames.train MODEL SURNAMES OUT`, which calls `main`
here or on a Ray cluster; without `launch` it always trains here.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from stages.shared.checkpoints import build_network, write_model
from stages.shared.command import run_as_command
from stages.shared.model_config import ModelConfig, write_times
from stages.shared.params import Count, Name, read_params
from stages.shared.reproducible import describe_processor
from stages.shared.tables import Curves, write_curves
from stages.shared.training_loop import (
    FitParams,
    Progress,
    Recorder,
    Step,
    fit,
    prepare_training,
    write_progress,
)
from stages.surnames.alphabet import clean_name, encode_name
from stages.surnames.names import (
    PUBLISHED_QUERIES,
    Names,
    Vocabulary,
    decode_name,
    format_answer,
    read_splits,
    read_vocabulary,
)

_Batch = tuple[Tensor, Tensor, Tensor]  # letters (B, T), lengths (B,), languages (B,)

_PRINT_EVERY = 100  # iterations between two progress lines, where mean_every sets no other number
_CHUNK = 256  # names of validation in one call
_PLAIN_SGD = {
    "optimizer": "sgd",
    "schedule": "constant",
    "weight_decay": 0.0,
    "momentum": False,
    "clip_norm": None,
    "label_smoothing": 0.0,
    "device": "cpu",
}
_BY_HAND: dict[str, Any] = {"architecture": "elman_classifier", "batch": 1, **_PLAIN_SGD}
_COUNTING: dict[str, Any] = {
    "architecture": "markov_classifier",
    "sampling": "epochs",
    "epochs": 1,
    "sorted_batches": 1,
    "balance": 0.0,
    "rate": 1.0,
    **_PLAIN_SGD,
    "gradient": "counting",
}


class ClassifierParams(FitParams):
    """One entry of section `classifiers` in params.yaml."""

    architecture: Name  # module in stages/models/
    network: dict[str, Any]  # arguments of its class, without those that the data give
    iterations: int = Field(default=0, ge=0, le=10**7)  # updates, or in place of them
    epochs: float | None = Field(
        default=None, gt=0, le=10**6
    )  # draws of as many names as there are
    sampling: Literal["independent", "epochs"]  # with replacement, or every name in turn
    balance: float = Field(ge=0, le=1)  # a name weighs prior^-balance; 1: languages are equal
    sorted_batches: Count = 1  # batches drawn together and sorted by length
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)  # share of the target spread evenly
    gradient: Literal["autograd", "by_hand", "counting"] = "autograd"

    def count_iterations(self, num_names: int) -> "ClassifierParams":
        """Return the params with the iterations for their epochs over so many names."""
        if self.epochs is None:
            return self
        exact = self.epochs * num_names / self.batch
        iterations = math.ceil(exact) if self.gradient == "counting" else max(2, round(exact))
        return self.model_copy(update={"iterations": iterations})

    @model_validator(mode="after")
    def _check_iterations(self) -> "ClassifierParams":
        if bool(self.iterations) == bool(self.epochs):
            raise ValueError("it needs either iterations or epochs")
        return self

    @model_validator(mode="after")
    def _check_gradient(self) -> "ClassifierParams":
        if self.gradient == "by_hand":
            needed = _BY_HAND
            reason = "gradient by_hand knows only plain sgd of elman_classifier, one name at a time"
        elif self.gradient == "counting" or self.architecture == "markov_classifier":
            needed = _COUNTING
            reason = "markov_classifier counts each name once, without an optimizer"
        else:
            return self
        for name, value in needed.items():
            if getattr(self, name) != value:
                raise ValueError(f"{reason}: {name} must be {value}")
        return self


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    model: nn.Module
    config: ModelConfig
    curves: Curves
    progress: list[str]  # lines that were printed


def main(name: str, surnames: str, out: str) -> None:
    """Write the files of one model."""
    started = datetime.now(UTC)
    params = read_params(f"classifiers.{name}", ClassifierParams)
    splits, vocabulary = read_splits(Path(surnames)), read_vocabulary(Path(surnames))
    trained = train(params, splits.train, vocabulary, name, validation=splits.validation)
    folder = Path(out)
    write_model(folder, trained.config, trained.model)
    write_curves(folder / "curves.csv", trained.curves)
    write_progress(folder / "progress.txt", trained.progress)
    write_times(folder, started, describe_processor())


def train(
    params: ClassifierParams,
    names: Names,
    vocabulary: Vocabulary,
    name: str,
    start: Callable[[nn.Module], None] | None = None,
    validation: Names | None = None,
) -> Trained:
    """Train a classifier; the same params and names give the same result.

    Args:
        params: entry of the model in params.yaml.
        names: the training split.
        vocabulary: symbols and languages.
        name: name of the model, for messages.
        start: changes the first weights in place, to measure their influence on the result.
        validation: names for the validation loss, where the params ask for it.

    Raises:
        InputError: if the network does not fit the params, or the loss is not finite.
    """
    device = prepare_training(params)
    params = params.count_iterations(len(names.lengths))
    network = _complete_network(params, names, vocabulary, device, name)
    model = build_network(params.architecture, network, f"params.yaml: classifiers.{name}")
    model.to(device)
    if start:
        start(model)
    batches = make_batches(params, names, device)
    progress = Progress(model)

    def measure_loss(batch: _Batch) -> tuple[Tensor, Tensor]:
        letters, lengths, languages = batch
        log_probabilities = model(letters, lengths)
        # on log-probabilities cross-entropy is the negative log-likelihood, and it can smooth
        loss = nn.functional.cross_entropy(
            log_probabilities, languages, label_smoothing=params.label_smoothing
        )
        return loss, log_probabilities

    def print_progress(iteration: int, batch: _Batch, step: Step) -> None:
        if iteration % (params.mean_every or _PRINT_EVERY) == 0:
            progress.print(format_progress(batch, step, vocabulary), f"Iter: {iteration:<7} ")

    validate = None
    if validation:
        validate = partial(_measure_loss, model, validation, params, device)
    recorder = Recorder(params, name, print_progress, validate=validate)
    if params.gradient == "autograd":
        fit(measure_loss, list(model.parameters()), batches, params, recorder)
    else:
        for batch in batches:
            if params.gradient == "by_hand":
                step = update_by_hand(model, params.rate, batch)
            else:
                step = _count_names(model, batch)
            recorder.add(batch, step)
    if vocabulary.data in ("official", "sample"):
        progress.write([*_ask(model, PUBLISHED_QUERIES, vocabulary, device)])
    config = ModelConfig("surnames", params.architecture, network)
    return Trained(model, config, recorder.curves, progress.lines)


def _complete_network(
    params: ClassifierParams, names: Names, vocabulary: Vocabulary, device: torch.device, name: str
) -> dict[str, Any]:
    """Return the arguments of the network with those that follow from the data."""
    network = {
        "num_letters": len(vocabulary.symbols),
        "num_languages": len(vocabulary.languages),
        **params.network,
    }
    if params.gradient == "counting":
        where = f"params.yaml: classifiers.{name}"
        counter: Any = build_network(params.architecture, network | {"num_ngrams": 1}, where)
        needed = counter.count_ngrams(make_batches(params, names, device))
        network["num_ngrams"] = max(network.get("num_ngrams", 1), needed)
    return network


def make_batches(params: ClassifierParams, names: Names, device: torch.device) -> Iterator[_Batch]:
    """Yield one batch per step, cut to the length of its longest name."""
    draws = sort_batches(draw_names(params, names.languages), names.lengths, params).ravel()
    letters = torch.from_numpy(names.letters).to(device)
    lengths = torch.from_numpy(names.lengths).to(device)
    languages = torch.from_numpy(names.languages).to(device)
    size = params.batch
    if params.gradient == "counting":
        draws = draws[: len(names.lengths)]  # each name once
    if params.gradient == "by_hand":  # several updates, until a row or a printed line may be due
        due = (params.log_every, params.mean_every or _PRINT_EVERY, params.validate_every or 0)
        size = math.gcd(*due)
    for start in range(0, len(draws), size):
        chosen = draws[start : start + size]
        longest = names.lengths[chosen].max()
        rows = torch.from_numpy(chosen).to(device)
        yield letters[rows, :longest].long(), lengths[rows], languages[rows]


def draw_names(params: ClassifierParams, languages: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw the indices of the training names, in order: `(iterations * batch,)`.

    The weight of a name is prior(its language)^-balance: with a balance of 1 a language is drawn
    uniformly, then one of its names uniformly.
    """
    generator = np.random.default_rng(params.seed)
    weights = np.bincount(languages)[languages] ** -params.balance
    weights /= weights.sum()
    total = params.iterations * params.batch
    if params.sampling == "independent":
        return generator.choice(len(languages), size=total, p=weights)
    epochs: list[NDArray[np.int64]] = []
    while len(epochs) * len(languages) < total:
        epochs.append(resample_systematically(weights, generator))
    return np.concatenate(epochs)[:total]


def resample_systematically(
    weights: NDArray[np.floating], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw N of N examples in proportion to their weights, in random order.

    Systematic resampling (Madow, 1949; particle filters call it low-variance resampling): the
    weights `(N,)`, whose sum is 1, lie end to end on a line, and equally spaced points with one
    random offset choose the examples. An example with an expected number of n is drawn ⌊n⌋ or ⌈n⌉
    times, with less variance than independent draws.
    """
    expected = weights * len(weights)
    edges = np.cumsum(weights) * len(weights) + generator.random()
    before = np.floor(edges[0] - expected[0])
    times = np.diff(np.floor(edges), prepend=before).astype(np.int64)
    return generator.permutation(np.repeat(np.arange(len(weights)), times))


def sort_batches(
    draws: NDArray[np.int64], lengths: NDArray[np.int64], params: ClassifierParams
) -> NDArray[np.int64]:
    """Put names of similar length into one batch, to save padding.

    Drawn indices of names `(iterations * batch,)` -> `(iterations, batch)`.
    """
    batches = draws.reshape(-1, params.batch)
    if params.sorted_batches == 1:
        return batches
    generator = np.random.default_rng(params.seed)
    pools = []
    for start in range(0, len(batches), params.sorted_batches):
        pool = batches[start : start + params.sorted_batches]
        flat = pool.ravel()
        ordered = flat[np.argsort(lengths[flat], kind="stable")].reshape(pool.shape)
        pools.append(generator.permutation(ordered))
    return np.concatenate(pools)


def update_by_hand(model: nn.Module, rate: float, batch: _Batch) -> Step:
    """Update an ElmanClassifier for each name of a batch in turn, by plain SGD."""
    from stages.shared.kernels import train_names  # numba is loaded only where it is needed

    weights = tuple(weight.detach().numpy() for weight in model.parameters())
    letters, lengths, languages = (part.numpy() for part in batch)
    losses = np.empty(len(lengths))
    logits = np.empty_like(weights[-1])
    norm = train_names(letters, lengths, languages, weights, rate, losses, logits)
    return Step(losses.tolist(), norm, torch.from_numpy(logits).unsqueeze(0))


def _count_names(model: Any, batch: _Batch) -> Step:
    """Measure the loss of a batch, then count its names in a MarkovClassifier."""
    log_probabilities = model(batch[0], batch[1])
    loss = nn.functional.nll_loss(log_probabilities, batch[2])
    model.count(*batch)
    return Step([loss.item()], None, log_probabilities)


@torch.no_grad()
def _measure_loss(
    model: nn.Module, names: Names, params: ClassifierParams, device: torch.device
) -> float:
    """Return the mean loss of names, with their weights in training; nothing is drawn."""
    weights = np.bincount(names.languages)[names.languages] ** -params.balance
    losses = np.empty(len(weights))
    model.eval()
    for rows in np.array_split(np.argsort(names.lengths), math.ceil(len(weights) / _CHUNK)):
        letters = names.letters[rows, : names.lengths[rows].max()]
        log_probabilities = model(
            torch.from_numpy(letters).to(device).long(),
            torch.from_numpy(names.lengths[rows]).to(device),
        )
        losses[rows] = nn.functional.cross_entropy(
            log_probabilities,
            torch.from_numpy(names.languages[rows]).to(device),
            label_smoothing=params.label_smoothing,
            reduction="none",
        ).cpu()
    model.train()
    return float(np.average(losses, weights=weights))


def format_progress(batch: _Batch, step: Step, vocabulary: Vocabulary) -> str:
    """Format the line of the walk-through after the time: loss, last name, prediction, ✓ or ✗."""
    letters, lengths, languages = batch
    name = decode_name(letters[-1, : lengths[-1]].tolist(), vocabulary.symbols)
    prediction = vocabulary.languages[int(step.outputs[-1].argmax())]
    target = vocabulary.languages[int(languages[-1])]
    mark = "✓" if prediction == target else f"✗ ({target})"
    return f"loss: {step.loss:.4f} name: {name:>10} pred: {prediction:>8} label: {mark:>8}"


@torch.no_grad()
def _ask(
    model: nn.Module, names: Sequence[str], vocabulary: Vocabulary, device: torch.device
) -> Iterator[str]:
    """Yield the walk-through's lines about the three most probable languages of each name."""
    model.eval()
    for name in names:
        encoded = encode_name(clean_name(name, vocabulary.symbols), vocabulary.symbols)
        letters = torch.tensor([encoded], device=device)
        answer = model(letters, torch.tensor([len(encoded)], device=device))[0]
        best = answer.sort(descending=True, stable=True)
        languages = [vocabulary.languages[index] for index in best.indices[:3].tolist()]
        yield from format_answer(name, zip(best.values.tolist(), languages, strict=False))


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
