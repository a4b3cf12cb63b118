"""A trained forecaster as a function of arrays, and the hidden state that training carries.

A state is h `(layers, B, H)`, for an LSTM the pair (h, c). Training hands it from one update to the
next and writes the last one to state.npy.
"""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.forecasting.series import Array, Forecaster
from stages.shared.model_config import ModelConfig

State = Tensor | tuple[Tensor, Tensor]


def wrap_model(model: Any, state: State | None = None) -> Forecaster:
    """A network, which has a method `forecast`, as a forecaster that starts in a state or zeros."""
    dtype = next(model.parameters()).dtype

    def forecast(history: Array, horizon: int) -> Array:
        with torch.inference_mode():
            samples = torch.from_numpy(history).to(dtype)
            forecasts: Array = model.forecast(samples, horizon, state).double().numpy()
        return forecasts

    return forecast


def describe_model(model: nn.Module, scaling: dict[str, float] | None) -> ModelConfig:
    """The config of a forecaster whose arguments are its attributes."""
    kind = type(model)
    network = {name: getattr(model, name) for name in inspect.signature(kind).parameters}
    return ModelConfig("forecasting", kind.__module__.rpartition(".")[2], network, scaling)


def write_state(path: Path, state: State | None) -> None:
    """Write `(h or h and c, layers, B, H)`; an empty array where none was carried."""
    if state is None:
        parts = torch.zeros(0)
    elif isinstance(state, tuple):
        parts = torch.stack(state)
    else:
        parts = state.unsqueeze(0)
    np.save(path, parts.cpu().numpy())


def read_state(path: Path) -> State | None:
    """Read what `write_state` wrote."""
    parts = torch.from_numpy(np.load(path))
    if len(parts) == 0:
        return None
    if len(parts) == 1:
        return parts[0]
    return parts[0], parts[1]
