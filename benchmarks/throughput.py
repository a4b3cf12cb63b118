"""Section `throughput`: our training step beside the bare PyTorch loop of the same network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.clock import alternate
from benchmarks.data import Bench, make_windows
from benchmarks.table import Row, at_least
from stages.models.pooled_classifier import PooledClassifier
from stages.models.sequence_forecaster import SequenceForecaster
from stages.shared.fit import FitParams, fit, make_update
from stages.shared.params import read_params
from stages.sine.train import OneStepLoss, SineParams, draw_windows
from stages.surnames.train import SurnameParams, make_batches, make_loss

UPDATES = {32: 100, 128: 50, 512: 10}  # H -> updates in one timing, a fraction of a second
TURNS = 4  # timings for each one of other sections: the ratio is near 1, so it must be fine
LEAST_SHARE = 0.95  # of the speed of the bare loop
WARM_UP = 5  # updates

Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class Contest:
    """One network, and the loss of a batch as our stage and as a bare loop computes it."""

    title: str
    unit: str  # of what a batch holds
    size: int  # units in all batches
    model: nn.Module
    batches: list[Batch]
    params: FitParams
    our_loss: Callable[[Batch], Tensor]
    bare_loss: Callable[[Batch], Tensor]


def measure(bench: Bench) -> list[Row]:
    """One row for each task and size."""
    contests = [
        make(hidden, bench) for make in (pit_classifier, pit_forecaster) for hidden in UPDATES
    ]
    return [compare(contest, bench) for contest in contests]


def pit_classifier(hidden: int, bench: Bench) -> Contest:
    """Network, batches and optimizer of `surname_fast`, at another H."""
    entry = read_params("surnames.surname_fast", SurnameParams)
    params = entry.model_copy(update=list_changes(hidden, bench))
    batches = list(make_batches(params, bench.splits["train"], torch.device("cpu")))
    model = PooledClassifier(
        len(bench.vocabulary.symbols),
        len(bench.vocabulary.languages),
        **{**params.network, "hidden": hidden},
    )

    def bare_loss(batch: Batch) -> Tensor:
        letters, lengths, languages = batch
        return nn.functional.nll_loss(model(letters, lengths), languages)

    title = f"step of surname_fast, H = {hidden}, batch {params.batch}"
    letters = sum(int(lengths.sum()) for _, lengths, _ in batches)
    our_loss = make_loss(model, params)
    return Contest(title, "letters/s", letters, model, batches, params, our_loss, bare_loss)


def pit_forecaster(hidden: int, bench: Bench) -> Contest:
    """Network, series and optimizer of `carried_rnn`, at another H and in batches."""
    entry = read_params("sine.carried_rnn", SineParams)
    batched = {"batch": 16, "carry_state": False}
    params = entry.model_copy(update=list_changes(hidden, bench) | batched)
    windows = make_windows(params.series)
    inputs, targets = (torch.from_numpy(windows[key]) for key in ("inputs", "targets"))
    chosen = torch.from_numpy(draw_windows(params, len(inputs)))
    batches = [(inputs[rows], targets[rows]) for rows in chosen]
    model = SequenceForecaster(**{**params.network, "hidden": hidden})

    def bare_loss(batch: Batch) -> Tensor:
        inputs, targets = batch
        return nn.functional.mse_loss(model(inputs)[0], targets)

    title = f"step of carried_rnn, H = {hidden}, batch {params.batch}"
    steps = sum(inputs.numel() for inputs, _ in batches)
    our_loss = OneStepLoss(model, carry_state=False)
    return Contest(title, "time steps/s", steps, model, batches, params, our_loss, bare_loss)


def list_changes(hidden: int, bench: Bench) -> dict[str, Any]:
    """As many updates as can be timed at this H, and the constant rate of the bare loop."""
    num_updates = UPDATES[hidden] // (2 if bench.quick else 1)
    return {"iterations": num_updates, "schedule": "constant", "print_every": None}


def run_ours(contest: Contest, num_updates: int) -> None:
    """The training loop of the stages, with its curves."""
    update = make_update(contest.model, contest.our_loss, contest.params)
    fit(update, islice(contest.batches, num_updates), contest.params, contest.title)


def run_bare(contest: Contest, num_updates: int) -> None:
    """The least that PyTorch needs: nothing is recorded."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    params = contest.params
    optimizer = kinds[params.optimizer](contest.model.parameters(), lr=params.rate)
    for batch in islice(contest.batches, num_updates):
        optimizer.zero_grad()
        loss = contest.bare_loss(batch)
        loss.backward()
        optimizer.step()


def compare(contest: Contest, bench: Bench) -> Row:
    """Units a second of both, and the share that ours reaches."""
    for run in (run_ours, run_bare):
        run(contest, WARM_UP)
    runs = (partial(run, contest, len(contest.batches)) for run in (run_ours, run_bare))
    pairs = alternate(*runs, TURNS * bench.repeats)
    ours, bare = (contest.size / median(column) for column in zip(*pairs, strict=True))
    shares = [its / mine for mine, its in pairs]
    return Row(
        contest.title,
        f"{ours:,.0f} {contest.unit}",
        f"{bare:,.0f} {contest.unit} (bare loop)",
        shares,
        goals=[at_least("ratio", median(shares), LEAST_SHARE)],
    )
