"""Networks by the name of their architecture, and their weights on disk."""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, create_model
from torch import nn

from stages.shared.bundle import ModelConfig, read_config, write_config
from stages.shared.errors import InputError
from stages.shared.params import check_params

MODELS = Path(__file__).parents[1] / "models"


def build_network(architecture: str, network: dict[str, Any], where: str) -> nn.Module:
    """Build the network of stages/models/<architecture>.py.

    Args:
        architecture: name of the module; its class has the same name in CamelCase.
        network: arguments of the class; a blend's members are built first.
        where: beginning of error messages, such as `params.yaml: sine.carried_rnn`.

    Raises:
        InputError: no such architecture, or arguments that it does not take.
    """
    make = _find_class(architecture, where)
    if "members" in network:
        members = [
            build_network(member["architecture"], member["network"], where)
            for member in network["members"]
        ]
        return make(**{**network, "members": members})
    _check_arguments(make, network, f"{where}.network")
    try:
        return make(**network)
    except ValueError as error:
        raise InputError(f"{where}.network: {error}") from None


def _find_class(architecture: str, where: str) -> Callable[..., nn.Module]:
    try:
        module = importlib.import_module(f"stages.models.{architecture}")
    except ModuleNotFoundError:
        known = sorted(path.stem for path in MODELS.glob("[a-z]*.py"))
        raise InputError(
            f"{where}.architecture: there is no stages/models/{architecture}.py: "
            f"choose one of {', '.join(known)}, or write it"
        ) from None
    class_name = "".join(word.capitalize() for word in architecture.split("_"))
    make: Callable[..., nn.Module] = getattr(module, class_name)
    return make


def _check_arguments(make: Callable[..., nn.Module], network: dict[str, Any], where: str) -> None:
    """Hold the arguments against the signature, as strictly as any params."""
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(make).parameters.items():
        default = ... if parameter.default is parameter.empty else None
        fields[name] = (parameter.annotation, default)
    config = ConfigDict(extra="forbid", strict=True)
    schema: type[BaseModel] = create_model("Network", __config__=config, **fields)
    check_params(network, schema, where)


def write_model(folder: Path, config: ModelConfig, model: nn.Module) -> None:
    """Write weights.pt and config.json; the same values give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {}
    for name, value in model.state_dict().items():
        # clone: a view would save the whole storage that it looks into
        weights[name] = value.detach().cpu().clone()
    torch.save(weights, folder / "weights.pt")
    write_config(folder, config)


def read_model(folder: Path) -> nn.Module:
    """Rebuild a trained model, on the CPU and ready to predict."""
    config = read_config(folder)
    model = build_network(config.architecture, config.network, str(folder / "config.json"))
    weights = torch.load(folder / "weights.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(weights, assign=True)  # assign: keeps float64 weights as they are
    return model.eval()
