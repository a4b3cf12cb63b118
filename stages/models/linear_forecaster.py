"""A linear map from the last samples to the next ones, applied to its own forecasts."""

import torch
from torch import Tensor, nn


class LinearForecaster(nn.Module):
    """Forecasts a block of samples from those before it: y_{t+1…t+H} = W y_{t-K+1…t} + b.

    An autoregression AR(p) has K = p and H = 1. With K = H and W = 1 it repeats the last season.

    Args:
        context: K, input samples.
        block: H, samples forecast at once.
    """

    def __init__(self, context: int, block: int) -> None:
        super().__init__()
        if min(context, block) < 1:
            raise ValueError(f"context ({context}) and block ({block}) must be at least 1")
        self.context = context
        self.block = block
        self.weight = nn.Parameter(torch.zeros(block, context, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(block, dtype=torch.float64))

    @property
    def shortest_history(self) -> int:
        """Fewest samples of a history."""
        return self.context

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`, block by block: `(B, n)`.

        The last K samples of the history count, oldest first.

        Raises:
            ValueError: if the history is shorter than K.
        """
        context, block = self.context, self.block
        if history.shape[1] < self.shortest_history:
            raise ValueError(f"a history needs {context} samples, not {history.shape[1]}")
        num_blocks = -(-horizon // block)
        samples = history.new_empty(len(history), context + num_blocks * block)
        samples[:, :context] = history[:, -context:]
        for end in range(context, samples.shape[1], block):
            following = samples[:, end - context : end] @ self.weight.T + self.bias
            samples[:, end : end + block] = following
        return samples[:, context : context + horizon]
