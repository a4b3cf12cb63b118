"""The Theta method: simple exponential smoothing with half the slope of a line as drift."""

import torch
from torch import Tensor, nn


class ThetaForecaster(nn.Module):
    """Forecasts by the Theta method (Assimakopoulos & Nikolopoulos, 2000).

    In the form of Hyndman & Billah (2003): simple exponential smoothing, plus half the slope of the
    regression line through the history. An additive season is removed before and restored after.

    Args:
        season: samples after which the season repeats; 1: no season.
    """

    def __init__(self, season: int) -> None:
        super().__init__()
        if season < 1:
            raise ValueError(f"season ({season}) must be at least 1")
        self.season = season
        self.alpha = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    @property
    def shortest_history(self) -> int:
        """Fewest samples of a history."""
        return 2 * self.season

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`, oldest first: `(B, n)`.

        Raises:
            ValueError: if the history is shorter than two seasons.
        """
        num_histories, length = history.shape
        if length < self.shortest_history:
            raise ValueError(f"a history needs {self.shortest_history} samples, not {length}")
        times = torch.arange(length, dtype=history.dtype)
        centred = times - times.mean()

        seasons = history.new_zeros(num_histories, self.season)
        if self.season > 1:
            whole = history[:, length % self.season :]  # whole seasons
            years = whole.reshape(num_histories, -1, self.season)
            means = years.mean(dim=2)
            steps = torch.arange(means.shape[1], dtype=history.dtype)
            steps = steps - steps.mean()
            slope = (means @ steps / (steps @ steps) / self.season).reshape(-1, 1, 1)
            within = torch.arange(self.season, dtype=history.dtype)
            trend = means.unsqueeze(2) + slope * (within - within.mean())
            seasons = (years - trend).mean(dim=1)
            # from the phase of the first whole season to that of the first sample
            seasons = seasons.roll(length % self.season, dims=1)
        phases = torch.arange(length + horizon) % self.season
        adjusted = history - seasons[:, phases[:length]]

        alpha = self.alpha.item()
        drift = adjusted @ centred / (centred @ centred) / 2
        level = adjusted[:, 0]
        for t in range(1, length):
            level = level + alpha * (adjusted[:, t] - level)
        ahead = torch.arange(horizon, dtype=history.dtype) + (1 - (1 - alpha) ** length) / alpha
        return level.unsqueeze(1) + drift.unsqueeze(1) * ahead + seasons[:, phases[length:]]
