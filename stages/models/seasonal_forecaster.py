"""A forecaster of seasonally adjusted histories."""

import torch
from torch import Tensor, nn

_SIGNIFICANT = 1.645  # standard errors: a two-sided test at 90 %


class SeasonalForecaster(nn.Module):
    """Takes the season out of each history, lets its member forecast, and puts it back.

    Classical decomposition by a centred moving average, where the autocorrelation at the season is
    significant at 90 %, as the Theta method has it (Assimakopoulos & Nikolopoulos, 2000; Fiorucci
    et al., 2016). Seasons multiply where all samples of a history are above 0, or else add. Other
    histories stay as they are, so with the member that repeats the last sample this is Naive2.

    Args:
        members: the one forecaster of adjusted histories.
        season: m, samples after which the season repeats; 1: there is none.
        floor: below which no forecast goes; None: there is none.
    """

    def __init__(self, members: list[nn.Module], season: int, floor: float | None = None) -> None:
        super().__init__()
        if season < 1:
            raise ValueError(f"season ({season}) must be at least 1")
        self.members = nn.ModuleList(members)
        self.season = season
        self.floor = floor

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the samples after a history.

        Args:
            history: `(B, T)`, float64, oldest first.
            horizon: n, number of samples.
            state: none is carried.

        Returns:
            `(B, n)`, float64.
        """
        length = history.shape[1]
        factors, offsets = self.find_seasons(history)
        phases = torch.arange(length + horizon) % self.season
        before, after = phases[:length], phases[length:]
        adjusted = (history - offsets[:, before]) / factors[:, before]
        member: nn.Module = self.members[0]
        forecast: Tensor = member.forecast(adjusted, horizon).to(history)  # type: ignore[operator]
        forecast = forecast * factors[:, after] + offsets[:, after]
        return forecast if self.floor is None else forecast.clamp(min=self.floor)

    def find_seasons(self, history: Tensor) -> tuple[Tensor, Tensor]:
        """What multiplies and what is added at each phase, from that of the first sample.

        Args:
            history: `(B, T)`.

        Returns:
            Factors and offsets, `(B, m)` each; ones and zeros without a season.
        """
        season, length = self.season, history.shape[1]
        ones = history.new_ones(len(history), season)
        zeros = torch.zeros_like(ones)
        if season == 1 or length < 2 * season + 2:
            return ones, zeros
        weights = history.new_ones(season + (season + 1) % 2)  # an even season: half at both ends
        if season % 2 == 0:
            weights[0] = weights[-1] = 0.5
        half = len(weights) // 2
        trend = nn.functional.conv1d(history[:, None], weights[None, None] / season)[:, 0]
        middle = history[:, half : length - half]
        phases = (torch.arange(middle.shape[1]) + half) % season
        factors = _average_by_phase(middle / trend, phases, season)
        factors = factors / factors.mean(dim=1, keepdim=True)
        offsets = _average_by_phase(middle - trend, phases, season)
        offsets = offsets - offsets.mean(dim=1, keepdim=True)
        is_seasonal = _test_season(history, season)[:, None]
        multiplies = (history > 0).all(dim=1, keepdim=True)
        return (
            torch.where(is_seasonal & multiplies, factors, ones),
            torch.where(is_seasonal & ~multiplies, offsets, zeros),
        )


def _average_by_phase(values: Tensor, phases: Tensor, season: int) -> Tensor:
    """Means `(B, m)` of values `(B, T)` with the same phase `(T,)`."""
    sums = values.new_zeros(len(values), season).index_add(1, phases, values)
    return sums / phases.bincount(minlength=season)


def _test_season(history: Tensor, season: int) -> Tensor:
    """Whether the autocorrelation of histories `(B, T)` at the season is significant: `(B,)`."""
    length = history.shape[1]
    centred = history - history.mean(dim=1, keepdim=True)
    variance = centred.square().sum(dim=1).clamp(min=torch.finfo(history.dtype).tiny)
    correlations = [
        (centred[:, lag:] * centred[:, :-lag]).sum(dim=1) / variance for lag in range(1, season + 1)
    ]
    before = torch.stack([torch.zeros_like(variance), *correlations[:-1]]).square().sum(dim=0)
    # the standard error of Bartlett (1946)
    limit = _SIGNIFICANT * ((1 + 2 * before) / length).sqrt()
    return correlations[-1].abs() > limit
