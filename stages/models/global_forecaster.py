"""One small recurrent network for many series, which are normalised first."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

_SHRINKAGE = 2.5  # of seasonal indices; below this multiple of their noise they are 0
_LEAST_SCALE = 1e-4  # below which a series counts as this steady


class NormalisedSeries(NamedTuple):
    """Normalised histories, with the values for undoing it."""

    samples: Tensor  # (B, T), logarithms without their season
    scale: Tensor  # (B, 1), their mean absolute change from sample to sample
    seasons: Tensor  # (B, season), subtracted seasonal indices, from the phase of the first sample
    is_log: Tensor  # (B, 1), false for series with negative samples, which have no logarithm
    unit: Tensor  # (B, 1), divisor of such series


class GlobalForecaster(nn.Module):
    """Forecasts any series of a panel by one network (a global model, Januschowski et al., 2020).

    As in the hybrid that won the M4 competition (Smyl, 2020), inputs are logarithms of a series
    without season and level. Here the season comes from the classical decomposition of the whole
    history, with indices shrunk towards 0 by their share of noise (a positive-part James-Stein
    estimator, Miller & Williams, 2003). The level is the mean of the last samples. Differences from
    the level are divided by the mean change from sample to sample, in the window and in the
    series. The logarithm of the latter is an input too: the trend of a noisy series goes on less.

    The window is read in overlapping patches, one per step of the recurrent layer; beside it is a
    linear map (LSTNet, Lai et al., 2018). Both start at zero: an untrained network repeats the
    level, with the season.

    Args:
        cell: kind of the recurrent layer.
        hidden: size of the state.
        window: L, input samples.
        horizon: H, samples forecast at once; later ones are forecast from these.
        season: samples after which the season repeats; 1: no season.
        patch: input samples of the recurrent layer at a step.
        stride: samples from one patch to the next; the last patch ends with the window.
        level: last samples whose mean is the level.
    """

    def __init__(
        self,
        cell: Literal["rnn_tanh", "gru", "lstm"],
        hidden: int,
        window: int,
        horizon: int,
        season: int = 1,
        patch: int = 1,
        stride: int = 1,
        level: int = 1,
    ) -> None:
        super().__init__()
        if min(hidden, window, horizon, season, patch, stride, level) < 1:
            raise ValueError(
                f"hidden ({hidden}), window ({window}), horizon ({horizon}), season ({season}), "
                f"patch ({patch}), stride ({stride}) and level ({level}) must be at least 1"
            )
        if max(patch, level) > window:
            raise ValueError(f"patch ({patch}) and level ({level}): at most window ({window})")
        kinds = {"rnn_tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        self.recurrent = kinds[cell](patch + 1, hidden, batch_first=True)
        self.head = nn.Linear(hidden + 1, horizon)
        self.skip = nn.Linear(window, horizon, bias=False)
        for parameter in (*self.head.parameters(), *self.skip.parameters()):
            nn.init.zeros_(parameter)
        self.window = window
        self.horizon = horizon
        self.season = season
        self.patch = patch
        self.stride = stride
        self.level = level

    def forward(self, windows: Tensor, scale: Tensor | None = None) -> tuple[Tensor, None]:
        """Forecast the H samples after normalised windows `(B, L)`, oldest first.

        `scale` `(B, 1)` is the scale of each series; None: the scale of the window. Returns
        `(B, H)` and no state.
        """
        changes = windows.diff().abs().mean(dim=1, keepdim=True).nan_to_num()  # of one: 0
        scale = changes if scale is None else scale
        unit = (changes + scale) / 2
        level = windows[:, -self.level :].mean(dim=1, keepdim=True)
        dtype = self.head.weight.dtype
        relative = ((windows - level) / unit.clamp(min=_LEAST_SCALE)).to(dtype)
        noise = scale.clamp(min=_LEAST_SCALE).log().to(dtype) + 3  # 0 where it is 5 %
        patches = relative[:, (self.window - self.patch) % self.stride :]
        patches = patches.unfold(1, self.patch, self.stride)  # (B, steps, patch)
        noises = noise.unsqueeze(1).expand(-1, patches.shape[1], 1)
        states, _ = self.recurrent(torch.cat([patches, noises], dim=2))
        last = torch.cat([states[:, -1], noise], dim=1)
        ahead = self.head(last) + self.skip(relative)
        return level + unit * ahead.to(windows.dtype), None

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after histories `(B, T)`, block by block: `(B, n)`.

        Histories are float64, oldest first, of any units, which the forecasts have too. One shorter
        than the window is preceded by its first sample.
        """
        normalised = self.normalise(history)
        samples = self.pad(normalised.samples)[:, -self.window :]
        while samples.shape[1] < self.window + horizon:
            block, _ = self(samples[:, -self.window :], normalised.scale)
            samples = torch.cat([samples, block], dim=1)
        forecast = samples[:, self.window : self.window + horizon]
        phases = torch.arange(history.shape[1], history.shape[1] + horizon) % self.season
        forecast = forecast + normalised.seasons[:, phases]
        return torch.where(normalised.is_log, forecast.exp(), forecast * normalised.unit)

    def pad(self, samples: Tensor) -> Tensor:
        """Repeat the first of normalised samples `(B, T)` L times in front: `(B, L + T)`."""
        return torch.cat([samples[:, :1].expand(-1, self.window), samples], dim=1)

    def normalise(self, history: Tensor, season: int | None = None) -> NormalisedSeries:
        """Normalise histories `(B, T)`, float64; `season` replaces the season of the network.

        Series without negative samples become logarithms, with half the smallest positive sample
        in place of 0. Other series are divided by their mean absolute value.
        """
        positive = torch.where(history > 0, history, math.inf)
        floor = positive.amin(dim=1, keepdim=True) / 2
        is_log = (history.amin(dim=1, keepdim=True) >= 0) & floor.isfinite()
        unit = history.abs().mean(dim=1, keepdim=True)
        unit = torch.where(unit > 0, unit, 1.0)
        logs = torch.maximum(history, torch.where(is_log, floor, 1.0)).log()
        samples = torch.where(is_log, logs, history / unit)

        seasons = _find_seasons(samples, season or self.season)
        phases = torch.arange(history.shape[1]) % seasons.shape[1]
        samples = samples - seasons[:, phases]
        scale = samples.diff().abs().mean(dim=1, keepdim=True).nan_to_num()  # of one sample: 0
        return NormalisedSeries(samples, scale, seasons, is_log, unit)


