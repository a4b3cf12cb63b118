"""The gradient through time: the dependence of the last state on an earlier one."""

from functools import partial
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.shared.params import Amount, Params, Seed

_Cell = nn.RNNCell | nn.LSTMCell
_Radius = Annotated[float, Field(gt=0, le=10)]  # finite to the power of the longest distance
_Bias = Annotated[float, Field(ge=-100, le=100)]


class ProbeParams(Params):
    """Section `probe_layers` of params.yaml."""

    seed: Seed  # of weights and inputs
    hidden: int = Field(gt=0, le=256)  # H, size of the state
    distance: int = Field(gt=0, le=300)  # time steps from the first state to the last
    radii: list[_Radius] = Field(min_length=1)  # spectral radii of W_R
    forget_biases: list[_Bias | None] = Field(min_length=1)  # of the LSTMs; null: the default
    clip_norm: Amount  # marked in the figure


class Norm(NamedTuple):
    """Spectral norm of the gradient of the last state by the state `distance` steps before."""

    case: str  # zero input, normal inputs or LSTM
    layer: str
    distance: int
    spectral_norm: float


def trace_gradient(cell: _Cell, inputs: Tensor) -> list[float]:
    """Return the spectral norms of ds_T/ds_k for k = T-1, ..., 1, after inputs `(T, features)`.

    The state s is h, for an LSTM (h, c) end to end. By the chain rule ds_T/ds_k is the product of
    the Jacobians of single steps; for a tanh cell each is diag(1 - h_i^2) W_R. It vanishes or
    explodes with the product of W_R.
    """
    is_lstm = isinstance(cell, nn.LSTMCell)

    def step(state: Tensor, signal: Tensor) -> Tensor:
        if is_lstm:
            return torch.cat(cell(signal, state.chunk(2)))
        following: Tensor = cell(signal, state)
        return following

    size = 2 * cell.hidden_size if is_lstm else cell.hidden_size
    state = torch.zeros(size, dtype=inputs.dtype)
    jacobians = []
    for signal in inputs:
        jacobian = torch.autograd.functional.jacobian(partial(step, signal=signal), state)
        jacobians.append(jacobian)
        state = step(state, signal).detach()

    norms = []
    product = torch.eye(size, dtype=inputs.dtype)
    for jacobian in reversed(jacobians[1:]):  # the first one leads from s_0 to s_1
        product = product @ jacobian
        norms.append(float(torch.linalg.matrix_norm(product, ord=2)))
    return norms


def trace_gradients(params: ProbeParams) -> list[Norm]:
    """Trace the gradient through time of every case and layer."""
    torch.manual_seed(params.seed)
    hidden = params.hidden
    noise = torch.randn(params.distance + 1, hidden, dtype=torch.float64)
    layers: list[tuple[str, str, _Cell, Tensor]] = []
    for radius in params.radii:
        torch.manual_seed(params.seed)  # the same matrix W_R, scaled to the spectral radius
        rnn_cell = nn.RNNCell(hidden, hidden, bias=False, dtype=torch.float64)
        recurrent = torch.randn(hidden, hidden, dtype=torch.float64)
        recurrent *= radius / torch.linalg.eigvals(recurrent).abs().max()
        rnn_cell.weight_hh.data = recurrent
        name = f"spectral radius {radius:g}"
        layers.append(("zero input", name, rnn_cell, torch.zeros_like(noise)))
        layers.append(("normal inputs", name, rnn_cell, noise))
    for bias in params.forget_biases:
        torch.manual_seed(params.seed)
        lstm_cell = nn.LSTMCell(hidden, hidden, dtype=torch.float64)
        name = "default forget bias"
        if bias is not None:
            forget = slice(hidden, 2 * hidden)  # gates are in the order input, forget, cell, output
            lstm_cell.bias_ih.data[forget] = bias
            lstm_cell.bias_hh.data[forget] = 0  # PyTorch adds two biases: one is enough
            name = f"forget bias {bias:g}"
        layers.append(("LSTM", name, lstm_cell, noise))

    norms = []
    for case, name, cell, inputs in layers:
        for distance, norm in enumerate(trace_gradient(cell, inputs), start=1):
            norms.append(Norm(case, name, distance, norm))
    return norms
