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
from stages.shared.arrays import read_arrays
from stages.shared.model_config import ModelConfig

State = Tensor | tuple[Tensor, Tensor]


def wrap_model(model: Any, state: State | None = None) -> Forecaster:
    """A model, which has a method `forecast`, as a forecaster that starts in a state or zeros.

    Histories that begin with NaN are shorter than the others; those of one length are one batch.
    """

    def forecast(history: Array, horizon: int) -> Array:
        missing = np.isnan(history).sum(axis=1)
        forecasts = np.empty((len(history), horizon))
        with torch.inference_mode():
            for number in np.unique(missing):
                rows = missing == number
                samples = torch.tensor(history[rows, number:], dtype=torch.float64)
                forecasts[rows] = model.forecast(samples, horizon, state).double().cpu().numpy()
        return forecasts

    return forecast


def find_shortest_history(model: Any) -> int:
    """Samples that a fitted model needs before its forecast; 0: a network takes any history."""
    return getattr(model, "shortest_history", 0)


def describe_model(model: nn.Module, arguments: dict[str, Any] | None = None) -> ModelConfig:
    """The config of a forecaster; its members have configs in it.

    Args:
        model: the forecaster.
        arguments: of a network; None: a fitted model, whose arguments are its attributes.
    """

    def describe(part: nn.Module) -> dict[str, Any]:
        names = inspect.signature(type(part)).parameters
        if "members" not in names and arguments is not None:
            network = arguments
        else:
            network = {name: getattr(part, name) for name in names}
        if "members" in names:
            network["members"] = [describe(member) for member in network["members"]]
        architecture = type(part).__module__.rpartition(".")[2]
        return {"architecture": architecture, "network": network}

    return ModelConfig("forecasting", **describe(model))


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
    parts = torch.from_numpy(read_arrays(path)[""])
    if len(parts) == 0:
        return None
    if len(parts) == 1:
        return parts[0]
    return parts[0], parts[1]
