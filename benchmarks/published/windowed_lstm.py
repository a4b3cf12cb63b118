"""windowed_lstm, literally: sliding windows of a sine and a recursive forecast.

Literal: windows in order, one at a time, the LSTM fed as (T, 1, 1) with a zero state at each
window, plain SGD; the forecast re-runs the network over the last 40 values, its own included, for
every further point. Nothing is drawn but the weights: LSTM first, then the head. Not copied: a loss
printed every epoch.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

HIDDEN = 50
WINDOW = 40
NUM_TEST = 40  # last points of the series, never trained on
LEARNING_RATE = 0.01


class WindowedLSTM(nn.Module):
    """One LSTM layer and a linear head on its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(1, HIDDEN)
        self.head = nn.Linear(HIDDEN, 1)

    def forward(self, window: Tensor) -> Tensor:
        """(T,) points -> (1,), the point after them."""
        zero_state = (torch.zeros(1, 1, HIDDEN), torch.zeros(1, 1, HIDDEN))
        states, _ = self.recurrent(window.view(len(window), 1, 1), zero_state)  # (T, 1, H)
        predictions: Tensor = self.head(states.view(len(window), -1))
        return predictions[-1]


class Trained(NamedTuple):
    """What training leaves behind; losses have one entry per update, 720 an epoch."""

    model: WindowedLSTM
    losses: list[float]


def make_series(num_points: int = 800) -> Tensor:
    """A sine of period 40 (with the walk-through's 3.1416), one point a unit of time."""
    times = torch.linspace(0, num_points - 1, num_points)
    return torch.sin(times * 2 * 3.1416 / 40)


def cut_windows(points: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Every 40 points in a row, with the next one as (1,) label."""
    windows = []
    for start in range(len(points) - WINDOW):
        end = start + WINDOW
        windows.append((points[start:end], points[end : end + 1]))
    return windows


def train(
    num_updates: int = 7200,
    initial: dict[str, Tensor] | None = None,
    seed: int = 42,
) -> Trained:
    """Train on the windows in order, epoch after epoch; `initial` are the first weights."""
    torch.manual_seed(seed)
    model = WindowedLSTM()
    if initial is not None:
        model.load_state_dict(initial)
    windows = cut_windows(make_series()[:-NUM_TEST])
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    losses = []
    for update in range(num_updates):
        window, label = windows[update % len(windows)]
        optimizer.zero_grad()
        loss = criterion(model(window), label)
        loss.backward()
        optimizer.step()

        losses.append(loss.item())
    return Trained(model, losses)


@torch.no_grad()
def forecast(model: WindowedLSTM, series: Tensor, steps: int = NUM_TEST) -> float:
    """MSE of the last `steps` points of the series, forecast from the 40 before them."""
    values = series[:-steps][-WINDOW:].tolist()
    for _ in range(steps):
        window = torch.tensor(values[-WINDOW:])
        values.append(model(window).item())
    return nn.functional.mse_loss(torch.tensor(values[WINDOW:]), series[-steps:]).item()
