"""A forecaster of seasonally adjusted histories."""

import torch
from torch import Tensor, nn

_SIGNIFICANT = 1.645  # standard errors: a two-sided test at 90 %


class SeasonalForecaster(nn.Module):
    """Seasonally adjusts each history, forecasts by its member, and restores the season.

    Classical decomposition by a centred moving average, if the autocorrelation at the season is
    significant at 90 %, as in the Theta method (Assimakopoulos & Nikolopoulos, 2000; Fiorucci et
    al., 2016). Seasons are multiplicative if all samples of a history are above 0, or else
    additive. With a member that repeats the last sample this is Naive2.

    Args:
        members: the one forecaster of adjusted histories.
        season: m, samples after which the season repeats; 1: no season.
        floor: lower bound of forecasts; None: no bound.
    """

    def __init__(self, members: list[nn.Module], season: int, floor: float | None = None) -> None:
        super().__init__()
        if season < 1:
            raise ValueError(f"season ({season}) must be at least 1")
        self.members = nn.ModuleList(members)
        self.season = season
        self.floor = floor

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`, oldest first: `(B, n)`."""
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
        """Return seasonal factors and offsets of histories `(B, T)`, `(B, m)` each.

        They begin at the phase of the first sample; without a season they are ones and zeros.
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
    """Return the means `(B, m)` of values `(B, T)` with the same phase `(T,)`."""
    sums = values.new_zeros(len(values), season).index_add(1, phases, values)
    return sums / phases.bincount(minlength=season)


def _test_season(history: Tensor, season: int) -> Tensor:
    """Test if the autocorrelation of histories `(B, T)` at the season is significant: `(B,)`."""
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
