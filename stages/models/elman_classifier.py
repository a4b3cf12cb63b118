"""A hand-written recurrent cell that reads a name letter by letter."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

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
            lengths: `(B,)`, letters of each name.

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
    ) -> Callable[[Batch, bool], tuple[float, float | None]]:
        """Plain SGD on one name at a time, differentiated by hand.

        At batch 1 a torch operation costs more to call than to compute. These are the same
        updates as automatic differentiation of the negative log-likelihood gives, some ten
        times faster: back-propagation through time (Werbos, 1990) written out in NumPy, on
        the memory of the very parameters.

        Args:
            rate: learning rate.

        Returns:
            update: takes letters `(1, T)`, lengths `(1,)` (T) and languages `(1,)`, changes the
            parameters and returns the loss before the change and, if asked, the gradient norm.
        """
        # (H, V), (H,); (H, H), (H,); (L, H), (L,)
        u, u_bias, w, w_bias, v, v_bias = (p.detach().numpy() for p in self.parameters())
        columns = u.T  # (V, H): a row is what one letter adds to the state

        def update(batch: Batch, watched: bool) -> tuple[float, float | None]:
            letters, language = batch[0][0].numpy(), batch[2].item()
            states = columns[letters] + (u_bias + w_bias)  # (T, H), made h_1 … h_T in place
            np.tanh(states[0], out=states[0])
            for before, state in pairwise(states):
                state += w @ before
                np.tanh(state, out=state)
            logits = v @ states[-1] + v_bias
            logits -= logits.max()
            odds = np.exp(logits)
            d_logits = odds / odds.sum()  # (L,)
            loss = float(np.log(odds.sum()) - logits[language])
            d_logits[language] -= 1

            d_states = 1 - states * states  # (T, H), tanh' = 1 - tanh²
            behind = d_logits @ v
            for t in reversed(range(len(states))):
                d_states[t] *= behind
                behind = d_states[t] @ w
            d_bias = d_states.sum(axis=0)
            d_w = d_states[1:].T @ states[:-1]
            d_v = np.outer(d_logits, states[-1])

            norm = None
            if watched:
                d_u = np.zeros_like(columns)
                np.add.at(d_u, letters, d_states)
                gradients = (d_u, d_bias, d_w, d_bias, d_v, d_logits)
                norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients))

            np.subtract.at(columns, letters, rate * d_states)
            w[:] -= rate * d_w
            v[:] -= rate * d_v
            u_bias[:] -= rate * d_bias
            w_bias[:] -= rate * d_bias
            v_bias[:] -= rate * d_logits
            return loss, norm

        return update
