"""A hand-written recurrent cell that reads a name letter by letter."""

import torch
from torch import Tensor, nn


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
        """Symbols `(B, T)`, padded on the right, lengths `(B,)` -> log-probabilities `(B, L)`."""
        # u(x) of a one-hot x is a column of its weights: look it up instead of multiplying
        drive = nn.functional.embedding(letters, self.u.weight.t()) + self.u.bias  # (B, T, H)
        state = drive.new_zeros(len(letters), self.w.in_features)  # (B, H)
        for t, driven in enumerate(drive.unbind(1)):
            following = torch.tanh(driven + self.w(state))
            state = torch.where((t < lengths).unsqueeze(1), following, state)
        return torch.log_softmax(self.v(state), dim=1)
