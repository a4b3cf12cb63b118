"""Train one sine forecaster: data/preprocessed/sine/ -> data/trained/<model>/.

Run by DVC as `python -m stages.sine.train MODEL WINDOWS OUT`.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from stages.shared.bundle import Curves, Sizes, build_network, write_bundle, write_times
from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.fit import (
    FitParams,
    fit,
    make_lbfgs_update,
    make_update,
    seed_everything,
)
from stages.shared.params import Params, read_params

Arrays = dict[str, NDArray[Any]]
Pair = tuple[Tensor, Tensor]  # inputs (B, T) and targets (B, T) or (B, 1)


class ClosedLoopParams(Params):
    """Training on the network's own free run."""

    context: int = Field(gt=0)  # true samples that it sees first
    horizon: int = Field(gt=0)  # samples that it then forecasts from its own
    one_step: bool = True  # count the one-step error on the context too; it has a floor, since
    # the first sample does not tell the phase


class RefineParams(Params):
    """A second phase: L-BFGS on one fixed batch."""

    iterations: int = Field(gt=0)
    batch: int = Field(gt=0)  # the first windows or segments
    closed_loop: ClosedLoopParams | None = None


class SineParams(FitParams):
    """One entry of section `sine` in params.yaml."""

    series: str  # entry of generate_sine and preprocess_sine
    architecture: str  # module in stages/models/
    network: dict[str, Any]  # arguments of its class
    order: Literal["random", "in_order"]  # which windows an update sees
    first: int | None = Field(default=None, gt=0)  # only the first windows; null: all
    carry_state: bool = False  # hand the hidden state from one update to the next
    closed_loop: ClosedLoopParams | None = None  # null: one-step forecasts
    refine: RefineParams | None = None
    precision: Literal["float32", "float64"] = "float32"
    snapshots: list[int] = Field(default=[])  # updates before which input and forecast are kept
    document_test: Literal["one_point", "continuation", "recursive"]  # for evaluate_sine

    @model_validator(mode="after")
    def _carry_one_segment(self) -> "SineParams":
        if self.carry_state and (self.batch > 1 or self.closed_loop):
            raise ValueError("carry_state needs batch 1 and one-step forecasts")
        return self


@dataclass
class Trained:
    """What training gives."""

    model: nn.Module
    curves: Curves
    state: NDArray[Any]  # hidden state carried out: (h or h and c, layers, 1, H)
    snapshots: Arrays


class OneStepLoss:
    """Mean squared error of the forecasts one step ahead, with a state carried on if asked."""

    def __init__(self, model: nn.Module, carry_state: bool) -> None:
        self.model, self.carry_state = model, carry_state
        self.state: Any = None

    def __call__(self, pair: Pair) -> Tensor:
        """Loss of one batch."""
        inputs, targets = pair
        forecasts, state = self.model(inputs, self.state)
        if self.carry_state:
            is_lstm = isinstance(state, tuple)
            self.state = tuple(s.detach() for s in state) if is_lstm else state.detach()
        return nn.functional.mse_loss(forecasts, targets)


def make_closed_loop_loss(model: nn.Module, params: ClosedLoopParams) -> Callable[[Pair], Tensor]:
    """Error of the free run after a context, and if asked the one-step error on the context."""
    context, horizon = params.context, params.horizon

    def loss_of(pair: Pair) -> Tensor:
        inputs, targets = pair
        nexts, state = model(inputs[:, :context])
        run = model.run_free(nexts[:, -1:], state, horizon - 1)
        free = torch.cat([nexts[:, -1:], run], dim=1)  # (B, horizon)
        mse = nn.functional.mse_loss
        loss = mse(free, targets[:, context - 1 : context - 1 + horizon])
        return loss + mse(nexts, targets[:, :context]) if params.one_step else loss

    return loss_of


def draw_windows(params: SineParams, num_windows: int) -> NDArray[np.int64]:
    """Which windows each update sees, `(iterations, batch)`."""
    num_windows = min(params.first or num_windows, num_windows)
    shape = (params.iterations, params.batch)
    if params.order == "random":
        return np.random.default_rng(params.seed).integers(num_windows, size=shape)
    return np.arange(params.iterations * params.batch).reshape(shape) % num_windows


