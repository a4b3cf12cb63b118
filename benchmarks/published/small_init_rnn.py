"""small_init_rnn, literally: tiny recurrent weights, long training.

Literal: as in carried_rnn one segment per iteration and a carried, detached state; every parameter
of the RNN layer (weights and biases, not the head) is drawn from N(0, 0.001²) in the constructor.
The lines that print and clip gradient norms are comments in the published program: without clipping
no gradient is measured. Not copied: clipping one parameter at a time, and a loss kept and printed
every hundredth iteration.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HIDDEN = 16
INITIAL_STD = 0.001
NUM_STARTS = 3  # a segment starts at 0, 1 or 2
TEST_STARTS = (0, 1, 2)  # one of them begins the closed-loop forecast
LEARNING_RATE = 0.01


class SmallInitRNN(nn.Module):
    """One tanh RNN layer that starts almost silent, and a linear head at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.RNN(1, HIDDEN, num_layers=1, batch_first=True)
        for parameter in self.recurrent.parameters():
            nn.init.normal_(parameter, mean=0.0, std=INITIAL_STD)
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, points: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, 1) points and (1, B, H) state -> (B, T, 1) predictions and the next state."""
        states, hidden = self.recurrent(points, hidden)  # (B, T, 1) -> (B, T, H)
        return self.head(states), hidden


class Trained(NamedTuple):
    """What training leaves behind; losses have one entry per update."""

    model: SmallInitRNN
    state: Tensor  # (1, 1, H), carried out of the last update
    losses: list[float]
    gradient_norms: list[float]  # over all parameters, before clipping; empty without it


def make_segment(start: int) -> NDArray[np.float64]:
    """Fifty points of the sine over ten radians, as a (50, 1) column."""
    return np.sin(np.linspace(start, start + 10, 50)).reshape(50, 1)


def train(
    num_updates: int = 6000,
    draws: Sequence[int] | None = None,
    initial: dict[str, Tensor] | None = None,
    seed: int = 0,
    clip_norm: float | None = None,
) -> Trained:
    """Train on one segment per update; `draws` are the starts, `initial` the first weights."""
    torch.manual_seed(seed)
    model = SmallInitRNN()
    if initial is not None:
        model.load_state_dict(initial)
    if draws is None:
        draws = np.random.default_rng(seed).integers(NUM_STARTS, size=num_updates).tolist()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    hidden = torch.zeros(1, 1, HIDDEN)
    losses, gradient_norms = [], []
    for iteration in range(num_updates):
        segment = make_segment(draws[iteration])
        x = torch.tensor(segment[:-1]).float().view(1, 49, 1)
        y = torch.tensor(segment[1:]).float().view(1, 49, 1)

        output, hidden = model(x, hidden)
        hidden = hidden.detach()
        loss = criterion(output, y)

        optimizer.zero_grad()
        loss.backward()
        if clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            gradient_norms.append(norm.item())
        optimizer.step()

        losses.append(loss.item())
    return Trained(model, hidden, losses, gradient_norms)


@torch.no_grad()
def one_point_free_run(model: SmallInitRNN, state: Tensor, start: int) -> float:
    """MSE of 49 steps from one true point and the carried state, fed back on themselves."""
    segment = torch.tensor(make_segment(start)).float()
    point = segment[0].view(1, 1, 1)
    hidden = state
    predictions = []
    for _ in range(49):
        point, hidden = model(point, hidden)
        predictions.append(point.item())
    return nn.functional.mse_loss(torch.tensor(predictions), segment[1:, 0]).item()
