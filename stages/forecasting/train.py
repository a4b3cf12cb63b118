"""Train one forecaster: data/preprocessed/series/ -> data/trained/<model>/.

Run by DVC as `python stages/run.py launch forecasting.train MODEL WINDOWS OUT`, which calls `main`
here or on a Ray cluster; without `launch` it always trains here.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from stages.forecasting.forecasters import State, detach_state, wrap_model, write_state
from stages.forecasting.series import Array, Series, read_series
from stages.shared.checkpoints import build_network, write_model
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.model_config import ModelConfig, write_times
from stages.shared.params import Count, Name, Params, read_params
from stages.shared.reproducible import describe_processor
from stages.shared.tables import Curves, write_curves
from stages.shared.training_loop import (
    FitParams,
    Gradient,
    Progress,
    Recorder,
    Step,
    by_autograd,
    fit,
    fit_lbfgs,
    prepare_training,
    write_progress,
)

KERNELS = {  # architecture and cell of one layer: what differentiates its forecasts one step ahead
    ("sequence_forecaster", "rnn_tanh"): "differentiate_elman",
    ("window_forecaster", "lstm"): "differentiate_lstm",
}


class _ClosedLoopParams(Params):
    """Training on closed-loop forecasts: the network is fed its own forecasts."""

    context: Count  # samples of the series that it sees first
    horizon: Count  # samples that it then forecasts
    one_step: bool = True  # count the one-step error on the context too; it has a floor, since
    # the first sample does not tell the phase


class _RefineParams(Params):
    """A second phase: L-BFGS on one fixed batch."""

    iterations: Count
    batch: Count  # the first windows or segments
    closed_loop: _ClosedLoopParams | None = None


class ForecasterParams(FitParams):
    """One entry of section `forecasters` in params.yaml."""

    series: Name  # entry of generated_series or observed_series
    architecture: Name  # module in stages/models/
    network: dict[str, Any]  # arguments of its class
    order: Literal["random", "in_order"]  # which windows an update sees
    first: Count | None = None  # only the first windows; null: all
    carry_state: bool = False  # hand the hidden state from one update to the next
    closed_loop: _ClosedLoopParams | None = None  # null: one-step forecasts
    refine: _RefineParams | None = None
    precision: Literal["float32", "float64"] = "float32"

    @model_validator(mode="after")
    def _carry_one_segment(self) -> "ForecasterParams":
        if self.carry_state and (self.batch > 1 or self.closed_loop):
            raise ValueError("carry_state needs batch 1 and one-step forecasts")
        return self


class WindowBatch(NamedTuple):
    """What one update sees."""

    inputs: Tensor  # (B, T)
    targets: Tensor  # (B, T) or (B, 1)
    times: Array  # of the first window's targets


@dataclass(frozen=True)
class TrainedForecaster:
    """The result of a training."""

    model: nn.Module
    config: ModelConfig
    curves: Curves
    state: State | None  # carried out of the last update
    snapshots: dict[str, list[Any]]  # of `_take_snapshot`, one item per snapshot
    progress: list[str]  # lines that were printed


class _ForecastLoss:
    """Mean squared error of one-step forecasts, or of the closed-loop forecast after a context.

    Args:
        model: gives one-step forecasts, and closed-loop forecasts if they are trained on.
        closed_loop: lengths of context and closed-loop forecast; None: one-step forecasts alone.
        carry_state: hand the hidden state from one batch to the next.
    """

    def __init__(
        self, model: Any, closed_loop: _ClosedLoopParams | None, carry_state: bool = False
    ) -> None:
        self.model = model
        self.closed_loop = closed_loop
        self.carry_state = carry_state
        self.state: State | None = None

    def __call__(self, batch: WindowBatch) -> tuple[Tensor, Tensor]:
        """Loss and one-step forecasts of one batch; in a closed loop those of its context."""
        if self.closed_loop is None:
            one_step, state = self.model(batch.inputs, self.state)
            if self.carry_state:
                self.state = detach_state(state)
            return nn.functional.mse_loss(one_step, batch.targets), one_step
        context, horizon = self.closed_loop.context, self.closed_loop.horizon
        one_step, state = self.model(batch.inputs[:, :context])
        first = one_step[:, -1:]
        rest = self.model.forecast_closed_loop(first, state, horizon - 1)
        targets = batch.targets[:, context - 1 : context - 1 + horizon]
        loss = nn.functional.mse_loss(torch.cat([first, rest], dim=1), targets)
        if self.closed_loop.one_step:
            loss = loss + nn.functional.mse_loss(one_step, batch.targets[:, :context])
        return loss, one_step


class CompiledGradient:
    """Mean squared error of one-step forecasts and its gradient, by a compiled kernel.

    Args:
        model: its weights move into one vector, which an optimizer takes in one call.
        kernel: name of a function in `kernels`.
        carry_state: hand the hidden state from one window to the next.
    """

    def __init__(self, model: Any, kernel: str, carry_state: bool) -> None:
        from stages.shared import kernels  # loads numba, which other trainings do without

        self.differentiate = getattr(kernels, kernel)
        self.vector = nn.Parameter(parameters_to_vector(model.parameters()).detach())  # (P,)
        self.vector.grad = torch.zeros_like(self.vector)
        vector_to_parameters(self.vector, model.parameters())
        self.weights = self.vector.detach().numpy()
        self.gradients = self.vector.grad.numpy()
        self.hidden = np.zeros(model.recurrent.hidden_size, np.float32)
        self.carry_state = carry_state

    @property
    def state(self) -> Tensor | None:
        """What is carried, `(1, 1, H)`."""
        return torch.from_numpy(self.hidden).view(1, 1, -1) if self.carry_state else None

    def __call__(self, batch: WindowBatch) -> tuple[float, Tensor]:
        """The loss of a batch of one window, and its forecasts `(1, T)` or `(1, 1)`."""
        if not self.carry_state:
            self.hidden[:] = 0
        windows, targets = batch.inputs.numpy(), batch.targets.numpy()
        forecasts = np.empty_like(targets)
        loss = self.differentiate(
            windows, targets, self.hidden, self.weights, self.gradients, forecasts
        )
        return loss, torch.from_numpy(forecasts)


def find_kernel(params: ForecasterParams, device: torch.device) -> str | None:
    """Name of the kernel for such a training; None: automatic differentiation."""
    if params.batch > 1 or params.closed_loop or params.network.get("layers", 1) > 1:
        return None
    if params.precision != "float32" or device.type != "cpu":
        return None
    return KERNELS.get((params.architecture, params.network["cell"]))


def draw_windows(params: ForecasterParams, num_windows: int) -> NDArray[np.int64]:
    """Which windows each update sees, `(iterations, batch)`."""
    if params.first:
        num_windows = min(params.first, num_windows)
    shape = (params.iterations, params.batch)
    if params.order == "random":
        return np.random.default_rng(params.seed).integers(num_windows, size=shape)
    return np.arange(params.iterations * params.batch).reshape(shape) % num_windows


@np.errstate(over="ignore", invalid="ignore")  # a loss that is not finite is reported by `fit`
def train(params: ForecasterParams, series: Series, name: str) -> TrainedForecaster:
    """Train a forecaster; the same params and series give the same result.

    Args:
        params: how.
        series: what it is trained on.
        name: of the model, for messages.

    Raises:
        InputError: params that fit no network, or a loss that is not finite.
    """
    where = f"params.yaml: forecasters.{name}"
    device = prepare_training(params)
    dtype = torch.float64 if params.precision == "float64" else torch.float32
    model = build_network(params.architecture, params.network, where).to(device, dtype)
    windows = series.windows
    inputs = torch.from_numpy(windows.inputs).to(device, dtype)
    with torch.no_grad():
        forecasts, state = model(inputs[:1])
    chosen, times = series.select_targets(forecasts.shape[1])
    targets = torch.from_numpy(chosen).to(device, dtype)
    _check_fit(model, forecasts, state, inputs, targets, params, where)

    def draw_batches() -> Iterator[WindowBatch]:
        draws = draw_windows(params, len(inputs))
        rows_on_device = torch.from_numpy(draws).to(device)
        for rows, first in zip(rows_on_device, draws[:, 0].tolist(), strict=True):
            yield WindowBatch(inputs[rows], targets[rows], times[first])

    names = ("iterations", "times", "inputs", "targets", "predictions")
    snapshots: dict[str, list[Any]] = {name: [] for name in names}
    apart = max(1, params.iterations // 4)  # of 100 updates snapshots show 0, 25, 50 and 75
    progress = Progress(model)

    def report(iteration: int, batch: WindowBatch, step: Step) -> None:
        """Print the loss as the walk-throughs do: each epoch, else every hundredth, from 0."""
        if params.mean_every is None:
            if (iteration - 1) % 100 == 0:
                progress.print(f"Iteration: {iteration - 1} loss {step.loss:.8f}")
        elif iteration % params.mean_every == 0:
            progress.print(f"Epoch {iteration // params.mean_every} Loss: {step.loss:.8f}")

    def observe(iteration: int, batch: WindowBatch, step: Step) -> None:
        if (iteration - 1) % apart == 0 and len(snapshots["iterations"]) < 4:
            _take_snapshot(snapshots, iteration - 1, batch, step.outputs)
        report(iteration, batch, step)

    loss: Any  # keeps the carried state
    if kernel := find_kernel(params, device):
        loss = CompiledGradient(model, kernel, params.carry_state)
        differentiate: Gradient[WindowBatch] = loss
        weights = [loss.vector]
    else:
        loss = _ForecastLoss(model, params.closed_loop, params.carry_state)
        differentiate = by_autograd(model, loss)
        weights = list(model.parameters())
    recorder = Recorder(params, name, observe)
    curves = fit(differentiate, weights, draw_batches(), params, recorder)
    if phase := params.refine:  # its iterations continue the curves
        batch = WindowBatch(inputs[: phase.batch], targets[: phase.batch], times[0])
        loss_of = _ForecastLoss(model, phase.closed_loop)
        refinement = params.model_copy(update={"iterations": phase.iterations})
        recorder = Recorder(refinement, name, report, curves)
        curves = fit_lbfgs(model, loss_of, batch, phase.iterations, recorder)
    if len(windows.test):
        forecast = wrap_model(model)(windows.last[None], len(windows.test))[0]
        mse = float(np.mean((forecast - windows.test) ** 2))
        progress.print(f"Performance on test range: {mse:.7f}")
    config = ModelConfig("forecasting", params.architecture, params.network, series.scaling)
    return TrainedForecaster(model, config, curves, loss.state, snapshots, progress.lines)


def _take_snapshot(
    snapshots: dict[str, list[Any]], num_updates: int, batch: WindowBatch, forecasts: Tensor
) -> None:
    """Keep inputs, targets and forecasts of the first window of a batch, `(T,)` each.

    Args:
        snapshots: to which they are added.
        num_updates: made before.
        batch: of the next update.
        forecasts: `(B, S)`, of the first S targets: in closed-loop training of the context.
    """
    length = forecasts.shape[1]
    is_slid = batch.targets.shape[1] < batch.inputs.shape[1]
    seen = batch.inputs[0] if is_slid else batch.inputs[0, :length]
    snapshots["iterations"].append(num_updates)
    snapshots["times"].append(batch.times[:length])
    snapshots["inputs"].append(seen.cpu().numpy())
    snapshots["targets"].append(batch.targets[0, :length].cpu().numpy())
    snapshots["predictions"].append(forecasts[0].cpu().numpy())


def _check_fit(
    model: nn.Module,
    forecasts: Tensor,
    state: State | None,
    inputs: Tensor,
    targets: Tensor,
    params: ForecasterParams,
    where: str,
) -> None:
    """Reject a network that does not fit its windows or its training.

    Args:
        model: the network.
        forecasts: of the first window, `(1, S)`.
        state: after it.
        inputs: `(N, T)`.
        targets: `(N, T)` or `(N, 1)`.
        params: of the training.
        where: the params stand.

    Raises:
        InputError: as many forecasts as targets are not given, there is no state to carry, no
            closed loop or no room for it.
    """
    if forecasts.shape[1] != targets.shape[1]:
        raise InputError(
            f"{where}: {params.architecture} forecasts {forecasts.shape[1]} samples a window, "
            f"series {params.series} has {targets.shape[1]} targets: choose another of the two"
        )
    if params.carry_state and state is None:
        raise InputError(f"{where}.carry_state: {params.architecture} has no state: set it false")
    for phase in (params, params.refine):
        loop = phase.closed_loop if phase else None
        if loop is None:
            continue
        if not hasattr(model, "forecast_closed_loop"):
            raise InputError(
                f"{where}.closed_loop: {params.architecture} has no closed loop: remove it"
            )
        if loop.context + loop.horizon > inputs.shape[1] + 1:
            raise InputError(
                f"{where}: closed_loop sees {loop.context} samples and forecasts {loop.horizon}, "
                f"segments of {params.series} have {inputs.shape[1] + 1}: lower one of them"
            )


def main(name: str, windows: str, out: str) -> None:
    """Write weights, config, curves, snapshots, state and progress of one model."""
    started = datetime.now(UTC)
    params = read_params(f"forecasters.{name}", ForecasterParams)
    trained = train(params, read_series(Path(windows), with_params=False), name)
    folder = Path(out)
    write_model(folder, trained.config, trained.model)
    write_curves(folder / "curves.csv", trained.curves)
    arrays: dict[str, Any] = {name: np.array(rows) for name, rows in trained.snapshots.items()}
    np.savez(folder / "snapshots.npz", **arrays)
    write_state(folder / "state.npy", trained.state)
    write_progress(folder / "progress.txt", trained.progress)
    write_times(folder, started, describe_processor())


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
