"""The training loop, top to bottom: gradient, clip, step, record."""

import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from stages.shared.errors import InputError
from stages.shared.lbfgs import LBFGS
from stages.shared.params import Count, Params, Seed
from stages.shared.reproducible import make_reproducible
from stages.shared.tables import Curves


class TrainingParams(Params):
    """Params that every training has, by updates or in closed form."""

    seed: Seed  # of the weights and the draws
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"


class FitParams(TrainingParams):
    """Params of a training by updates, common to all models."""

    iterations: Count  # updates
    batch: Count  # examples averaged in one update
    optimizer: Literal["sgd", "adam", "adamw"]
    rate: float = Field(gt=0)  # learning rate; its peak if the schedule is one_cycle
    schedule: Literal["constant", "one_cycle"] = "constant"
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: bool = False  # of sgd: 0.9, or with one_cycle from 0.95 to 0.85 and back
    clip_norm: float | None = Field(gt=0)  # of all gradients together; null: never
    log_every: Count = 1  # iterations from one row of the curves to the next
    mean_every: Count | None = None  # iterations that mean_loss averages
    validate_every: Count | None = None  # from one validation_loss to the next; null: never


class Step(NamedTuple):
    """Measurements of an update, made before it changed the weights.

    It has several losses where a kernel makes several updates in one call (surnames/train.py).
    """

    losses: list[float]  # one per update
    gradient_norm: float | None  # of the last: total, before clipping; None: not measured
    outputs: Any  # of the network for the batch, or for its last example

    @property
    def loss(self) -> float:
        """Loss of the last update."""
        return self.losses[-1]


_Batch = TypeVar("_Batch")
Loss = Callable[[_Batch], tuple[Tensor, Tensor]]  # batch -> loss, outputs
# the same, or with a loss that is a number where a kernel has left the gradients in .grad
Objective = Callable[[_Batch], tuple[Tensor | float, Tensor]]
Observer = Callable[[int, _Batch, Step], None]  # called with (iteration from 1, batch, its step)


def prepare_training(params: TrainingParams) -> torch.device:
    """Make training repeatable, and return the device to train on: for `auto` the best available.

    Raises:
        InputError: if this machine has no such device.
    """
    make_reproducible()
    # as use_deterministic_algorithms, which also loads torch's compiler: 2 s, 76 MiB
    torch.set_deterministic_debug_mode("warn")
    torch.manual_seed(params.seed)
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    device: str = params.device
    if device == "auto":
        device = next(name for name, is_there in available.items() if is_there)
    if not available[device]:
        raise InputError(f"device {device} is not available here: set device: cpu in params.yaml")
    return torch.device(device)


def fit(
    objective: Objective[_Batch],
    weights: list[nn.Parameter],
    batches: Iterable[_Batch],
    params: FitParams,
    recorder: "Recorder[_Batch]",
) -> Curves:
    """Train by one update per batch.

    Args:
        objective: returns loss and outputs of a batch. If the loss is a plain number, the objective
            has already written the gradients to `.grad` of the weights, as compiled kernels do.
        weights: changed in place.
        batches: one per update.
        params: optimizer, learning rate and clipping.
        recorder: keeps the losses.

    Raises:
        InputError: if the loss became NaN or infinite.
    """
    optimizer, schedule = _make_optimizer(weights, params)
    for batch in batches:
        loss, outputs = objective(batch)
        if isinstance(loss, Tensor):
            for weight in weights:
                weight.grad = None
            loss.backward()
            loss, outputs = loss.item(), outputs.detach()

        norm = None
        if params.clip_norm:
            norm = float(nn.utils.clip_grad_norm_(weights, params.clip_norm))
        elif (recorder.iteration + 1) % params.log_every == 0:
            # equals the result of clip_grad_norm_, in a fraction of its time
            gradients = [weight.grad.flatten() for weight in weights if weight.grad is not None]
            flat = torch.cat(gradients) if len(gradients) > 1 else gradients[0]
            norm = float(torch.linalg.vector_norm(flat))

        if optimizer:
            optimizer.step()
        else:  # plain SGD; torch.optim takes ten times longer
            for weight in weights:
                if weight.grad is not None:
                    weight.data.add_(weight.grad, alpha=-params.rate)
        if schedule:
            schedule.step()

        recorder.add(batch, Step([loss], norm, outputs))
    return recorder.curves


