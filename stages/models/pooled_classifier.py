"""A recurrent net that names a surname's language from its strongest states.

The states of a tanh RNN, GRU (Cho et al. 2014) or LSTM (Hochreiter & Schmidhuber 1997), read in
one direction or both (Schuster & Paliwal 1997), are pooled by their maximum over time (Collobert
et al. 2011; for recurrent nets InferSent, Conneau et al. 2017). So every letter is one step away
from the loss, where S3 must carry it to the last state.
"""

from typing import Literal

import torch
from torch import Tensor, nn

CELLS = {"tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class PooledClassifier(nn.Module):
    """Letters -> embedding -> recurrent states -> maximum over time -> language."""

    def __init__(
        self,
        num_letters: int,
        num_languages: int,
        cell: Literal["tanh", "gru", "lstm"],
        embedding: int,
        hidden: int,
        bidirectional: bool,
        dropout: float,
    ) -> None:
        """Build the net with PyTorch's default weights.

        Args:
            num_letters: symbols of the vocabulary.
            num_languages: classes.
            cell: `tanh`, `gru` or `lstm`.
            embedding: size of a letter's vector.
            hidden: states of one direction.
            bidirectional: read the name from both ends.
            dropout: share of embedded and of pooled features dropped in training.
        """
        super().__init__()
        if min(embedding, hidden) < 1 or not 0 <= dropout < 1:
            raise ValueError(f"{embedding=} and {hidden=} must be at least 1, {dropout=} below 1")
        self.embedding = nn.Embedding(num_letters, embedding)
        self.recurrents = nn.ModuleList(
            CELLS[cell](embedding, hidden) for _ in range(1 + bidirectional)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden * (1 + bidirectional), num_languages)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Name the languages.

        Args:
            letters: `(B, T)` long, right-padded with any letter; the padding is never read.
            lengths: `(B,)` long, at least 1.

        Returns:
            `(B, num_languages)` log-probabilities.
        """
        readings = [letters, reverse_names(letters, lengths)]
        pooled = [
            self.pool_states(recurrent, letters, lengths)
            for recurrent, letters in zip(self.recurrents, readings, strict=False)
        ]
        strongest = self.dropout(torch.cat(pooled, 1))  # (B, directions * H)
        return self.head(strongest).float().log_softmax(1)  # float32 under autocast too

    def pool_states(self, recurrent: nn.Module, letters: Tensor, lengths: Tensor) -> Tensor:
        """Read the names `(B, T)` and keep each state's maximum over their letters, `(B, H)`."""
        embedded = self.dropout(self.embedding(letters.t()))  # (T, B, E), time first is faster
        states, _ = recurrent(embedded)  # (T, B, H)
        is_padding = torch.arange(len(states), device=letters.device).unsqueeze(1) >= lengths
        return states.masked_fill(is_padding.unsqueeze(2), -torch.inf).max(0).values


def reverse_names(letters: Tensor, lengths: Tensor) -> Tensor:
    """Write each name backwards and leave the padding behind it, `(B, T)` -> `(B, T)`.

    Two nets that read forwards cost less than `bidirectional=True` on packed names, and the
    maximum over time does not ask for the states' order.
    """
    places = torch.arange(letters.shape[1], device=letters.device)
    return letters.gather(1, (lengths.unsqueeze(1) - 1 - places) % letters.shape[1])
