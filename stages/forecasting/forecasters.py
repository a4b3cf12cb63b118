"""A trained forecaster as a function of arrays, its config and its hidden state.

A state is h `(layers, B, H)`, or for an LSTM the pair (h, c). Training carries it from one update
to the next and writes the last one to state.npy.
"""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stages.forecasting.series import Array, ForecastFunction
from stages.shared.arrays import read_arrays
from stages.shared.model_config import ModelConfig

State = Tensor | tuple[Tensor, Tensor]


def wrap_model(model: Any, state: State | None = None) -> ForecastFunction:
    """Return a model with a method `forecast` as a function of arrays.

    The forecaster starts in the given state, or in zeros. NaN pads short histories in front.
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
    """Return the shortest history of a fitted model; 0 for a network, which takes any history."""
    return getattr(model, "shortest_history", 0)


def describe_model(model: nn.Module, arguments: dict[str, Any] | None = None) -> ModelConfig:
    """Return the config of a forecaster, with the configs of its members.

    `arguments` are those of its network; None: a fitted model, with its arguments as attributes.
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