def _make_optimizer(
    weights: list[nn.Parameter], params: FitParams
) -> tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.OneCycleLR | None]:
    """Return the optimizer, None for plain SGD, and the schedule, None for a constant rate."""
    # fused: one kernel for all weights, and square roots that every processor rounds alike
    rate, decay = params.rate, params.weight_decay
    optimizer: torch.optim.Optimizer
    if params.optimizer == "adam":
        optimizer = torch.optim.Adam(weights, rate, weight_decay=decay, fused=True)
    elif params.optimizer == "adamw":
        optimizer = torch.optim.AdamW(weights, rate, weight_decay=decay, fused=True)
    elif params.momentum or decay or params.schedule != "constant":
        momentum = 0.9 if params.momentum else 0.0
        optimizer = torch.optim.SGD(weights, rate, momentum, weight_decay=decay, fused=True)
    else:
        return None, None
    if params.schedule == "constant":
        return optimizer, None
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=rate,
        total_steps=params.iterations,
        cycle_momentum=params.optimizer != "sgd" or params.momentum,
    )


def fit_lbfgs(
    model: nn.Module,
    loss_of: Loss[_Batch],
    batch: _Batch,
    num_iterations: int,
    recorder: "Recorder[_Batch]",
) -> Curves:
    """Train by L-BFGS on one batch.

    Raises:
        InputError: if the loss became NaN or infinite.
    """
    search = LBFGS(list(model.parameters()), partial(loss_of, batch))
    for _ in range(num_iterations):
        start = search.step()
        recorder.add(batch, Step([start.loss], float(start.gradient.norm()), start.outputs))
    return recorder.curves


class Recorder(Generic[_Batch]):
    """Keeps the curves of a training, and shows its progress bar.

    Args:
        params: number of updates, and how often to record and average.
        name: name of the model, for messages.
        observe: called after every step.
        curves: curves of an earlier phase, to be continued.
        validate: returns the loss of the network on validation. It draws no random numbers, so that
            the weights are the same with and without it.
    """

    def __init__(
        self,
        params: FitParams,
        name: str,
        observe: Observer[_Batch],
        curves: Curves | None = None,
        validate: Callable[[], float] | None = None,
    ) -> None:
        self.params = params
        self.name = name
        self.observe = observe
        self.validate = validate
        self.curves = curves or Curves()
        self.iteration = self.curves.iteration[-1] if self.curves.iteration else 0
        self._last = self.iteration + params.iterations
        self._recent: list[float] = []  # losses since the last mean
        # quiet when the output is no terminal
        self._bar = tqdm(desc=name, total=params.iterations, disable=None, mininterval=0.5)

    def add(self, batch: _Batch, step: Step) -> None:
        """Record a step.

        A step with several updates must end at an iteration at which a row or a mean is recorded.

        Raises:
            InputError: if a loss is NaN or infinite.
        """
        for loss in step.losses:
            self.iteration += 1
            if not math.isfinite(loss):
                raise InputError(
                    f"{self.name}: the loss became {loss} at iteration {self.iteration}: lower "
                    "its rate or set its clip_norm in params.yaml"
                )
        self._bar.update(len(step.losses))
        self.observe(self.iteration, batch, step)

        mean = None
        if self.params.mean_every:
            self._recent.extend(step.losses)
            if self.iteration % self.params.mean_every == 0:
                mean = math.fsum(self._recent) / len(self._recent)
                self._recent.clear()
        validation = None
        every = self.params.validate_every
        if every and self.validate and self.iteration % every == 0:
            validation = self.validate()
        is_recorded = mean is not None or validation is not None
        if self.iteration % self.params.log_every == 0 or is_recorded:
            self._bar.set_postfix(loss=f"{step.loss:.3g}", refresh=False)
            self.curves.iteration.append(self.iteration)
            self.curves.loss.append(step.loss)
            self.curves.gradient_norm.append(step.gradient_norm)
            self.curves.mean_loss.append(mean)
            self.curves.validation_loss.append(validation)
        if self.iteration == self._last:
            self._bar.close()


class Progress:
    """The lines that a training prints: on the terminal with the time, in progress.txt without it.

    The network comes first, as in the walk-throughs.
    """

    def __init__(self, model: nn.Module) -> None:
        self._started = time.monotonic()
        self.lines: list[str] = []
        self.write(["model:", *str(model).splitlines()])

    def write(self, lines: list[str]) -> None:
        """Print lines as they are, and keep them."""
        tqdm.write("\n".join(lines))
        self.lines += lines

    def print(self, line: str, before: str = "") -> None:
        """Print `before`, the time since the start and a line; keep it without the time.

        The time has the format of the walk-through about surnames: `time:    0m 4s`.
        """
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        tqdm.write(f"{before}time: {f'{minutes}m {seconds}s':>8} {line}")
        self.lines.append(before + line)


def write_progress(path: Path, lines: list[str]) -> None:
    """Write progress.txt: no clock, so that the same training gives the same bytes."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
