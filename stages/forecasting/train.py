"""Train one forecaster: data/preprocessed/series/ -> data/trained/<model>/.

Run by DVC as `python stages/run.py launch forecasting.train MODEL WINDOWS OUT`, which calls `main`
here or on a Ray cluster; without `launch` it always trains here.
"""

import inspect
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Discriminator, Field, Tag, model_validator
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from stages.forecasting.forecasters import State, describe_model, wrap_model, write_state
from stages.forecasting.global_training import train_network
from stages.forecasting.series import AnySeries, Array, Panel, Series, read_series
from stages.forecasting.sizes import (
    ClosedLoopParams,
    TrainingWindows,
    fill_in_closed_loop,
    fill_in_network,
)
from stages.shared.checkpoints import build_network, find_class, write_model
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.model_config import ModelConfig, write_times
from stages.shared.params import Count, Name, Params, read_params
from stages.shared.reproducible import describe_processor
from stages.shared.tables import Curves, write_curves
from stages.shared.training_loop import (
    FitParams,
    Progress,
    Recorder,
    Step,
    TrainingParams,
    fit,
    fit_lbfgs,
    prepare_training,
    write_progress,
)

# architecture and cell -> function of stages/shared/kernels.py that computes loss and gradient of
# one window instead of the network's `forward` and automatic differentiation: see `find_kernel`
KERNELS = {
    ("sequence_forecaster", "rnn_tanh"): "differentiate_elman",
    ("window_forecaster", "lstm"): "differentiate_lstm",
}


class _RefineParams(Params):
    """A second phase: L-BFGS on one fixed batch."""

    iterations: Count
    batch: Count  # number of windows, the first ones
    closed_loop: ClosedLoopParams | None = None


class _NetworkParams(TrainingParams):
    """Fields of every entry of section `forecasters` in params.yaml; sizes.py fills in sizes."""

    series: Name  # entry of generated_series or observed_series
    architecture: Name  # module in stages/models/
    network: dict[str, Any]  # arguments of its class


class ForecasterParams(_NetworkParams, FitParams):
    """An entry of section `forecasters` for a network that is trained by updates."""

    order: Literal["random", "in_order"]  # which windows an update sees
    first: Count | None = None  # only the first windows; null: all
    carry_state: bool = False  # hand the hidden state from one update to the next
    closed_loop: ClosedLoopParams | None = None  # null: one-step forecasts
    refine: _RefineParams | None = None
    precision: Literal["float32", "float64"] = "float32"

    @model_validator(mode="after")
    def _carry_one_segment(self) -> "ForecasterParams":
        if self.carry_state and (self.batch > 1 or self.closed_loop):
            raise ValueError("carry_state needs batch 1 and one-step forecasts")
        return self


class _FitReadoutParams(Params):
    """A linear readout by ridge regression."""

    penalty: float = Field(ge=0, le=1e9)  # of its squared weights, beside the mean squared error


class FittedForecasterParams(_NetworkParams):
    """An entry of section `forecasters` for a readout that is fitted in closed form."""

    fit_readout: _FitReadoutParams
    device: Literal["cpu"] = "cpu"  # of its linear algebra


class GlobalForecasterParams(_NetworkParams, FitParams):
    """An entry of section `forecasters` for a network that learns from all series of a panel."""

    architecture: Literal["global_forecaster"]
    iterations: int = Field(default=0, ge=0, le=10**7)  # 0: by the number of windows
    members: int = Field(default=1, gt=0, le=100)  # trained from consecutive seeds and averaged
    validate_every: None = None  # no loss on validation is measured


