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

from stages.forecasting.forecasters import wrap_model
from stages.forecasting.series import Series, Windows, read_series
from stages.forecasting.snapshots import Snapshots, write_snapshots
from stages.forecasting.state import State, detach_state, write_state
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
    Loss,
    Observer,
    Progress,
    Recorder,
    Step,
    by_autograd,
    fit,
    fit_lbfgs,
    prepare_training,
    write_progress,
)

PRINT_EVERY = 100  # updates between printed lines, where no means are taken
KERNELS = {  # architecture and cell of one layer: what differentiates its forecasts one step ahead
    ("sequence_forecaster", "rnn_tanh"): "differentiate_elman",
    ("window_forecaster", "lstm"): "differentiate_lstm",
}


class ClosedLoopParams(Params):
    """Training on the network's own free run."""

    context: Count  # true samples that it sees first
    horizon: Count  # samples that it then forecasts from its own
    one_step: bool = True  # count the one-step error on the context too; it has a floor, since
    # the first sample does not tell the phase


class RefineParams(Params):
    """A second phase: L-BFGS on one fixed batch."""

    iterations: Count
    batch: Count  # the first windows or segments
    closed_loop: ClosedLoopParams | None = None


class ForecasterParams(FitParams):
    """One entry of section `forecasting` in params.yaml."""

    series: Name  # entry of generated_series or observed_series
    architecture: Name  # module in stages/models/
    network: dict[str, Any]  # arguments of its class
    order: Literal["random", "in_order"]  # which windows an update sees
    first: Count | None = None  # only the first windows; null: all
    carry_state: bool = False  # hand the hidden state from one update to the next
    closed_loop: ClosedLoopParams | None = None  # null: one-step forecasts
    refine: RefineParams | None = None
    precision: Literal["float32", "float64"] = "float32"

    @model_validator(mode="after")
    def _carry_one_segment(self) -> "ForecasterParams":
        if self.carry_state and (self.batch > 1 or self.closed_loop):
            raise ValueError("carry_state needs batch 1 and one-step forecasts")
        return self


class Batch(NamedTuple):
    """What one update sees."""

    inputs: Tensor  # (B, T)
    targets: Tensor  # (B, T) or (B, 1)
    times: NDArray[np.float64]  # of the first window's targets


@dataclass(frozen=True)
class Trained:
    """What training gives."""

    model: nn.Module
    config: ModelConfig
    curves: Curves
    state: State | None  # carried out of the last update
    snapshots: Snapshots
    progress: list[str]  # lines that were printed


