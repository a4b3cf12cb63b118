"""Build networks by the name of their architecture; write and read their weights."""

import importlib
import inspect
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Any

import torch
from pydantic import ConfigDict, Field, create_model
from torch import nn

from stages.shared.errors import InputError, is_out_of_memory, summarize
from stages.shared.model_config import (
    Member,
    ModelConfig,
    check_architecture,
    read_config,
    write_config,
    write_times,
)
from stages.shared.params import Params, check_params
from stages.shared.reproducible import describe_processor
from stages.shared.tables import Curves, write_curves

_MOST_WEIGHTS = 10**8  # 1.6 GB with their gradients and the state of Adam
_SMALL = 1000  # smaller sizes need no count of weights, which takes a second of imports
_SIZE = Annotated[int, Field(le=10**7)]
_LAYERS = Annotated[int, Field(le=100)]


class _Arguments(Params):
    """Base of the arguments of an architecture, which may be networks."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


def find_class(architecture: str, where: str) -> Callable[..., nn.Module]:
    """Return the class of stages/models/<architecture>.py, with the same name in CamelCase.

    Raises:
        InputError: if there is no such architecture; the message starts with `where`.
    """
    check_architecture(architecture, where)  # a module of another name is never imported
    module = importlib.import_module(f"stages.models.{architecture}")
    class_name = "".join(word.capitalize() for word in architecture.split("_"))
    make: Callable[..., nn.Module] = getattr(module, class_name)
    return make


def build_network(architecture: str, network: dict[str, Any], where: str) -> nn.Module:
    """Build the network of stages/models/<architecture>.py, after the members of a blend.

    Raises:
        InputError: if there is no such architecture, it does not take these arguments, or it has
            too many weights. The message starts with `where`, for example `params.yaml:
            forecasters.carried_rnn`.
    """
    make = find_class(architecture, where)
    where = f"{where}.network"
    if "members" in network:
        members = []
        for member in check_params(network["members"], list[Member], f"{where}.members"):
            members.append(build_network(member.architecture, member.network, f"{where}.members"))
        network = network | {"members": members}
    fields: dict[str, Any] = {}  # the signature, checked as strictly as any params
    for name, parameter in inspect.signature(make).parameters.items():
        default = ... if parameter.default is parameter.empty else None
        hint = _SIZE if parameter.annotation is int else parameter.annotation
        fields[name] = (_LAYERS if name == "layers" else hint, default)
    check_params(network, create_model("Network", __base__=_Arguments, **fields), where)
    try:
        if any(size > _SMALL for size in network.values() if isinstance(size, int)):
            with torch.device("meta"):  # counts the weights without memory for them
                weights = make(**network).state_dict().values()
                num_weights = sum(weight.numel() for weight in weights)
            if num_weights > _MOST_WEIGHTS:
                raise InputError(
                    f"{where} has {num_weights:,} weights, more than {_MOST_WEIGHTS:,}: "
                    "lower its sizes"
                )
        return make(**network)
    except (ValueError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise InputError(f"{where}: {error}") from None


def write_model(folder: Path, config: ModelConfig, model: nn.Module) -> None:
    """Write weights.pt and config.json; the same values give the same bytes.

    Raises:
        InputError: if a weight is NaN or infinite.
    """
    weights = {}
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise InputError(
                f"{folder.name}: {name} is no longer finite after training: lower rate or "
                "weight_decay in params.yaml"
            )
        # clone: of a view, torch.save would write the whole storage
        weights[name] = value.detach().cpu().clone()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / "weights.pt")
    write_config(folder, config)


def write_fitted_model(
    folder: Path, config: ModelConfig, model: nn.Module, started: datetime
) -> None:
    """Write a model that was fitted or combined without updates, with empty curves."""
    write_model(folder, config, model)
    write_curves(folder / "curves.csv", Curves())
    write_times(folder, started, describe_processor())


def read_model(folder: Path) -> nn.Module:
    """Read a trained model, on the CPU and in evaluation mode.

    Raises:
        InputError: if its files are damaged, or do not belong together.
    """
    config = read_config(folder)
    model = build_network(config.architecture, config.network, str(folder / "config.json"))
    path = folder / "weights.pt"
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(weights, assign=True)  # assign: keeps float64 weights as they are
    except (AttributeError, EOFError, RuntimeError, TypeError, UnpicklingError) as error:
        if is_out_of_memory(error):
            raise
        reason = summarize(error)
        raise InputError(
            f"{path} does not have the weights of {config.architecture} ({reason})"
        ) from None
    return model.eval()
