"""Several trained classifiers as one: the weighted mean of their log-probabilities.

A logarithmic opinion pool (Genest & Zidek 1986), the product of experts with fixed exponents: a
language that is impossible for one member stays improbable.
"""

import torch
from torch import Tensor, nn


class BlendClassifier(nn.Module):
    """Letters -> every member's log-probabilities -> their weighted mean.

    Args:
        members: classifiers of the same languages.
        weights: one for each member, with any sum; a larger sum gives more certain predictions.
    """

    weights: Tensor

    def __init__(self, members: list[nn.Module], weights: list[float]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", torch.tensor(weights), persistent=False)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        """Symbols `(B, T)`, padded on the right, lengths `(B,)` -> log-probabilities `(B, L)`."""
        log_probabilities = torch.stack(
            [member(letters, lengths) for member in self.members], dim=2
        )
        return (log_probabilities @ self.weights).log_softmax(1)  # (B, L, M) -> (B, L), normalised