class OneStepLoss:
    """Mean squared error of the forecasts one step ahead, with a state carried on if asked."""

    def __init__(self, model: nn.Module, carry_state: bool) -> None:
        self.model = model
        self.carry_state = carry_state
        self.state: State | None = None

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss and forecasts of one batch."""
        forecasts, state = self.model(batch.inputs, self.state)
        if self.carry_state:
            self.state = detach_state(state)
        return nn.functional.mse_loss(forecasts, batch.targets), forecasts


def make_closed_loop_loss(model: Any, params: ClosedLoopParams) -> Loss[Batch]:
    """Error of the free run after a context, and if asked the one-step error on the context.

    Args:
        model: has a free run (`run_free`).
        params: how long context and free run are.
    """
    context, horizon = params.context, params.horizon

    def loss_of(batch: Batch) -> tuple[Tensor, Tensor]:
        nexts, state = model(batch.inputs[:, :context])
        first = nexts[:, -1:]
        free_run = torch.cat([first, model.run_free(first, state, horizon - 1)], dim=1)
        after = batch.targets[:, context - 1 : context - 1 + horizon]
        loss = nn.functional.mse_loss(free_run, after)
        if params.one_step:
            loss = loss + nn.functional.mse_loss(nexts, batch.targets[:, :context])
        return loss, nexts

    return loss_of


def make_loss(
    model: nn.Module, closed_loop: ClosedLoopParams | None, carry_state: bool
) -> Loss[Batch]:
    """The loss of a phase of training."""
    if closed_loop:
        return make_closed_loop_loss(model, closed_loop)
    return OneStepLoss(model, carry_state)


def choose_gradient(
    model: nn.Module, params: ForecasterParams, device: torch.device
) -> tuple[Gradient[Batch], list[nn.Parameter], object]:
    """The gradient, by a compiled kernel where there is one, its weights, and what has a state."""
    if kernel := find_kernel(params, device):
        from stages.forecasting.compiled import (
            CompiledGradient,  # numba loads where it is used alone
        )

        gradient = CompiledGradient(model, kernel, params.carry_state)
        return gradient, [gradient.vector], gradient
    loss_of = make_loss(model, params.closed_loop, params.carry_state)
    return by_autograd(model, loss_of), list(model.parameters()), loss_of


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


@np.errstate(over="ignore", invalid="ignore")  # NumPy would warn of what the loss reports anyway
def train(params: ForecasterParams, series: Series, name: str) -> Trained:
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
    chosen, times = series.select_targets(count_forecasts(model, inputs[:1]))
    targets = torch.from_numpy(chosen).to(device, dtype)
    check_fit(model, inputs[:1], targets[:1], params, where)

    def draw_batches() -> Iterator[Batch]:
        draws = draw_windows(params, len(inputs))
        rows_on_device = torch.from_numpy(draws).to(device)
        for rows, first in zip(rows_on_device, draws[:, 0].tolist(), strict=True):
            yield Batch(inputs[rows], targets[rows], times[first])

    snapshots = Snapshots(params.iterations)
    progress = Progress(model)
    report = make_report(params, progress)

    def observe(iteration: int, batch: Batch, step: Step) -> None:
        if snapshots.are_due(iteration):
            snapshots.take(iteration, batch.times, batch.inputs, batch.targets, step.outputs)
        report(iteration, batch, step)

    differentiate, weights, carrier = choose_gradient(model, params, device)
    recorder = Recorder(params, name, observe)
    curves = fit(differentiate, weights, draw_batches(), params, recorder)
    if params.refine:
        size = params.refine.batch
        batch = Batch(inputs[:size], targets[:size], times[0])
        curves = refine(model, batch, params, params.refine, name, curves, report)
    if len(windows.test):
        progress.print(f"Performance on test range: {measure_test_range(model, windows):.7f}")
    config = ModelConfig("forecasting", params.architecture, params.network, series.scaling)
    state = getattr(carrier, "state", None)
    return Trained(model, config, curves, state, snapshots, progress.lines)


def count_forecasts(model: nn.Module, inputs: Tensor) -> int:
    """Samples that a network forecasts a window: one each of it, or the one after it."""
    with torch.no_grad():
        forecasts, _ = model(inputs)
    num_forecasts: int = forecasts.shape[1]
    return num_forecasts


def check_fit(
    model: nn.Module, inputs: Tensor, targets: Tensor, params: ForecasterParams, where: str
) -> None:
    """Refuse a network that does not fit its windows or its training.

    Raises:
        InputError: forecasts of another shape than the targets, no state to carry, or no free run
            or room for it.
    """
    with torch.no_grad():
        forecasts, state = model(inputs)
    if forecasts.shape != targets.shape:
        raise InputError(
            f"{where}: {params.architecture} forecasts {forecasts.shape[1]} samples a window, "
            f"series {params.series} has {targets.shape[1]} targets: choose another of the two"
        )
    if params.carry_state and state is None:
        raise InputError(f"{where}.carry_state: {params.architecture} has no state: set it false")
    runs_free = params.closed_loop or (params.refine and params.refine.closed_loop)
    if runs_free and not hasattr(model, "run_free"):
        raise InputError(f"{where}.closed_loop: {params.architecture} has no free run: remove it")
    for phase in (params, params.refine):
        loop = phase.closed_loop if phase else None
        if loop and loop.context + loop.horizon > inputs.shape[1] + 1:
            raise InputError(
                f"{where}: closed_loop sees {loop.context} samples and forecasts {loop.horizon}, "
                f"segments of {params.series} have {inputs.shape[1] + 1}: lower one of them"
            )


def refine(
    model: nn.Module,
    batch: Batch,
    params: ForecasterParams,
    refinement: RefineParams,
    name: str,
    curves: Curves,
    report: Observer[Batch],
) -> Curves:
    """Second phase: L-BFGS on one batch; its iterations continue the curves."""
    loss_of = make_loss(model, refinement.closed_loop, carry_state=False)
    phase = params.model_copy(update={"iterations": refinement.iterations})
    recorder = Recorder(phase, name, report, curves)
    return fit_lbfgs(model, loss_of, batch, refinement.iterations, recorder)


def make_report(params: ForecasterParams, progress: Progress) -> Observer[Batch]:
    """Say the loss as the walk-throughs do: at the end of an epoch, or every hundred updates.

    An epoch is what a mean is taken over. Where there is none, updates are counted from 0.
    """

    def report(iteration: int, batch: Batch, step: Step) -> None:
        if params.mean_every is None:
            if (iteration - 1) % PRINT_EVERY == 0:
                progress.print(f"Iteration: {iteration - 1} loss {step.loss:.8f}")
        elif iteration % params.mean_every == 0:
            progress.print(f"Epoch {iteration // params.mean_every} Loss: {step.loss:.8f}")

    return report


def measure_test_range(model: nn.Module, windows: Windows) -> float:
    """Mean squared error of the forecast of the held-out end of the series, from what precedes."""
    forecast = wrap_model(model)(windows.last[None], len(windows.test))[0]
    return float(np.mean((forecast - windows.test) ** 2))


def main(name: str, windows: str, out: str) -> None:
    """Write the bundle of one model."""
    started = datetime.now(UTC)
    params = read_params(f"forecasters.{name}", ForecasterParams)
    trained = train(params, read_series(Path(windows), with_params=False), name)
    folder = Path(out)
    write_model(folder, trained.config, trained.model)
    write_curves(folder / "curves.csv", trained.curves)
    write_snapshots(folder / "snapshots.npz", trained.snapshots)
    write_state(folder / "state.npy", trained.state)
    write_progress(folder / "progress.txt", trained.progress)
    write_times(folder, started, describe_processor())


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
