"""The hidden state that training carries from one update to the next, and out: state.npy.

A state is h `(layers, B, H)`, for an LSTM the pair (h, c).
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

State = Tensor | tuple[Tensor, Tensor]


def detach_state(state: State) -> State:
    """The same state, cut off from the updates that led to it."""
    if isinstance(state, tuple):
        hidden, memory = state
        return hidden.detach(), memory.detach()
    return state.detach()


def write_state(path: Path, state: State | None) -> None:
    """Write `(h or h and c, layers, B, H)`; an empty array where none was carried."""
    if state is None:
        parts = torch.zeros(0)
    elif isinstance(state, tuple):
        parts = torch.stack(state)
    else:
        parts = state.unsqueeze(0)
    np.save(path, parts.cpu().numpy())


def read_state(path: Path) -> State | None:
    """Read what `write_state` wrote."""
    parts = torch.from_numpy(np.load(path))
    if len(parts) == 0:
        return None
    if len(parts) == 1:
        return parts[0]
    return parts[0], parts[1]