def train(params: SineParams, windows: Arrays, name: str) -> Trained:
    """Train a forecaster; the same params and windows give the same result.

    Args:
        params: how.
        windows: `inputs (N, T)`, `targets (N, T)` or `(N, 1)`, `times` of the targets.
        name: of the model, for messages.

    Raises:
        InputError: params that fit no network, or a loss that is not finite.
    """
    device = seed_everything(params)
    model = build_network(params.architecture, params.network, f"params.yaml: sine.{name}")
    dtype = getattr(torch, params.precision)
    model.to(device, dtype)
    inputs = torch.from_numpy(windows["inputs"]).to(device, dtype)
    targets = torch.from_numpy(windows["targets"]).to(device, dtype)
    check_fit(model, (inputs[:1], targets[:1]), params, f"params.yaml: sine.{name}")
    one_step = OneStepLoss(model, params.carry_state)
    loss_of = make_closed_loop_loss(model, params.closed_loop) if params.closed_loop else one_step
    snapshots = Snapshots(one_step, windows["times"])

    def draw_batches() -> Iterator[Pair]:
        draws = draw_windows(params, len(inputs))
        for iteration, chosen in enumerate(torch.from_numpy(draws).to(device)):
            pair = inputs[chosen], targets[chosen]
            if iteration in params.snapshots:
                snapshots.take(iteration, int(chosen[0]), pair)
            yield pair

    curves = fit(make_update(model, loss_of, params), draw_batches(), params, name, _say_loss)
    if params.refine:
        curves = refine(model, (inputs, targets), params, name, curves)
    return Trained(model, curves, export_state(one_step.state), snapshots.arrays())


def check_fit(model: nn.Module, pair: Pair, params: SineParams, where: str) -> None:
    """Refuse a network that does not fit its windows or its training.

    Raises:
        InputError: forecasts of another shape than the targets, no state to carry, or no free run.
    """
    with torch.no_grad():
        forecasts, state = model(pair[0])
    if forecasts.shape != pair[1].shape:
        raise InputError(
            f"{where}: {params.architecture} forecasts {forecasts.shape[1]} samples a window, "
            f"series {params.series} has {pair[1].shape[1]} targets: choose another of the two"
        )
    if params.carry_state and state is None:
        raise InputError(f"{where}.carry_state: {params.architecture} has no state: set it false")
    runs_free = params.closed_loop or (params.refine and params.refine.closed_loop)
    if runs_free and not hasattr(model, "run_free"):
        raise InputError(f"{where}.closed_loop: {params.architecture} has no free run: remove it")


def refine(model: nn.Module, pairs: Pair, params: SineParams, name: str, curves: Curves) -> Curves:
    """Second phase: L-BFGS on the first windows; its iterations continue the curves."""
    refinement = params.refine
    loss_of = (
        make_closed_loop_loss(model, refinement.closed_loop)
        if refinement.closed_loop
        else OneStepLoss(model, carry_state=False)
    )
    batch = tuple(values[: refinement.batch] for values in pairs)
    phase = params.model_copy(update={"iterations": refinement.iterations})
    update = make_lbfgs_update(model, loss_of)
    batches = repeat(batch, refinement.iterations)
    return fit(update, batches, phase, name, _say_loss, curves, first=params.iterations + 1)


def export_state(state: Any) -> NDArray[Any]:
    """Carried hidden state as `(h or h and c, layers, 1, H)`; empty where none is carried."""
    if state is None:
        return np.zeros((0,), dtype=np.float32)
    parts = state if isinstance(state, tuple) else (state,)
    return torch.stack(parts).cpu().numpy()


class Snapshots:
    """Inputs and forecasts of chosen updates, as the network saw them."""

    def __init__(self, loss_of: OneStepLoss, times: NDArray[Any]) -> None:
        self.loss_of, self.times = loss_of, times
        self.columns: dict[str, list[Any]] = {
            name: [] for name in ("iterations", "times", "inputs", "targets", "predictions")
        }

    @torch.no_grad()
    def take(self, iteration: int, chosen: int, pair: Pair) -> None:
        """Keep what the update of this iteration is about to see and to forecast."""
        inputs, targets = pair
        forecasts, _ = self.loss_of.model(inputs, self.loss_of.state)
        row = (iteration, self.times[chosen], inputs[0], targets[0], forecasts[0])
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value.cpu().numpy() if isinstance(value, Tensor) else value)

    def arrays(self) -> Arrays:
        """One row a snapshot: `iterations (S,)` and the others `(S, T)`."""
        return {name: np.array(column) for name, column in self.columns.items()}


def _say_loss(iteration: int, loss: float) -> str:
    return f"iteration {iteration:>6}  loss {loss:.6f}"


def main(name: str, windows: str, out: str) -> None:
    """Write the bundle of one model."""
    started = datetime.now(UTC)
    params = read_params(f"sine.{name}", SineParams)
    with np.load(windows) as arrays:
        trained = train(params, dict(arrays), name)
    folder = Path(out)
    write_bundle(
        folder, Sizes("sine", params.architecture, params.network), trained.model, trained.curves
    )
    np.savez(folder / "snapshots.npz", **trained.snapshots)
    np.save(folder / "state.npy", trained.state)
    write_times(folder, started)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
