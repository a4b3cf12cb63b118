"""A recurrent layer and a linear map over a window, which give several samples at once."""

from typing import Literal

import torch
from torch import Tensor, nn


class DirectForecaster(nn.Module):
    """Forecasts a block of samples relative to the last sample of a window.

    A direct strategy (Ben Taieb et al., 2012): forecasts within a block do not depend on each
    other. The last sample is subtracted from the window and added to the forecast, as in NLinear
    (Zeng et al., 2023), since the level of a series may drift. The linear map beside the recurrent
    layer is the skip connection of LSTNet (Lai et al., 2018).
    Both maps start at zero: an untrained network repeats the last sample.

    Args:
        cell: kind of the recurrent layer.
        hidden: size of the state.
        window: W, input samples.
        horizon: H, samples forecast at once; later ones are forecast from these.
        lags: input samples of the linear map, at most the window; None: the window.
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
        """Forecast the n = `horizon` samples after a history `(B, T)`, block by block: `(B, n)`.

        The history is in order, oldest first; one shorter than the window is preceded by its first
        sample.
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
