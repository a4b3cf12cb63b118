"""lagged_rnn, literally: consecutive half-periods of the sine, input one point behind target.

Literal: step k trains on the window from k·pi to (k + 1)·pi and nothing else, in order, with the
hidden state None at first and carried (detached) afterwards. Nothing is drawn but the weights.
The walk-through has no test; the closed-loop forecast continues where training stopped. Not copied:
a figure of four of the windows, drawn on the way, and a loss curve that is drawn from tensors with
gradients, which crashes.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

HIDDEN = 32
WINDOW = 20  # points a step sees; a half-period has one more
LEARNING_RATE = 0.01


class LaggedRNN(nn.Module):
    """One tanh RNN layer and a linear head at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.RNN(1, HIDDEN, num_layers=1, batch_first=True)
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, points: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, T, 1) points and (1, B, H) state -> (B, T, 1) predictions and the next state."""
        states, hidden = self.recurrent(points, hidden)  # (B, T, 1) -> (B, T, H)
        return self.head(states), hidden


class Trained(NamedTuple):
    """What training leaves behind; losses have one entry per update."""

    model: LaggedRNN
    state: Tensor | None  # (1, 1, H), carried out of the last update; None before the first
    losses: list[float]


def train(
    num_updates: int = 100,
    initial: dict[str, Tensor] | None = None,
    seed: int = 0,
) -> Trained:
    """Train on the half-periods 0, 1, 2, ... in order; `initial` are the first weights."""
    torch.manual_seed(seed)
    model = LaggedRNN()
    if initial is not None:
        model.load_state_dict(initial)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    hidden: Tensor | None = None
    losses = []
    for step in range(num_updates):
        times = np.linspace(step * np.pi, (step + 1) * np.pi, WINDOW + 1)
        points = np.sin(times).reshape(WINDOW + 1, 1)
        x = torch.Tensor(points[:-1]).unsqueeze(0)  # (20, 1) -> (1, 20, 1)
        y = torch.Tensor(points[1:]).unsqueeze(0)

        prediction, hidden = model(x, hidden)
        hidden = hidden.detach()
        loss = criterion(prediction, y)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        losses.append(loss.item())
    return Trained(model, hidden, losses)


@torch.no_grad()
def continue_free_run(
    model: LaggedRNN, state: Tensor | None, steps: int = 49, num_windows: int = 100
) -> float:
    """MSE of `steps` steps after `num_windows` trained windows, fed back on themselves.

    The first input is the one true point sin(num_windows · pi), which training saw last as target.
    """
    first = num_windows * np.pi
    times = np.linspace(first, first + steps * np.pi / WINDOW, steps + 1)
    truth = torch.Tensor(np.sin(times))
    point = truth[0].view(1, 1, 1)
    hidden = state
    predictions = []
    for _ in range(steps):
        point, hidden = model(point, hidden)
        predictions.append(point.item())
    return nn.functional.mse_loss(torch.tensor(predictions), truth[1:]).item()
