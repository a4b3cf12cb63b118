"""A recurrent layer and a linear map over a window, which give several samples at once."""

from typing import Literal

import torch
from torch import Tensor, nn


class DirectForecaster(nn.Module):
    """Forecasts a block of samples from a window less its last sample, which is added back.

    A direct strategy (Ben Taieb et al., 2012): no forecast within a block feeds on another. Taking
    the last sample off lets the level of the series drift, as NLinear does (Zeng et al., 2023); the
    linear map beside the recurrent layer is the skip connection of LSTNet (Lai et al., 2018). Both
    maps start at zero: an untrained network repeats the last sample.

    Args:
        cell: kind of the recurrent layer.
        hidden: size of its state.
        window: W, samples that it looks at.
        horizon: H, samples that it forecasts at once; the next ones from these.
        lags: last samples that the linear map sees, at most the window; None: that.
    """

    def __init__(
        self,
        cell: Literal["rnn_tanh", "gru", "lstm"],
        hidden: int,
        window: int,
        horizon: int,
        lags: int | None = None,
    ) -> None:
        super().__init__()
        lags = window if lags is None else min(lags, window)
        if min(hidden, window, horizon, lags) < 1:
            raise ValueError(
                f"hidden ({hidden}), window ({window}), horizon ({horizon}) and lags ({lags}) must "
                "be at least 1"
            )
        kinds = {"rnn_tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        self.recurrent = kinds[cell](1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, horizon)
        self.skip = nn.Linear(lags, horizon, bias=False)
        for parameter in (*self.head.parameters(), *self.skip.parameters()):
            nn.init.zeros_(parameter)
        self.window = window
        self.lags = lags
        self.horizon = horizon

    def forward(self, window: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Forecast the H samples after each window `(B, T)`, oldest first: `(B, H)`, no state.

        The last W of its T samples count.
        """
        last = window[:, -1:]
        relative = window[:, -self.window :] - last
        states, _ = self.recurrent(relative.unsqueeze(-1))  # (B, W) -> (B, W, hidden)
        return self.head(states[:, -1]) + self.skip(relative[:, -self.lags :]) + last, None

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the samples after a history, block by block.

        Args:
            history: `(B, T)`, oldest first; a shorter one than the window is preceded by its first
                sample.
            horizon: n, number of samples.
            state: none is carried.

        Returns:
            `(B, n)`.
        """
        history = history.to(self.head.weight.dtype)
        missing = max(0, self.window - history.shape[1])
        given = torch.cat([history[:, :1].expand(-1, missing), history], dim=1)[:, -self.window :]
        num_blocks = -(-horizon // self.horizon)
        samples = given.new_empty(len(given), self.window + num_blocks * self.horizon)
        samples[:, : self.window] = given
        for end in range(self.window, samples.shape[1], self.horizon):
            block, _ = self(samples[:, end - self.window : end])
            samples[:, end : end + self.horizon] = block
        return samples[:, self.window : self.window + horizon]
