"""Exponential smoothing with a level, a trend and a season that add up."""

import torch
from torch import Tensor, nn


class EtsForecaster(nn.Module):
    """ETS with additive errors: smooths a history and continues its last level, trend and season.

    Equations as in Hyndman, Koehler, Ord & Snyder (2008), table 2.2. The first states are fitted to
    the beginning of each history by least squares.

    Args:
        season: samples after which the season repeats; 1: no season.
        has_trend: whether the level moves along a trend.
    """

    def __init__(self, season: int, has_trend: bool) -> None:
        super().__init__()
        if season < 1:
            raise ValueError(f"season ({season}) must be at least 1")
        self.season = season
        self.has_trend = has_trend
        # α, β, γ and the damping φ; without trend or season β or γ are 0
        self.smoothing = nn.Parameter(torch.tensor([0.5, 0.0, 0.0, 1.0], dtype=torch.float64))

    @property
    def shortest_history(self) -> int:
        """Fewest samples of a history."""
        return 2 * self.season

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`, oldest first: `(B, n)`.

        Raises:
            ValueError: if the history is shorter than two seasons.
        """
        length, season = history.shape[1], self.season
        if length < self.shortest_history:
            raise ValueError(f"a history needs {self.shortest_history} samples, not {length}")
        alpha, beta, gamma, damping = self.smoothing.tolist()
        level, trend, seasons = self.fit_first_states(history)
        for t in range(length):
            before = level + damping * trend
            error = history[:, t] - before - seasons[t % season]
            level, trend = before + alpha * error, damping * trend + beta * error
            seasons[t % season] = seasons[t % season] + gamma * error
        forecasts = []
        for step in range(horizon):
            level, trend = level + damping * trend, damping * trend
            forecasts.append(level + seasons[(length + step) % season])
        return torch.stack(forecasts, dim=1)

    def fit_first_states(self, history: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Level and trend before the first sample, and the seasons of the first ones: `(B,)` each.

        A line with a season is fitted to the first three seasons, or ten samples.
        """
        num_fitted = min(history.shape[1], max(10, 3 * self.season))
        times = torch.arange(1, num_fitted + 1, dtype=history.dtype)
        columns = [torch.ones_like(times)]
        if self.has_trend:
            columns.append(times)
        for phase in range(self.season - 1):  # the last season is minus the sum of the others
            is_phase = (times - 1) % self.season == phase
            is_last = (times - 1) % self.season == self.season - 1
            columns.append(is_phase.to(history.dtype) - is_last.to(history.dtype))
        design = torch.stack(columns, dim=1)
        fitted = torch.linalg.pinv(design) @ history[:, :num_fitted].T
        level = fitted[0]
        trend = fitted[1] if self.has_trend else torch.zeros_like(level)
        seasons = list(fitted[1 + self.has_trend :])
        last = -torch.stack([torch.zeros_like(level), *seasons]).sum(dim=0)
        return level, trend, [*seasons, last]
