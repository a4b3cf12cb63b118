"""The training loop: batches in, curves out. What an update is, the caller says."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from stages.shared.bundle import Curves
from stages.shared.errors import InputError
from stages.shared.params import Params
from stages.shared.threads import use_one_thread

Batch = TypeVar("Batch")
# One training step: (batch, whether the gradient norm is wanted) -> (loss, gradient norm).
Update = Callable[[Batch, bool], tuple[float, float | None]]


class FitParams(Params):
    """How a network is trained: the fields that all models share."""

    iterations: int = Field(gt=0)  # updates
    batch: int = Field(gt=0)  # examples averaged in one update
    optimizer: Literal["sgd", "adam", "adamw"]
    rate: float = Field(gt=0)  # learning rate; its peak if the schedule is one_cycle
    schedule: Literal["constant", "one_cycle"] = "constant"
    weight_decay: float = Field(default=0.0, ge=0)
    fused: bool = True  # update all weights in one kernel: faster, and equal but for rounding
    momentum: bool = False  # of sgd: 0.9, or with one_cycle from 0.95 to 0.85 and back
    clip_norm: float | None = Field(gt=0)  # of all gradients together; null: never
    seed: int = Field(ge=0)  # of the weights and the draws
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"
    log_every: int = Field(default=1, gt=0)  # iterations from one row of the curves to the next
    mean_every: int | None = Field(default=None, gt=0)  # iterations that mean_loss averages
    print_every: int | None = Field(default=None, gt=0)  # iterations between printed lines


def fit(
    update: Update[Batch],
    batches: Iterable[Batch],
    params: FitParams,
    name: str,
    report: Callable[[int, float], str] | None = None,
    curves: Curves | None = None,
    first: int = 1,
) -> Curves:
    """Train: one update a batch, in the order of the batches.

    Args:
        update: makes one training step.
        batches: as many as there are to be updates.
        params: how often to record, average and print.
        name: of the model, for messages.
        report: what to print at an iteration, given it and its loss.
        curves: earlier curves to continue.
        first: number of the first iteration.

    Raises:
        InputError: the loss became NaN or infinite.
    """
    curves = curves or Curves()
    recent: list[float] = []
    # quiet when the output is no terminal
    bar = tqdm(batches, desc=name, total=params.iterations, disable=None, mininterval=0.5)
    for iteration, batch in enumerate(bar, start=first):
        logged = iteration % params.log_every == 0
        loss, gradient_norm = update(batch, logged)
        if not math.isfinite(loss):
            raise InputError(
                f"{name}: the loss became {loss} at iteration {iteration}: lower its rate or set "
                "its clip_norm in params.yaml"
            )
        recent.append(loss)
        averaged = params.mean_every is not None and iteration % params.mean_every == 0
        if logged or averaged:
            bar.set_postfix(loss=f"{loss:.3g}", refresh=False)
            curves.iteration.append(iteration)
            curves.loss.append(loss)
            curves.gradient_norm.append(gradient_norm)
            curves.mean_loss.append(math.fsum(recent) / len(recent) if averaged else None)
        if averaged or params.mean_every is None:
            recent.clear()
        if report and params.print_every and iteration % params.print_every == 0:
            tqdm.write(report(iteration, loss))
    return curves


def seed_everything(params: FitParams) -> torch.device:
    """Make training repeatable; returns the device to train on."""
    use_one_thread()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.manual_seed(params.seed)
    return find_device(params.device)


def find_device(device: str) -> torch.device:
    """The device of that name, or the best there is for `auto`.

    Raises:
        InputError: this machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next((name for name, there in available.items() if there), "cpu"))
    if not available.get(device, True):
        raise InputError(f"device {device} is not available here: set device: cpu in params.yaml")
    return torch.device(device)


def make_update(
    model: nn.Module, loss_of: Callable[[Any], Tensor], params: FitParams
) -> Update[Any]:
    """An update by automatic differentiation and the optimizer of the params."""
    weights = list(model.parameters())
    optimizer = _make_optimizer(weights, params)
    schedule = _make_schedule(optimizer, params)

    def update(batch: Any, watched: bool) -> tuple[float, float | None]:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(batch)
        loss.backward()
        norm = None
        if params.clip_norm:
            norm = float(nn.utils.clip_grad_norm_(weights, params.clip_norm))
        elif watched:  # the same number for a fraction of the time
            norm = torch.cat([weight.grad.flatten() for weight in weights]).norm().item()
        optimizer.step()
        if schedule:
            schedule.step()
        return loss.item(), norm

    return update


def _make_optimizer(weights: list[nn.Parameter], params: FitParams) -> torch.optim.Optimizer:
    common = {"lr": params.rate, "weight_decay": params.weight_decay, "fused": params.fused}
    if params.optimizer == "sgd":
        return torch.optim.SGD(weights, momentum=0.9 * params.momentum, **common)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[params.optimizer](
        weights, **common
    )


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


def make_lbfgs_update(
    model: nn.Module, loss_of: Callable[[Any], Tensor], memory: int = 50
) -> Update[Any]:
    """An update by one L-BFGS iteration with a strong Wolfe line search, on a fixed batch."""
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=1,
        max_eval=25,
        history_size=memory,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def update(batch: Any, watched: bool) -> tuple[float, float | None]:
        def measure() -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(batch)
            loss.backward()
            return loss

        loss = optimizer.step(measure).item()
        norm = nn.utils.get_total_norm([w.grad for w in model.parameters()]) if watched else None
        return loss, None if norm is None else float(norm)

    return update
