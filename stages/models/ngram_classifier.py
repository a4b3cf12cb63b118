"""The linear baseline: the letter n-grams of a surname, each with a weight per language.

Bags of character n-grams name languages well (Cavnar & Trenkle 1994). Hashing them into a fixed
table (Weinberger et al. 2009) and summing rows of it is fastText's classifier (Joulin et al. 2016)
without the hidden layer: multinomial logistic regression on n-gram counts.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_MULTIPLIER = 0x9E3779B1  # odd and near 2**32 / golden ratio: neighbours land far apart (Knuth)
_HASH_MASK = 2**32 - 1


class NgramClassifier(nn.Module):
    """Letters -> hashed n-grams -> sum of their rows -> language.

    All weights start at zero, which for a linear model is a fair start.

    Args:
        num_letters: V, size of the alphabet.
        num_languages: L.
        num_buckets: rows of the table; n-grams that collide share one.
        longest: letters of the longest n-gram, boundary markers included.
        dropout: share of a name's n-grams dropped in training.
    """

    def __init__(
        self, num_letters: int, num_languages: int, num_buckets: int, longest: int, dropout: float
    ) -> None:
        super().__init__()
        if min(num_buckets, longest) < 1 or not 0 <= dropout < 1:
            raise ValueError(
                f"{num_buckets=} and {longest=} must be at least 1, {dropout=} below 1"
            )
        self.begin = num_letters  # boundary markers are symbols of their own
        self.end = num_letters + 1
        self.num_buckets = num_buckets
        self.longest = longest
        self.dropout = dropout
        self.table = nn.Parameter(torch.zeros(num_buckets, num_languages))
        self.bias = nn.Parameter(torch.zeros(num_languages))

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Symbols `(B, T)`, padded on the right, lengths `(B,)` -> log-probabilities `(B, L)`."""
        buckets, is_inside = self.hash_ngrams(letters, lengths)
        counts = functional.dropout(is_inside.float(), self.dropout, self.training)
        scores = functional.embedding_bag(
            buckets, self.table, mode="sum", per_sample_weights=counts
        )  # (B, N) -> (B, L)
        return (scores + self.bias).log_softmax(1)

    def hash_ngrams(self, letters: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return buckets `(B, N)` of the n-grams of 1 to `longest` letters and boundary markers.

        Also returns which n-grams lie inside the name, `(B, N)`; the others end in the padding.
        """
        ends = lengths.unsqueeze(1) + 1  # (B, 1) where `$` stands
        marked = functional.pad(letters, (1, 1), value=self.begin)  # (B, T + 2)
        marked = marked.scatter(1, ends, self.end)
        positions = torch.arange(marked.shape[1], device=letters.device)
        hashes = torch.zeros_like(marked)
        buckets = []
        is_inside = []
        for size in range(1, min(self.longest, marked.shape[1]) + 1):
            last = marked[:, size - 1 :]  # the letter that makes (size - 1)-grams size-grams
            hashes = (hashes[:, : last.shape[1]] + last + 1) * _MULTIPLIER & _HASH_MASK
            buckets.append((hashes >> 7) % self.num_buckets)
            is_inside.append(positions[size - 1 :] <= ends)
        return torch.cat(buckets, 1), torch.cat(is_inside, 1)
