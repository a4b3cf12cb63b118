"""A recurrent layer over a window, with a linear head on its last step."""

from typing import Literal

from torch import Tensor, nn


class WindowForecaster(nn.Module):
    """Forecasts the one sample after a window, from a state of zero.

    An LSTM that is trained with one window per update uses a compiled kernel in place of `forward`:
    see `find_kernel` in stages/forecasting/train.py.

    Args:
        cell: kind of the recurrent layer.
        hidden: H, size of the state.
        window: most input samples.
        layers: number of recurrent layers.
    """

    def __init__(
        self, cell: Literal["rnn_tanh", "gru", "lstm"], hidden: int, window: int, layers: int = 1
    ) -> None:
        super().__init__()
        if min(hidden, window, layers) < 1:
            raise ValueError(f"hidden ({hidden}), window ({window}), layers ({layers}): at least 1")
        kinds = {"rnn_tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        self.recurrent = kinds[cell](1, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        self.window = window

    def forward(self, window: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Forecast the sample after each window `(B, T)`, oldest first: `(B, 1)`, and no state."""
        states, _ = self.recurrent(window.unsqueeze(-1))  # (B, T) -> (B, T, H)
        return self.head(states[:, -1]), None  # (B, H) -> (B, 1)

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`: `(B, n)`.

        The window slides over its own forecasts. They are written in place and cannot be
        differentiated: a small tensor for each step would fragment the heap by hundreds of MiB.
        """
        given = history[:, -self.window :].to(self.head.weight)
        length = given.shape[1]
        samples = given.new_empty(len(given), length + horizon)
        samples[:, :length] = given
        for end in range(length, length + horizon):
            following, _ = self(samples[:, max(end - self.window, 0) : end])
            samples[:, end] = following.squeeze(1)
        return samples[:, length:]
