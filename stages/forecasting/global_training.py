"""Train one network on all series of a panel, by windows of each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.forecasting.series import Array
from stages.shared.checkpoints import build_network
from stages.shared.errors import InputError
from stages.shared.tables import Curves
from stages.shared.training_loop import FitParams, Recorder, fit, prepare_training

_SHORTEST = 3  # samples that a window needs before its targets, where the series has them


class _Batch(NamedTuple):
    windows: Tensor  # (B, L)
    targets: Tensor  # (B, H)
    scale: Tensor  # (B, 1)


@dataclass(frozen=True)
class PanelWindows:
    """Windows of all series of a panel, as positions in one array instead of copies."""

    samples: Tensor  # (S,), normalised series one after the other, each padded in front
    starts: NDArray[np.int64]  # (N,), index of the first target of each window
    scales: Tensor  # (N,), of the series of each window


def group_by_length(series: Sequence[Array]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yield the indices `(B,)` and samples `(B, T)` of all series of length T, by ascending T."""
    lengths = np.array([len(samples) for samples in series])
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        samples = np.stack([series[row] for row in rows.tolist()])
        yield rows, torch.from_numpy(samples.astype(np.float64))


def index_windows(model: Any, series: Sequence[Array], season: int | None = None) -> PanelWindows:
    """List all windows of all series that have H targets after them.

    Args:
        model: a `GlobalForecaster`, which normalises series, with its sizes L and H.
        series: training samples `(T,)` of each series, oldest first; lengths may differ.
        season: season of the series; None: the season of the model.

    Raises:
        InputError: if no series has more than H samples.
    """
    parts, starts, scales = [], [], []
    end = 0
    for _, histories in group_by_length(series):
        normalised = model.normalise(histories, season)
        padded = model.pad(normalised.samples)  # (B, L + T)
        (num_series, length), width = histories.shape, padded.shape[1]
        first = max(1, min(_SHORTEST, length - model.horizon))
        within = np.arange(first, length - model.horizon + 1) + model.window
        rows = np.arange(num_series)[:, None]
        starts.append((end + width * rows + within).ravel())
        scales.append(normalised.scale.expand(-1, len(within)).reshape(-1))
        parts.append(padded.reshape(-1))
        end += padded.numel()
    if not any(map(len, starts)):
        raise InputError(
            f"no series has more than {model.horizon} samples, the horizon: shorten "
            "network.horizon in params.yaml, or give longer series"
        )
    return PanelWindows(torch.cat(parts), np.concatenate(starts), torch.cat(scales))


def train_network(
    series: Sequence[Array],
    network: Mapping[str, Any],
    recipe: FitParams,
    name: str,
    pooled: Sequence[tuple[Sequence[Array], int]] = (),
) -> tuple[nn.Module, Curves]:
    """Train a global forecaster; the same arguments give the same bytes.

    The loss is the symmetric absolute percentage error: 200 tanh(|d| / 2) for logarithms that
    differ by d. It weighs all series alike, whatever their units, and bounds outliers.

    Args:
        series: training samples `(T,)` of each series, oldest first; lengths may differ.
        network: arguments of `GlobalForecaster`.
        recipe: `batch` windows are drawn for each of `iterations` updates; 0 iterations: 2.6 times
            the root of the number of windows, since small panels overfit soon.
        name: name of the model, for messages.
        pooled: other panels and their seasons to train on, with equal shares of the windows.

    Returns:
        The network, and the curves with losses in percent.

    Raises:
        InputError: if no series is long enough, or the loss is not finite.
    """
    device = prepare_training(recipe)
    where = f"params.yaml: forecasters.{name}"
    # found by name: with an import, its changes would train other architectures again
    model: Any = build_network("global_forecaster", dict(network), where)
    panels = [index_windows(model, series)]
    panels += [index_windows(model, others, season) for others, season in pooled]
    if not recipe.iterations:
        updates = round(2.6 * math.sqrt(len(panels[0].starts)))
        recipe = recipe.model_copy(update={"iterations": min(max(updates, 100), 1000)})
    model.to(device)

    def measure_loss(batch: _Batch) -> tuple[Tensor, Tensor]:
        forecasts, _ = model(batch.windows, batch.scale)
        errors = (forecasts - batch.targets).abs()
        return 200 * torch.tanh(errors / 2).mean(), forecasts

    batches = _draw_batches(panels, model, recipe)
    recorder: Recorder[_Batch] = Recorder(recipe, name, lambda *_: None)
    curves = fit(measure_loss, list(model.parameters()), batches, recipe, recorder)
    return model.cpu().eval(), curves


def _draw_batches(
    panels: Sequence[PanelWindows], model: Any, recipe: FitParams
) -> Iterator[_Batch]:
    """Yield one batch per update, drawn with replacement, from all panels alike."""
    generator = np.random.default_rng(recipe.seed)
    device = model.head.weight.device
    around = torch.arange(-model.window, model.horizon)
    for _ in range(recipe.iterations):
        samples, scales = [], []
        sizes = np.bincount(generator.integers(len(panels), size=recipe.batch))
        for panel, size in zip(panels, sizes.tolist(), strict=False):
            drawn = generator.integers(len(panel.starts), size=size)
            samples.append(panel.samples[torch.from_numpy(panel.starts[drawn])[:, None] + around])
            scales.append(panel.scales[torch.from_numpy(drawn)][:, None])
        windows = torch.cat(samples).to(device)  # (B, L + H)
        yield _Batch(
            windows[:, : model.window], windows[:, model.window :], torch.cat(scales).to(device)
        )
