"""A forecaster of a transformed series: logarithm, differences, standardisation."""

from torch import Tensor, nn


class TransformedForecaster(nn.Module):
    """Transforms a history, forecasts by its member, and undoes the transform.

    The member forecasts z = (Δ_a Δ_b … log y - mean) / std, where Δ_a y_t = y_t - y_{t-a} (Box &
    Jenkins, 1970). Histories and forecasts are in the units of the series.

    Args:
        members: the one forecaster of transformed samples.
        mean: of the transformed training samples.
        std: their standard deviation.
        log: take the logarithm first.
        differences: lags a, b, …; may be empty.
        floor: lower bound of forecasts; None: no bound.
    """

    def __init__(
        self,
        members: list[nn.Module],
        mean: float,
        std: float,
        log: bool,
        differences: list[int],
        floor: float | None,
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.mean = mean
        self.std = std
        self.log = log
        self.differences = differences
        self.floor = floor

    @property
    def shortest_history(self) -> int:
        """Fewest samples of a history; 0: the member takes any history."""
        shortest: int = getattr(self.members[0], "shortest_history", 0)
        return shortest + sum(self.differences) if shortest else 0

    def transform(self, samples: Tensor) -> Tensor:
        """Transform samples `(B, T)` of the series: `(B, T - sum of the lags)`.

        Raises:
            ValueError: if there are no more samples than the lags take, or one has no logarithm.
        """
        if samples.shape[1] <= sum(self.differences):
            raise ValueError(
                f"a history needs more than {sum(self.differences)} samples, which its differences "
                f"take, not {samples.shape[1]}"
            )
        return (self._list_levels(samples)[-1] - self.mean) / self.std

    def _list_levels(self, samples: Tensor) -> list[Tensor]:
        """Return the samples or their logarithm, and the result of each difference."""
        if self.log and samples.min() <= 0:
            raise ValueError(
                f"a history has {samples.min():g}, which has no logarithm: the model needs samples "
                "above 0"
            )
        levels = [samples.log() if self.log else samples]
        for lag in self.differences:
            levels.append(levels[-1][:, lag:] - levels[-1][:, :-lag])
        return levels

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`, oldest first: `(B, n)`.

        Raises:
            ValueError: if the history is too short, or has no logarithm.
        """
        member: nn.Module = self.members[0]
        transformed = self.transform(history)
        forecast: Tensor = member.forecast(transformed, horizon).to(history)  # type: ignore[operator]
        forecast = forecast * self.std + self.mean
        levels = self._list_levels(history)
        for lag, level in zip(reversed(self.differences), reversed(levels[:-1]), strict=True):
            # y_{t+h} = y_{t+h-lag} + z_{t+h}: a sum for each phase of the lag
            num_repeats = -(-horizon // lag)
            changes = nn.functional.pad(forecast, (0, num_repeats * lag - horizon))
            sums = changes.reshape(len(history), num_repeats, lag).cumsum(dim=1)
            forecast = (level[:, None, -lag:] + sums).reshape(len(history), -1)[:, :horizon]
        if self.log:
            forecast = forecast.exp()
        return forecast if self.floor is None else forecast.clamp(min=self.floor)
