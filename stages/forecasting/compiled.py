"""Gradients of forecasts one step ahead by the compiled kernels, one window at a time."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from stages.shared import kernels


class CompiledGradient:
    """Mean squared error of the forecasts one step ahead, and its gradient.

    Args:
        model: its weights move into one vector, which an optimizer takes in one call.
        kernel: name of a function in `kernels`.
        carry_state: hand the hidden state from one window to the next.
    """

    def __init__(self, model: Any, kernel: str, carry_state: bool) -> None:
        self.differentiate = getattr(kernels, kernel)
        self.vector = nn.Parameter(parameters_to_vector(model.parameters()).detach())  # (P,)
        self.vector.grad = torch.zeros_like(self.vector)
        vector_to_parameters(self.vector, model.parameters())
        self.weights = self.vector.detach().numpy()
        self.gradients = self.vector.grad.numpy()
        self.hidden = np.zeros(model.recurrent.hidden_size, np.float32)
        self.carry_state = carry_state

    @property
    def state(self) -> Tensor | None:
        """What is carried, `(1, 1, H)`."""
        return torch.from_numpy(self.hidden).view(1, 1, -1) if self.carry_state else None

    def __call__(self, batch: Any) -> tuple[float, Tensor]:
        """The loss of a batch of one window, and its forecasts `(1, T)` or `(1, 1)`."""
        if not self.carry_state:
            self.hidden[:] = 0
        windows, targets = batch.inputs.numpy(), batch.targets.numpy()
        forecasts = np.empty_like(targets)
        loss = self.differentiate(
            windows, targets, self.hidden, self.weights, self.gradients, forecasts
        )
        return loss, torch.from_numpy(forecasts)
