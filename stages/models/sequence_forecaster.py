"""A recurrent layer with a linear head at every step."""

from typing import Literal

import torch
from torch import Tensor, nn

State = Tensor | tuple[Tensor, Tensor]  # (layers, B, H), for an LSTM a pair of them


class SequenceForecaster(nn.Module):
    """Forecasts the next sample after each sample that it sees.

    One network applied T times: h_t = f(W_I x_t + b_I + W_R h_{t-1} + b_R), y_t = V h_t + c.

    Args:
        cell: kind of the recurrent layer.
        hidden: H, size of its state.
        layers: number of recurrent layers.
        init_std: draw all recurrent parameters from N(0, init_std²); None: PyTorch's default.
    """

    def __init__(
        self,
        cell: Literal["rnn_tanh", "rnn_relu", "gru", "lstm"],
        hidden: int,
        layers: int = 1,
        init_std: float | None = None,
    ) -> None:
        super().__init__()
        if hidden < 1 or layers < 1:
            raise ValueError(f"hidden ({hidden}) and layers ({layers}) must be at least 1")
        kinds = {"gru": nn.GRU, "lstm": nn.LSTM}
        extra = {} if cell in kinds else {"nonlinearity": cell.removeprefix("rnn_")}
        self.recurrent = kinds.get(cell, nn.RNN)(1, hidden, layers, batch_first=True, **extra)
        if init_std is not None:
            for parameter in self.recurrent.parameters():
                nn.init.normal_(parameter, std=init_std)
        self.head = nn.Linear(hidden, 1)
        self.folds = cell.startswith("rnn_") and layers == 1

    def forward(self, window: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Forecast the sample after each sample of a window.

        Args:
            window: `(B, T)`, oldest first.
            state: hidden state before the window; None: zeros.

        Returns:
            forecasts `(B, T)` in the units of the window, and the state after it.
        """
        states, last = self.recurrent(window.unsqueeze(-1), state)  # (B, T) -> (B, T, H)
        return self.head(states).squeeze(-1), last

    def forecast(self, history: Tensor, horizon: int, state: State | None = None) -> Tensor:
        """Forecast the samples after a history, feeding forecasts back.

        Args:
            history: `(B, T)`, oldest first.
            horizon: n, number of samples.
            state: hidden state before the history; None: zeros.

        Returns:
            `(B, n)`.
        """
        nexts, state = self(history, state)
        first = nexts[:, -1:]
        return torch.cat([first, self.run_free(first, state, horizon - 1)], dim=1)

    def run_free(self, first: Tensor, state: State, steps: int) -> Tensor:
        """Feed forecasts back: `(B, 1)` and the state that gave it -> the next `(B, steps)`."""
        if steps == 0:
            return first[:, :0]
        return (self._run_folded if self.folds else self._run_stepwise)(first, state, steps)

    def _run_folded(self, first: Tensor, state: Tensor, steps: int) -> Tensor:
        """Feed forecasts back in one call over zero inputs.

        With y = V h + c the next state is f((W_R + W_I V) h + b_R + (b_I + W_I c)): the head
        is folded into the recurrence, which then needs no input and stays differentiable.
        """
        layer, head = self.recurrent, self.head
        folded = {
            "weight_ih_l0": layer.weight_ih_l0,
            "weight_hh_l0": layer.weight_hh_l0 + layer.weight_ih_l0 @ head.weight,
            "bias_ih_l0": layer.bias_ih_l0 + layer.weight_ih_l0 @ head.bias,
            "bias_hh_l0": layer.bias_hh_l0,
        }
        silence = first.new_zeros(len(first), steps, 1)
        states, _ = torch.func.functional_call(layer, folded, (silence, state))
        return self.head(states).squeeze(-1)

    def _run_stepwise(self, first: Tensor, state: State, steps: int) -> Tensor:
        forecasts = [first]
        for _ in range(steps):
            following, state = self(forecasts[-1], state)
            forecasts.append(following)
        return torch.cat(forecasts[1:], dim=1)
