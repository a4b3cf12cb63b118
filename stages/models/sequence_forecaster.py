"""A recurrent layer with a linear head at every step."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

_State = Tensor | tuple[Tensor, Tensor]  # (layers, B, H), for an LSTM a pair of them


class ElmanScan(torch.autograd.Function):
    """h_t = tanh(d_t + W h_{t-1}) over all time steps, in NumPy on the tensors' own memory.

    This is the recurrence of `nn.RNN` and its back-propagation through time (Werbos, 1990), some
    three times faster: on small states a torch operation costs more to call than to compute.
    """

    @staticmethod
    def forward(ctx: Any, drive: Tensor, state: Tensor, weight: Tensor) -> Tensor:
        """Drive d `(T, B, H)`, first state `(B, H)` and W `(H, H)` -> states `(T, B, H)`."""
        states = drive.detach().numpy().copy()
        before, weights = state.detach().numpy(), weight.detach().numpy().T
        for following in states:
            following += before @ weights
            before = np.tanh(following, out=following)
        ctx.save_for_backward(torch.from_numpy(states), state, weight)
        return torch.from_numpy(states)

    @staticmethod
    def backward(ctx: Any, d_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of drive, first state and W."""
        states, state, weight = (saved.detach().numpy() for saved in ctx.saved_tensors)
        d_drive = 1 - states * states  # tanh' = 1 - tanh²
        behind = np.zeros_like(state)
        for step, d_state in zip(d_drive[::-1], d_states.numpy()[::-1], strict=True):
            step *= d_state + behind
            behind = step @ weight
        hidden = weight.shape[0]
        before = np.concatenate([state[None], states[:-1]])  # (T, B, H)
        d_weight = d_drive.reshape(-1, hidden).T @ before.reshape(-1, hidden)
        return torch.from_numpy(d_drive), torch.from_numpy(behind), torch.from_numpy(d_weight)


class SequenceForecaster(nn.Module):
    """Forecasts the next sample after each sample of a window.

    One network applied T times: h_t = f(W_I x_t + b_I + W_R h_{t-1} + b_R), y_t = V h_t + c.

    An Elman network that is trained with one window per update uses a compiled kernel in place of
    `forward`: see `find_kernel` in stages/forecasting/train.py.

    Args:
        cell: kind of the recurrent layer.
        hidden: H, size of the state.
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
        self.recurrent: nn.RNNBase  # (B, T, 1) -> (B, T, H)
        if cell == "gru":
            self.recurrent = nn.GRU(1, hidden, layers, batch_first=True)
        elif cell == "lstm":
            self.recurrent = nn.LSTM(1, hidden, layers, batch_first=True)
        else:
            self.recurrent = nn.RNN(
                1, hidden, layers, batch_first=True, nonlinearity=cell.removeprefix("rnn_")
            )
        if init_std is not None:
            for parameter in self.recurrent.parameters():
                nn.init.normal_(parameter, std=init_std)
        self.head = nn.Linear(hidden, 1)
        self.can_fold_head = cell.startswith("rnn_") and layers == 1
        self.has_scan = cell == "rnn_tanh" and layers == 1

    def forward(self, window: Tensor, state: _State | None = None) -> tuple[Tensor, _State]:
        """Forecast the sample after each sample of a window `(B, T)`, oldest first.

        Starts from a hidden state, None for zeros, and returns forecasts `(B, T)` and the state
        after the window.
        """
        weights: dict[str, Tensor] = dict(self.recurrent.named_parameters())
        states, last = self._recur(window.unsqueeze(-1), state, weights)  # (B, T) -> (B, T, H)
        forecasts: Tensor = self.head(states).squeeze(-1)
        return forecasts, last

    def _recur(
        self, inputs: Tensor, state: _State | None, weights: dict[str, Tensor]
    ) -> tuple[Tensor, _State]:
        """Run the recurrent layer with any weights: `(B, T, 1)` -> `(B, T, H)` and last state."""
        if not self.has_scan or inputs.device.type != "cpu":
            answer: tuple[Tensor, _State]
            answer = torch.func.functional_call(self.recurrent, weights, (inputs, state))
            return answer
        bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
        drive = inputs.transpose(0, 1) @ weights["weight_ih_l0"].t() + bias  # (T, B, H)
        first = drive.new_zeros(drive.shape[1:]) if state is None else state[0]
        states: Tensor = ElmanScan.apply(  # type: ignore[no-untyped-call]  # torch gives no hints
            drive, first, weights["weight_hh_l0"]
        )
        return states.transpose(0, 1), states[-1:]

    def forecast(self, history: Tensor, horizon: int, state: _State | None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`, feeding forecasts back.

        Starts from a hidden state, None for zeros, and returns `(B, n)`.
        """
        nexts, state = self(history.to(self.head.weight), state)
        first = nexts[:, -1:]
        return torch.cat([first, self.forecast_closed_loop(first, state, horizon - 1)], dim=1)

    def forecast_closed_loop(self, first: Tensor, state: _State, steps: int) -> Tensor:
        """Feed forecasts back: the first one `(B, 1)` and its state -> the next `(B, steps)`."""
        if steps == 0:
            return first[:, :0]
        if not self.can_fold_head:
            forecasts = [first]
            for _ in range(steps):
                following, state = self(forecasts[-1], state)
                forecasts.append(following)
            return torch.cat(forecasts[1:], dim=1)
        # one call over zero inputs: with y = V h + c the next state is f((W_R + W_I V) h + b_R +
        # (b_I + W_I c)), so the head becomes part of the recurrence, which stays differentiable
        weights: dict[str, Tensor] = dict(self.recurrent.named_parameters())
        inward, outward = weights["weight_ih_l0"], self.head.weight  # W_I and V
        weights["weight_hh_l0"] = weights["weight_hh_l0"] + inward @ outward
        weights["bias_ih_l0"] = weights["bias_ih_l0"] + inward @ self.head.bias
        zeros = first.new_zeros(len(first), steps, 1)
        states, _ = self._recur(zeros, state, weights)
        closed_loop: Tensor = self.head(states).squeeze(-1)
        return closed_loop
