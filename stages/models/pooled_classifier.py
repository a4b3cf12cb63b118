"""A recurrent net that names a surname's language from its strongest states.

The states of a tanh RNN, GRU (Cho et al. 2014) or LSTM (Hochreiter & Schmidhuber 1997), read in
one direction or both (Schuster & Paliwal 1997), are pooled by their maximum over time (Collobert
et al. 2011; for recurrent nets InferSent, Conneau et al. 2017). So every letter is one step away
from the loss, where the published surname program must carry it to the last state.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

CELLS: dict[str, Callable[[int, int], nn.Module]] = {
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
    ) -> None:
        super().__init__()
        if min(embedding, hidden) < 1 or not 0 <= dropout < 1:
            raise ValueError(f"{embedding=} and {hidden=} must be at least 1, {dropout=} below 1")
        num_directions = 2 if bidirectional else 1
        self.embedding = nn.Embedding(num_letters, embedding)
        self.recurrents = nn.ModuleList()
        for _ in range(num_directions):
            self.recurrents.append(CELLS[cell](embedding, hidden))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden * num_directions, num_languages)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Log-probability of each language.

        Args:
            letters: `(B, T)`, symbol indices, padded on the right with any symbol.
            lengths: `(B,)`, letters of each name, at least 1.

        Returns:
            `(B, L)`.
        """
        pooled = [self.pool_states(self.recurrents[0], letters, lengths)]
        if len(self.recurrents) == 2:
            backwards = reverse_names(letters, lengths)
            pooled.append(self.pool_states(self.recurrents[1], backwards, lengths))
        strongest = self.dropout(torch.cat(pooled, 1))  # (B, directions * H)
        logits: Tensor = self.head(strongest)
        return logits.log_softmax(1)

    def pool_states(self, recurrent: nn.Module, letters: Tensor, lengths: Tensor) -> Tensor:
        """Read the names `(B, T)` and keep each state's maximum over their letters, `(B, H)`."""
        embedded = self.dropout(self.embedding(letters.t()))  # (T, B, E), time first is faster
        states: Tensor = recurrent(embedded)[0]  # (T, B, H)
        is_padding = torch.arange(len(states), device=letters.device).unsqueeze(1) >= lengths
        return states.masked_fill(is_padding.unsqueeze(2), -torch.inf).max(0).values


def reverse_names(letters: Tensor, lengths: Tensor) -> Tensor:
    """Write each name backwards and leave the padding behind it, `(B, T)` -> `(B, T)`.

    Two nets that read forwards cost less than `bidirectional=True` on packed names, and the
    maximum over time does not ask for the states' order.
    """
    places = torch.arange(letters.shape[1], device=letters.device)
    return letters.gather(1, (lengths.unsqueeze(1) - 1 - places) % letters.shape[1])
