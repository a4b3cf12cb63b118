"""Train one network on all series of a panel, by windows of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.forecasting.series import Array
from stages.models.global_forecaster import GlobalForecaster
from stages.shared.checkpoints import build_network
from stages.shared.errors import InputError
from stages.shared.tables import Curves
from stages.shared.training_loop import FitParams, Recorder, by_autograd, fit, prepare_training

_SHORTEST = 3  # samples that a window needs before its targets, where the series has them


class _Batch(NamedTuple):
    windows: Tensor  # (B, L)
    targets: Tensor  # (B, H)
    scale: Tensor  # (B, 1)


@dataclass(frozen=True)
class PanelWindows:
    """Windows of many series: not copies, but where each one's targets begin."""

    samples: Tensor  # (S,), normalised series one after the other, each padded in front
    starts: NDArray[np.int64]  # (N,), index of the first target of each window
    scales: Tensor  # (N,), of the series of each window


def group_by_length(series: Sequence[Array]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Indices `(B,)` of all series of one length T, with their samples `(B, T)`, T ascending."""
    lengths = np.array([len(samples) for samples in series])
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        yield (
            rows,
            torch.from_numpy(np.stack([series[row] for row in rows.tolist()]).astype(np.float64)),
        )


def cut_windows(model: GlobalForecaster, series: Sequence[Array]) -> PanelWindows:
    """Every window of every series that all H targets follow.

    Args:
        model: says how series are normalised, and the sizes L and H.
        series: training samples `(T,)` of each, oldest first; the lengths may differ.

    Raises:
        InputError: no series has more than H samples.
    """
    parts, starts, scales = [], [], []
    end = 0
    for _, histories in group_by_length(series):
        normalised = model.normalise(histories)
        padded = model.pad(normalised.samples)  # (B, L + T)
        num_series, width = padded.shape
        length = histories.shape[1]
        first = max(1, min(_SHORTEST, length - model.horizon))
        within = np.arange(first, length - model.horizon + 1) + model.window
        offsets = end + width * np.arange(num_series)
        starts.append((offsets[:, None] + within).ravel())
        scales.append(normalised.scale.expand(-1, len(within)).reshape(-1))
        parts.append(padded.reshape(-1))
        end += num_series * width
    if not any(map(len, starts)):
        raise InputError(
            f"no series has more than {model.horizon} samples, the horizon: shorten "
            "network.horizon in params.yaml, or give longer series"
        )
    return PanelWindows(torch.cat(parts), np.concatenate(starts), torch.cat(scales))


def train_network(
    series: Sequence[Array], network: Mapping[str, Any], recipe: FitParams, name: str
) -> tuple[GlobalForecaster, Curves]:
    """Train a global forecaster; the same arguments give the same bytes.

    The loss is the symmetric absolute percentage error, which of logarithms that differ by d is
    200 tanh(|d| / 2): all series count alike, whatever their units, and outliers are bounded.

    Args:
        series: training samples `(T,)` of each, oldest first; the lengths may differ.
        network: arguments of `GlobalForecaster`.
        recipe: `batch` windows are drawn for each of `iterations` updates.
        name: of the model, for messages.

    Returns:
        The network, and its losses in percent.

    Raises:
        InputError: no series is long enough, or the loss is not finite.
    """
    device = prepare_training(recipe)
    where = f"params.yaml: forecasters.{name}"
    model = build_network("global_forecaster", dict(network), where)
    assert isinstance(model, GlobalForecaster)
    windows = cut_windows(model, series)
    model.to(device)

    def measure_loss(batch: _Batch) -> tuple[Tensor, Tensor]:
        forecasts, _ = model(batch.windows, batch.scale)
        errors = (forecasts - batch.targets).abs()
        return 200 * torch.tanh(errors / 2).mean(), forecasts

    batches = _draw_batches(windows, model, recipe)
    recorder: Recorder[_Batch] = Recorder(recipe, name, lambda *_: None)
    curves = fit(
        by_autograd(model, measure_loss), list(model.parameters()), batches, recipe, recorder
    )
    return model.cpu().eval(), curves


def _draw_batches(
    windows: PanelWindows, model: GlobalForecaster, recipe: FitParams
) -> Iterator[_Batch]:
    """One batch per update, drawn with replacement."""
    generator = np.random.default_rng(recipe.seed)
    device = model.head.weight.device
    around = torch.arange(-model.window, model.horizon)
    for _ in range(recipe.iterations):
        drawn = generator.integers(len(windows.starts), size=recipe.batch)
        samples = windows.samples[torch.from_numpy(windows.starts[drawn])[:, None] + around]
        scale = windows.scales[torch.from_numpy(drawn)][:, None].to(device)
        samples = samples.to(device)
        yield _Batch(samples[:, : model.window], samples[:, model.window :], scale)
