"""A recurrent net that names a surname's language from its strongest states.

The states of a tanh RNN, GRU (Cho et al. 2014) or LSTM (Hochreiter & Schmidhuber 1997), read in
one direction or both (Schuster & Paliwal 1997), are pooled by their maximum over time (Collobert
et al. 2011; for recurrent nets InferSent, Conneau et al. 2017). So the gradient reaches every
letter directly; in the published surname program it passes through all later states.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_CELLS: dict[str, type[nn.RNN | nn.GRU | nn.LSTM]] = {
    "rnn_tanh": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


class PooledClassifier(nn.Module):
    """Letters -> embedding -> recurrent states -> maximum over time -> language.

    Args:
        num_letters: V, size of the alphabet.
        num_languages: L.
        cell: kind of the recurrent layers.
        embedding: E, size of a letter's vector.
        hidden: H, states of one direction.
        bidirectional: read the name from both ends.
        dropout: share of embedded and of pooled features dropped in training.
        marked: read a boundary marker before and after each name.
        mean: give the head the mean of the states over time beside their maximum.
    """

    def __init__(
        self,
        num_letters: int,
        num_languages: int,
        cell: Literal["rnn_tanh", "gru", "lstm"],
        embedding: int,
        hidden: int,
        bidirectional: bool,
        dropout: float,
        marked: bool = False,
        mean: bool = False,
    ) -> None:
        super().__init__()
        if min(embedding, hidden) < 1 or not 0 <= dropout < 1:
            raise ValueError(f"{embedding=} and {hidden=} must be at least 1, {dropout=} below 1")
        num_directions = 2 if bidirectional else 1
        self.begin = num_letters  # boundary markers are symbols of their own
        self.end = num_letters + 1
        self.marked = marked
        self.mean = mean
        self.embedding = nn.Embedding(num_letters + 2 * marked, embedding)
        self.recurrents = nn.ModuleList()
        for _ in range(num_directions):
            self.recurrents.append(_CELLS[cell](embedding, hidden))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden * num_directions * (1 + mean), num_languages)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Symbols `(B, T)`, padded on the right, lengths `(B,)` -> log-probabilities `(B, L)`."""
        if self.marked:
            letters = functional.pad(letters, (1, 1), value=self.begin)
            letters = letters.scatter(1, lengths.unsqueeze(1) + 1, self.end)
            lengths = lengths + 2
        pooled = [self.pool_states(self.recurrents[0], letters, lengths)]
        if len(self.recurrents) == 2:
            backwards = reverse_names(letters, lengths)
            pooled.append(self.pool_states(self.recurrents[1], backwards, lengths))
        strongest = self.dropout(torch.cat(pooled, 1))  # (B, directions * H)
        logits: Tensor = self.head(strongest)
        return logits.log_softmax(1)

    def pool_states(self, recurrent: nn.Module, letters: Tensor, lengths: Tensor) -> Tensor:
        """Maximum of each state over the letters of names `(B, T)`: `(B, H)`.

        With `mean` the means are appended: `(B, 2H)`.
        """
        embedded = self.dropout(self.embedding(letters.t()))  # (T, B, E), time first is faster
        states: Tensor = recurrent(embedded)[0]  # (T, B, H)
        is_padding = torch.arange(len(states), device=letters.device).unsqueeze(1) >= lengths
        is_padding = is_padding.unsqueeze(2)
        strongest = states.masked_fill(is_padding, -torch.inf).max(0).values
        if not self.mean:
            return strongest
        mean = states.masked_fill(is_padding, 0.0).sum(0) / lengths.unsqueeze(1)
        return torch.cat([strongest, mean], 1)


def reverse_names(letters: Tensor, lengths: Tensor) -> Tensor:
    """Write each name backwards and leave the padding behind it, `(B, T)` -> `(B, T)`.

    Two nets that read forwards cost less than `bidirectional=True` on packed names, and the
    maximum over time does not depend on the order of the states.
    """
    positions = torch.arange(letters.shape[1], device=letters.device)
    return letters.gather(1, (lengths.unsqueeze(1) - 1 - positions) % letters.shape[1])
