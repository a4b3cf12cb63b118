"""A hand-written recurrent cell that reads a name letter by letter."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float32]
Batch = tuple[Tensor, Tensor, Tensor]  # letters (B, T), lengths (B,), languages (B,)


class ElmanClassifier(nn.Module):
    """Simple recurrent network (Elman, Finding Structure in Time, 1990).

    h_t = tanh(u(x_t) + w(h_{t-1})), h_0 = 0, log-softmax(v(h_T)) after the last letter.

    Args:
        num_letters: V, size of the alphabet.
        num_languages: L.
        hidden: H, size of the state.
    """

    def __init__(self, num_letters: int, num_languages: int, hidden: int) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden ({hidden}) must be at least 1")
        self.u = nn.Linear(num_letters, hidden)
        self.w = nn.Linear(hidden, hidden)
        self.v = nn.Linear(hidden, num_languages)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Log-probability of each language.

        Args:
            letters: `(B, T)`, symbol indices, padded on the right with any symbol.
            lengths: `(B,)`, letters of each name, at least 1.

        Returns:
            `(B, L)`.
        """
        # u(x) of a one-hot x is a column of its weights: look it up instead of multiplying
        drive = nn.functional.embedding(letters, self.u.weight.t()) + self.u.bias  # (B, T, H)
        state = drive.new_zeros(len(letters), self.w.in_features)  # (B, H)
        for t, driven in enumerate(drive.unbind(1)):
            following = torch.tanh(driven + self.w(state))
            state = torch.where((t < lengths).unsqueeze(1), following, state)
        return torch.log_softmax(self.v(state), dim=1)

    def make_update_by_hand(
        self, rate: float
    ) -> Callable[[Batch, bool], tuple[float, float | None, Tensor]]:
        """Plain SGD on one name at a time, differentiated by hand.

        At batch 1 a torch operation costs more to call than to compute. These are the same
        updates as automatic differentiation of the negative log-likelihood gives, some ten
        times faster: back-propagation through time (Werbos, 1990) written out in NumPy, on
        the memory of the very parameters.

        Args:
            rate: learning rate.

        Returns:
            update: takes letters `(1, T)`, lengths `(1,)` (T) and languages `(1,)`, changes the
            parameters and returns what was before the change: the loss, the gradient norm if
            asked, and the logits `(1, L)`.
        """
        # (H, V), (H,); (H, H), (H,); (L, H), (L,)
        u, u_bias, w, w_bias, v, v_bias = (p.detach().numpy() for p in self.parameters())
        columns = u.T  # (V, H): a row is what one letter adds to the state

        def update(batch: Batch, watched: bool) -> tuple[float, float | None, Tensor]:
            letters = batch[0][0].numpy()
            states = run_forwards(columns[letters] + (u_bias + w_bias), w)
            logits = v @ states[-1] + v_bias
            loss, d_logits = differentiate_nll(logits, int(batch[2].item()))

            d_drive = run_backwards(states, d_logits @ v, w)
            d_bias = d_drive.sum(axis=0)
            d_w = d_drive[1:].T @ states[:-1]
            d_v = np.outer(d_logits, states[-1])

            norm = None
            if watched:
                d_u = np.zeros_like(columns)
                np.add.at(d_u, letters, d_drive)
                norm = measure_norm([d_u, d_bias, d_w, d_bias, d_v, d_logits])

            np.subtract.at(columns, letters, rate * d_drive)
            w[:] -= rate * d_w
            v[:] -= rate * d_v
            u_bias[:] -= rate * d_bias
            w_bias[:] -= rate * d_bias
            v_bias[:] -= rate * d_logits
            return loss, norm, torch.from_numpy(logits).unsqueeze(0)

        return update


def run_forwards(drive: Array, w: Array) -> Array:
    """h_t = tanh(d_t + w h_{t-1}): drive d `(T, H)` -> states `(T, H)`, in the same memory."""
    np.tanh(drive[0], out=drive[0])
    for before, state in pairwise(drive):
        state += w @ before
        np.tanh(state, out=state)
    return drive


def differentiate_nll(logits: Array, language: int) -> tuple[float, Array]:
    """The loss of `(L,)` logits, shifted in place to a maximum of 0, and its gradient `(L,)`."""
    logits -= logits.max()  # exp cannot overflow
    odds = np.exp(logits)
    total = odds.sum()
    loss = float(np.log(total) - logits[language])
    d_logits = odds / total
    d_logits[language] -= 1
    return loss, d_logits


def run_backwards(states: Array, d_last: Array, w: Array) -> Array:
    """Gradient of the drive, `(T, H)`, from that of the last state, `(H,)`."""
    d_drive = 1 - states * states  # tanh' = 1 - tanh²
    behind = d_last
    for step in d_drive[::-1]:
        step *= behind
        behind = step @ w
    return d_drive


def measure_norm(gradients: list[Array]) -> float:
    """Total norm of all gradients together."""
    return math.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in gradients))