def _choose_class(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "[updates]"
    if entry.get("architecture") == "global_forecaster":
        return "[many series]"
    return "[closed form]" if "fit_readout" in entry else "[updates]"


FORECASTER: Any = Annotated[  # the schema of any entry of section `forecasters`
    Annotated[ForecasterParams, Tag("[updates]")]
    | Annotated[FittedForecasterParams, Tag("[closed form]")]
    | Annotated[GlobalForecasterParams, Tag("[many series]")],
    Discriminator(_choose_class),
]

_P = TypeVar("_P", bound=_NetworkParams)


class WindowBatch(NamedTuple):
    """The windows of one update."""

    inputs: Tensor  # (B, T)
    targets: Tensor  # (B, T), or (B, n) after the window
    times: Array  # of the first window's targets


@dataclass(frozen=True)
class TrainedForecaster:
    """The result of a training."""

    model: nn.Module
    config: ModelConfig
    curves: Curves
    state: State | None  # after the last update, where it is carried
    snapshots: dict[str, list[Any]]  # content of snapshots.npz, one item per snapshot
    progress: list[str]  # lines that were printed


def main(name: str, windows: str, out: str) -> None:
    """Write weights, config, curves, snapshots, state and progress of one model."""
    started = datetime.now(UTC)
    params = read_params(f"forecasters.{name}", FORECASTER)
    series = read_series(Path(windows), with_params=False)
    trained = train(params, series, name, validates=True)
    folder = Path(out)
    write_model(folder, trained.config, trained.model)
    write_curves(folder / "curves.csv", trained.curves)
    arrays: dict[str, Any] = {name: np.array(rows) for name, rows in trained.snapshots.items()}
    np.savez(folder / "snapshots.npz", **arrays)
    write_state(folder / "state.npy", trained.state)
    write_progress(folder / "progress.txt", trained.progress)
    write_times(folder, started, describe_processor())


@np.errstate(over="ignore", invalid="ignore")  # `fit` reports a loss that is not finite
def train(
    params: ForecasterParams | FittedForecasterParams | GlobalForecasterParams,
    series: AnySeries,
    name: str,
    validates: bool = False,
) -> TrainedForecaster:
    """Train a forecaster; the same params and series give the same result.

    `name` is the name of the model, for messages. With `validates` the curves have the loss on
    validation, if the params ask for it.

    Raises:
        InputError: if network, params and series do not fit, or the loss is not finite.
    """
    where = f"params.yaml: forecasters.{name}"
    if isinstance(params, GlobalForecasterParams):
        return _train_on_panel(params, series, name, where)
    if isinstance(series, Panel):
        raise InputError(
            f"{where}: {params.series} has many series, from which global_forecaster alone learns: "
            "choose another architecture, or another series"
        )
    if isinstance(params, FittedForecasterParams):
        return _fit_in_closed_form(params, series, where)
    return _train_by_updates(params, series, name, where, validates)


def _train_by_updates(
    given: ForecasterParams, series: Series, name: str, where: str, validates: bool
) -> TrainedForecaster:
    """Train a network by an optimizer, and then by L-BFGS if the params have a second phase."""
    # the network, and its windows
    device = prepare_training(given)
    params = _fill_in_sizes(given, series, where)
    dtype = torch.float64 if params.precision == "float64" else torch.float32
    model = build_network(params.architecture, params.network, where).to(device, dtype)
    inputs, targets, times = _prepare_windows(model, params, series, where)
    reporter = _Reporter(model, params)
    if params.closed_loop != given.closed_loop:
        reporter.progress.print(f"closed_loop: {params.closed_loop}")  # with the sizes filled in
    if series.windows.are_slid:
        reporter.progress.print(f"{len(inputs)} windows of {inputs.shape[1]} samples")

    # the loss and its gradient, one batch per update
    objective: CompiledGradient | _ForecastLoss  # keeps the carried state
    if kernel := find_kernel(params, device):
        objective = CompiledGradient(model, kernel, params.carry_state)
        weights = [objective.vector]
    else:
        objective = _ForecastLoss(model, params.closed_loop, params.carry_state)
        weights = list(model.parameters())
    draws = draw_windows(params, len(inputs))
    batches = (
        WindowBatch(inputs[rows], targets[rows], times[first])
        for rows, first in zip(torch.from_numpy(draws).to(device), draws[:, 0], strict=True)
    )
    held_back = None
    if validates and params.validate_every:
        held_back = _prepare_validation(params, series, inputs, targets)
    validate = held_back and partial(_ForecastLoss(model, params.closed_loop).measure, held_back)
    recorder = Recorder(params, name, reporter.observe, validate=validate)
    curves = fit(objective, weights, batches, params, recorder)

    if phase := params.refine:  # its iterations continue the curves
        batch = WindowBatch(inputs[: phase.batch], targets[: phase.batch], times[0])
        loss_of = _ForecastLoss(model, phase.closed_loop)
        validate = held_back and partial(loss_of.measure, held_back)
        refinement = params.model_copy(update={"iterations": phase.iterations})
        recorder = Recorder(refinement, name, reporter.print_loss, curves, validate)
        curves = fit_lbfgs(model, loss_of, batch, phase.iterations, recorder)
    return _conclude(
        params, series, model, curves, objective.state, reporter.snapshots, reporter.progress
    )


def _fill_in_sizes(params: _P, series: Series, where: str) -> _P:
    """Return the params with the sizes that the entry leaves out, by the rules of sizes.py."""
    windows = TrainingWindows(params.series, series.windows.inputs.shape[1], series.most_ahead)
    takes = inspect.signature(find_class(params.architecture, where)).parameters
    changes: dict[str, Any] = {"network": fill_in_network(params.network, takes, windows, where)}
    if isinstance(params, ForecasterParams):
        if params.closed_loop:
            changes["closed_loop"] = fill_in_closed_loop(params.closed_loop, windows, where)
        if params.refine and params.refine.closed_loop:
            loop = fill_in_closed_loop(params.refine.closed_loop, windows, f"{where}.refine")
            changes["refine"] = params.refine.model_copy(update={"closed_loop": loop})
    return params.model_copy(update=changes)


def _prepare_windows(
    model: nn.Module, params: ForecasterParams, series: Series, where: str
) -> tuple[Tensor, Tensor, Array]:
    """Check that network, params and series fit; return inputs `(N, T)`, targets and their times.

    The targets are `(N, T)`, or `(N, n)` after the window, as the network forecasts them.
    """
    if hasattr(model, "fit_readout"):
        raise InputError(
            f"{where}: {params.architecture} is fitted in closed form: give fit_readout in place "
            "of the params for updates"
        )
    weight = next(model.parameters())  # has device and precision of the training
    with torch.no_grad():
        forecasts, state = model(torch.from_numpy(series.windows.inputs[:1]).to(weight))
    num_forecasts = forecasts.shape[1]  # of a window: one after each sample, or some after it
    inputs, targets, times = series.select_windows(num_forecasts, params.network.get("horizon", 1))
    if num_forecasts != targets.shape[1]:
        raise InputError(
            f"{where}: {params.architecture} forecasts {num_forecasts} samples a window, series "
            f"{params.series} has {targets.shape[1]} targets: choose another of the two"
        )
    if params.carry_state and state is None:
        raise InputError(
            f"{where}.carry_state: {params.architecture} has no state to carry: set it to false"
        )
    has_loop = params.closed_loop or (params.refine and params.refine.closed_loop)
    if has_loop and not hasattr(model, "forecast_closed_loop"):
        raise InputError(
            f"{where}.closed_loop: {params.architecture} has no closed loop: remove it"
        )
    return torch.from_numpy(inputs).to(weight), torch.from_numpy(targets).to(weight), times


class _Reporter:
    """Prints losses as in the walk-throughs, and keeps snapshots of four updates."""

    def __init__(self, model: nn.Module, params: ForecasterParams) -> None:
        self.progress = Progress(model)
        self.epoch = params.mean_every
        self.apart = max(1, params.iterations // 4)  # of 100 updates 0, 25, 50 and 75 are kept
        names = ("iterations", "times", "inputs", "targets", "predictions")
        self.snapshots: dict[str, list[Any]] = {name: [] for name in names}

    def print_loss(self, iteration: int, batch: WindowBatch, step: Step) -> None:
        """Print the loss of each epoch, or else of every hundredth update, counted from 0."""
        if self.epoch is None:
            if (iteration - 1) % 100 == 0:
                self.progress.print(f"Iteration: {iteration - 1} loss {step.loss:.8f}")
        elif iteration % self.epoch == 0:
            self.progress.print(f"Epoch {iteration // self.epoch - 1} Loss: {step.loss:.8f}")

    def observe(self, iteration: int, batch: WindowBatch, step: Step) -> None:
        """Keep the first window of a batch if a snapshot is due, and print the loss."""
        if (iteration - 1) % self.apart == 0 and len(self.snapshots["iterations"]) < 4:
            length = step.outputs.shape[1]  # in closed-loop training the context
            is_slid = batch.targets.shape[1] < batch.inputs.shape[1]
            seen = batch.inputs[0] if is_slid else batch.inputs[0, :length]
            self.snapshots["iterations"].append(iteration - 1)
            self.snapshots["times"].append(batch.times[:length])
            self.snapshots["inputs"].append(seen.cpu().numpy())
            self.snapshots["targets"].append(batch.targets[0, :length].cpu().numpy())
            self.snapshots["predictions"].append(step.outputs[0].cpu().numpy())
        self.print_loss(iteration, batch, step)


def find_kernel(params: ForecasterParams, device: torch.device) -> str | None:
    """Return the name of the compiled kernel for a training, None for automatic differentiation."""
    if params.batch > 1 or params.closed_loop or params.network.get("layers", 1) > 1:
        return None
    if params.precision != "float32" or device.type != "cpu":
        return None
    return KERNELS.get((params.architecture, params.network.get("cell", "")))


class CompiledGradient:
    """Mean squared error of one-step forecasts and its gradient, by a compiled kernel.

    The weights of the model move into one vector, which an optimizer updates in one call. With
    `carry_state` the hidden state is carried from one window to the next.
    """

    def __init__(self, model: Any, kernel: str, carry_state: bool) -> None:
        from stages.shared import kernels  # loads numba, which other trainings do not need

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
        """The carried state `(1, 1, H)`."""
        return torch.from_numpy(self.hidden).view(1, 1, -1) if self.carry_state else None

    def __call__(self, batch: WindowBatch) -> tuple[float, Tensor]:
        """Return loss and forecasts, `(1, T)` or `(1, 1)`, of one window; fill in the gradient."""
        if not self.carry_state:
            self.hidden[:] = 0
        windows, targets = batch.inputs.numpy(), batch.targets.numpy()
        forecasts = np.empty_like(targets)
        loss = self.differentiate(
            windows, targets, self.hidden, self.weights, self.gradients, forecasts
        )
        return loss, torch.from_numpy(forecasts)


class _ForecastLoss:
    """Mean squared error of one-step forecasts, or of the closed-loop forecast after a context.

    With `carry_state` the hidden state is carried from one batch to the next.
    """

    def __init__(
        self, model: Any, closed_loop: ClosedLoopParams | None, carry_state: bool = False
    ) -> None:
        self.model = model
        self.closed_loop = closed_loop
        self.carry_state = carry_state
        self.state: State | None = None

    def __call__(self, batch: WindowBatch) -> tuple[Tensor, Tensor]:
        """Return the loss and the one-step forecasts of a batch, or of its context in a loop."""
        if self.closed_loop is None:
            one_step, state = self.model(batch.inputs, self.state)
            if self.carry_state:  # detached from earlier updates
                is_tensor = isinstance(state, Tensor)
                self.state = state.detach() if is_tensor else tuple(part.detach() for part in state)
            return nn.functional.mse_loss(one_step, batch.targets), one_step
        context, horizon = self.closed_loop.context, self.closed_loop.horizon
        assert context and horizon  # they were filled in
        one_step, state = self.model(batch.inputs[:, :context])
        first = one_step[:, -1:]
        rest = self.model.forecast_closed_loop(first, state, horizon - 1)
        targets = batch.targets[:, context - 1 : context - 1 + horizon]
        loss = nn.functional.mse_loss(torch.cat([first, rest], dim=1), targets)
        if self.closed_loop.one_step:
            loss = loss + nn.functional.mse_loss(one_step, batch.targets[:, :context])
        return loss, one_step

    @torch.no_grad()
    def measure(self, batch: WindowBatch) -> float:
        """Return the loss alone, as a number."""
        return float(self(batch)[0])


def draw_windows(params: ForecasterParams, num_windows: int) -> NDArray[np.int64]:
    """Draw the indices of the windows of each update, `(iterations, batch)`."""
    if params.first:
        num_windows = min(params.first, num_windows)
    shape = (params.iterations, params.batch)
    if params.order == "random":
        return np.random.default_rng(params.seed).integers(num_windows, size=shape)
    return np.arange(params.iterations * params.batch).reshape(shape) % num_windows


def _prepare_validation(
    params: ForecasterParams, series: Series, inputs: Tensor, targets: Tensor
) -> WindowBatch | None:
    """Return the windows of validation, None if there are too few."""
    ahead = params.network.get("horizon", 1)
    held_back = series.select_validation()
    if len(held_back.windows.inputs) < ahead:
        return None
    chosen, wanted, times = held_back.select_windows(targets.shape[1], ahead)
    return WindowBatch(
        torch.from_numpy(chosen).to(inputs), torch.from_numpy(wanted).to(targets), times[0]
    )


def _conclude(
    params: _NetworkParams,
    series: Series,
    model: nn.Module,
    curves: Curves,
    state: State | None,
    snapshots: dict[str, list[Any]],
    progress: Progress,
) -> TrainedForecaster:
    """Print the error on the held-out end, if there is one, and return the result."""
    test = series.windows.test
    if len(test):
        forecast = wrap_model(model)(series.windows.last[None], len(test))[0]
        mse = float(np.mean((forecast - test) ** 2))
        progress.print(f"Performance on test range: {mse:.7f}")
    model = series.undo_transform(model)
    config = describe_model(model, params.network)
    return TrainedForecaster(model, config, curves, state, snapshots, progress.lines)


def _fit_in_closed_form(
    params: FittedForecasterParams, series: Series, where: str
) -> TrainedForecaster:
    """Fit the readout of a network; the curves have one row, the loss of the fitted network."""
    prepare_training(params)
    params = _fill_in_sizes(params, series, where)
    model: Any = build_network(params.architecture, params.network, where)
    if not hasattr(model, "fit_readout"):
        raise InputError(
            f"{where}.fit_readout: {params.architecture} is trained by updates: give order, batch, "
            "iterations, optimizer, rate and clip_norm in its place"
        )
    progress = Progress(model)
    num_samples, num_targets = series.windows.inputs.shape[1], series.windows.targets.shape[1]
    length = min(num_samples - model.window + 1, num_targets)  # of a slid window: one target
    inputs, targets, times = series.select_windows(length)
    seen = torch.from_numpy(inputs[:, -(model.window - 1 + length) :]).double()
    wanted = torch.from_numpy(targets[:, -length:]).double()
    model.fit_readout(seen, wanted, params.fit_readout.penalty)
    with torch.no_grad():
        forecasts, _ = model(seen)
        loss = float(nn.functional.mse_loss(forecasts, wanted))
    if not np.isfinite(loss):
        raise InputError(f"{where}: the loss is {loss}: raise fit_readout.penalty in params.yaml")
    progress.print(f"Loss: {loss:.3g}")
    snapshots: dict[str, list[Any]] = {
        "iterations": [0],
        "times": [times[0, -length:]],
        "inputs": [inputs[0] if length == 1 else inputs[0, -length:]],
        "targets": [targets[0, -length:]],
        "predictions": [forecasts[0].numpy()],
    }
    curves = Curves([1], [loss], [None], [None], [None])
    return _conclude(params, series, model, curves, None, snapshots, progress)


def _train_on_panel(
    params: GlobalForecasterParams, series: AnySeries, name: str, where: str
) -> TrainedForecaster:
    """Train one network on all series of a panel, or several from consecutive seeds.

    Default sizes follow from season and horizon of the panel, as was best on the validation of the
    M3 competition (benchmarks/m3.py). The curves are means over the networks.
    """
    if not isinstance(series, Panel):
        raise InputError(
            f"{where}: global_forecaster learns from many series, and {params.series} is one: "
            "choose another architecture, or another series"
        )
    season = series.season
    window = params.network.get("window", max(8, 3 * season // 2))
    network = {
        "season": season,
        "horizon": series.horizon,
        "window": window,
        "patch": min(window, max(3, season // 2)),
        "stride": max(1, season // 4),
        "level": min(window, max(1, season // 4)),
        **params.network,
    }
    progress = Progress(build_network(params.architecture, network, where))
    models: list[nn.Module] = []
    of_all = []
    for seed in range(params.seed, params.seed + params.members):
        recipe = params.model_copy(update={"seed": seed})
        model, curves = train_network(series.training, network, recipe, name)
        for loss in curves.loss[-1:]:
            progress.print(f"Seed {seed} loss {loss:.8f}")
        models.append(model)
        of_all.append(curves)
    losses = np.array([curves.loss for curves in of_all])
    norms = np.array([curves.gradient_norm for curves in of_all])
    curves.loss, curves.gradient_norm = losses.mean(axis=0).tolist(), norms.mean(axis=0).tolist()
    joined = series.join_models(models)
    config = describe_model(joined, network)
    return TrainedForecaster(joined, config, curves, None, {}, progress.lines)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
