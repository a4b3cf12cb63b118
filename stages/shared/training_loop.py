"""The training loop: batches in, curves out. What an update is, the caller says."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from stages.shared.curves import Curves
from stages.shared.errors import InputError
from stages.shared.lbfgs import LBFGS
from stages.shared.params import Count, Params, Seed
from stages.shared.reproducible import make_reproducible


class Step(NamedTuple):
    """What one update, or several in a row, saw before the weights moved."""

    losses: list[float]  # one an update
    gradient_norm: float | None  # of the last: total, before clipping; None if nobody asked for it
    outputs: Any  # what the network answered to the batch, or to the last

    @property
    def loss(self) -> float:
        """Of the last update."""
        return self.losses[-1]


Batch = TypeVar("Batch")
Update = Callable[[Batch, bool], Step]  # (batch, whether the gradient norm is wanted)
Loss = Callable[[Batch], tuple[Tensor, Tensor]]  # batch -> the loss to lower, and the outputs
# batch -> the loss and the outputs; leaves the gradients in the weights' .grad
Gradient = Callable[[Batch], tuple[float, Tensor]]
Observer = Callable[[int, Batch, Step], None]  # (iteration from 1, batch, what its update saw)


class FitParams(Params):
    """How a network is trained: the fields that all models share."""

    iterations: Count  # updates
    batch: Count  # examples averaged in one update
    optimizer: Literal["sgd", "adam", "adamw"]
    rate: float = Field(gt=0)  # learning rate; its peak if the schedule is one_cycle
    schedule: Literal["constant", "one_cycle"] = "constant"
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: bool = False  # of sgd: 0.9, or with one_cycle from 0.95 to 0.85 and back
    clip_norm: float | None = Field(gt=0)  # of all gradients together; null: never
    seed: Seed  # of the weights and the draws
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    log_every: Count = 1  # iterations from one row of the curves to the next
    mean_every: Count | None = None  # iterations that mean_loss averages


def fit(
    update: Update[Batch],
    batches: Iterable[Batch],
    params: FitParams,
    name: str,
    observe: Observer[Batch],
    curves: Curves | None = None,
) -> Curves:
    """Train: one step a batch, in the order of the batches.

    Args:
        update: makes one update, or several that end where a row or a mean is due.
        batches: for as many updates as params say.
        params: how often to record and average.
        name: of the model, for messages.
        observe: is told of every update.
        curves: earlier curves, which are continued.

    Raises:
        InputError: the loss became NaN or infinite.
    """
    curves = curves or Curves()
    iteration = curves.iteration[-1] if curves.iteration else 0
    recent: list[float] = []
    # quiet when the output is no terminal
    bar = tqdm(desc=name, total=params.iterations, disable=None, mininterval=0.5)
    for batch in batches:
        step = update(batch, (iteration + 1) % params.log_every == 0)
        for loss in step.losses:
            iteration += 1
            check_loss(loss, iteration, name)
        bar.update(len(step.losses))
        observe(iteration, batch, step)

        is_logged = iteration % params.log_every == 0
        recent.extend(step.losses)
        mean = None
        if params.mean_every is None:
            recent.clear()
        elif iteration % params.mean_every == 0:
            mean = math.fsum(recent) / len(recent)
            recent.clear()
        if is_logged or mean is not None:
            bar.set_postfix(loss=f"{step.loss:.3g}", refresh=False)
            curves.iteration.append(iteration)
            curves.loss.append(step.loss)
            curves.gradient_norm.append(step.gradient_norm)
            curves.mean_loss.append(mean)
    bar.close()
    return curves


def check_loss(loss: float, iteration: int, name: str) -> None:
    """Stop a training that has blown up.

    Raises:
        InputError: the loss is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise InputError(
            f"{name}: the loss became {loss} at iteration {iteration}: lower its rate or set "
            "its clip_norm in params.yaml"
        )


def seed_everything(params: FitParams) -> torch.device:
    """Make training repeatable; returns the device to train on."""
    make_reproducible()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.manual_seed(params.seed)
    return find_device(params.device)


