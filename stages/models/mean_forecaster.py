"""Several fitted forecasters as one: the mean of their forecasts."""

import torch
from torch import Tensor, nn


class MeanForecaster(nn.Module):
    """Averages the forecasts of its members (Bates & Granger, 1969, with equal weights).

    Args:
        members: forecasters of one series, in the same units.
    """

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def shortest_history(self) -> int:
        """Fewest samples of a history."""
        return max(getattr(member, "shortest_history", 1) for member in self.members)

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`, oldest first: `(B, n)`.

        Raises:
            ValueError: if the history is too short for a member.
        """
        forecasts = []
        for member in self.members:
            forecasts.append(member.forecast(history, horizon).to(history))  # type: ignore[operator]
        return torch.stack(forecasts).mean(dim=0)