def _find_seasons(samples: Tensor, season: int) -> Tensor:
    """Return additive seasonal indices `(B, season)` of samples `(B, T)`, 0 if they are few."""
    num_series, length = samples.shape
    none = samples.new_zeros(num_series, season)
    if season == 1 or length < 2 * season + 2:
        return none
    # classical decomposition: deviations from the moving average over a season
    sums = nn.functional.pad(samples, (1, 0)).cumsum(dim=1)
    trend = (sums[:, season:] - sums[:, :-season]) / season
    if season % 2 == 0:
        trend = (trend[:, 1:] + trend[:, :-1]) / 2
    first = season // 2
    deviations = samples[:, first : first + trend.shape[1]] - trend
    phases = (torch.arange(trend.shape[1]) + first) % season
    counts = phases.bincount(minlength=season)
    means = none.index_add(1, phases, deviations) / counts
    errors = deviations - means[:, phases]
    indices = means - means.mean(dim=1, keepdim=True)

    variance = errors.square().sum(dim=1, keepdim=True) / max(1, len(phases) - season)
    noise = variance * (1 / counts).mean()  # in the indices
    spread = indices.square().sum(dim=1, keepdim=True) / (season - 1)
    return indices * (1 - _SHRINKAGE * noise / spread.clamp(min=1e-300)).clamp(min=0)