def find_device(device: str) -> torch.device:
    """The device of that name, or the best there is for `auto`.

    Raises:
        InputError: this machine has no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        device = next(name for name, is_there in available.items() if is_there)
    if not available[device]:
        raise InputError(f"device {device} is not available here: set device: cpu in params.yaml")
    return torch.device(device)


def make_update(model: nn.Module, loss_of: Loss[Batch], params: FitParams) -> Update[Batch]:
    """An update by automatic differentiation and the optimizer of the params."""

    def differentiate(batch: Batch) -> tuple[float, Tensor]:
        model.zero_grad(set_to_none=True)
        loss, outputs = loss_of(batch)
        loss.backward()
        return loss.item(), outputs.detach()

    return make_update_by(differentiate, list(model.parameters()), params)


def make_update_by(
    differentiate: Gradient[Batch], weights: list[nn.Parameter], params: FitParams
) -> Update[Batch]:
    """An update by any gradient and the optimizer of the params."""
    move = _make_mover(weights, params)

    def update(batch: Batch, watched: bool) -> Step:
        loss, outputs = differentiate(batch)
        norm = None
        if params.clip_norm:
            norm = float(nn.utils.clip_grad_norm_(weights, params.clip_norm))
        elif watched:
            norm = measure_gradient(weights)
        move()
        return Step([loss], norm, outputs)

    return update


def measure_gradient(weights: list[nn.Parameter]) -> float:
    """Total norm, as `clip_grad_norm_` gives it, for a fraction of its time."""
    gradients = [weight.grad.flatten() for weight in weights if weight.grad is not None]
    flat = torch.cat(gradients) if len(gradients) > 1 else gradients[0]
    return float(torch.linalg.vector_norm(flat))


def _make_mover(weights: list[nn.Parameter], params: FitParams) -> Callable[[], None]:
    """What moves the weights down their gradients, as optimizer and schedule say."""
    is_decorated = params.momentum or params.weight_decay or params.schedule != "constant"
    if params.optimizer == "sgd" and not is_decorated:
        return partial(_descend, weights, params.rate)
    optimizer = _make_optimizer(weights, params)
    schedule = _make_schedule(optimizer, params)

    def move() -> None:
        optimizer.step()
        if schedule:
            schedule.step()

    return move


def _descend(weights: list[nn.Parameter], rate: float) -> None:
    """Plain SGD; what torch.optim does around it takes ten times longer."""
    for weight in weights:
        if weight.grad is not None:
            weight.data.add_(weight.grad, alpha=-rate)


def _make_optimizer(weights: list[nn.Parameter], params: FitParams) -> torch.optim.Optimizer:
    # fused: one kernel for all weights, and square roots that every processor rounds alike
    rate, decay = params.rate, params.weight_decay
    if params.optimizer == "sgd":
        momentum = 0.9 if params.momentum else 0.0
        return torch.optim.SGD(weights, rate, momentum, weight_decay=decay, fused=True)
    if params.optimizer == "adam":
        return torch.optim.Adam(weights, rate, weight_decay=decay, fused=True)
    return torch.optim.AdamW(weights, rate, weight_decay=decay, fused=True)


def _make_schedule(
    optimizer: torch.optim.Optimizer, params: FitParams
) -> torch.optim.lr_scheduler.OneCycleLR | None:
    if params.schedule == "constant":
        return None
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=params.rate,
        total_steps=params.iterations,
        cycle_momentum=params.optimizer != "sgd" or params.momentum,
    )


def make_lbfgs_update(model: nn.Module, loss_of: Loss[Batch], batch: Batch) -> Update[Batch]:
    """An update by one iteration of L-BFGS, always on the same batch."""
    search = LBFGS(list(model.parameters()), partial(loss_of, batch))

    def update(batch: Batch, watched: bool) -> Step:
        start = search.step()
        return Step([start.loss], float(start.gradient.norm()), start.outputs)

    return update
