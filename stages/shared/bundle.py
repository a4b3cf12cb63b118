"""A trained model on disk: weights.pt, and beside it sizes.json, by which it is rebuilt."""

import csv
import importlib
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, create_model
from torch import nn

from stages.shared.errors import InputError
from stages.shared.json_files import write_json
from stages.shared.params import check_params


@dataclass(frozen=True)
class Sizes:
    """What weights alone do not tell: the task, the architecture and its arguments."""

    task: str  # sine or surnames
    architecture: str  # module in stages/models/
    network: dict[str, Any]  # arguments of its class


@dataclass
class Curves:
    """What training recorded, one value a row; None where a column was not recorded."""

    iteration: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    mean_loss: list[float | None] = field(default_factory=list)
    gradient_norm: list[float | None] = field(default_factory=list)


def build_network(architecture: str, network: dict[str, Any], where: str) -> nn.Module:
    """Build the network of stages/models/<architecture>.py.

    Args:
        architecture: name of the module; its class has the same name in CamelCase.
        network: arguments of the class; a blend's members are built first.
        where: beginning of error messages, such as `params.yaml: sine.carried_rnn`.

    Raises:
        InputError: no such architecture, or arguments that it does not take.
    """
    arguments = dict(network)
    if "members" in arguments:
        arguments["members"] = [
            build_network(member["architecture"], member["network"], where)
            for member in arguments["members"]
        ]
        return _find_class(architecture, where)(**arguments)
    make = _find_class(architecture, where)
    _check_arguments(make, arguments, f"{where}.network")
    try:
        return make(**arguments)
    except ValueError as error:
        raise InputError(f"{where}.network: {error}") from None


def _find_class(architecture: str, where: str) -> Callable[..., nn.Module]:
    try:
        module = importlib.import_module(f"stages.models.{architecture}")
    except ModuleNotFoundError:
        known = sorted(path.stem for path in Path(__file__).parents[1].glob("models/[a-z]*.py"))
        raise InputError(
            f"{where}.architecture: there is no stages/models/{architecture}.py: "
            f"choose one of {', '.join(known)}, or write it"
        ) from None
    return getattr(module, "".join(word.capitalize() for word in architecture.split("_")))


def _check_arguments(make: Callable[..., nn.Module], arguments: dict[str, Any], where: str) -> None:
    """Hold the arguments against the signature, as strictly as any params."""
    fields = {
        name: (parameter.annotation, ... if parameter.default is parameter.empty else None)
        for name, parameter in inspect.signature(make).parameters.items()
    }
    config = ConfigDict(extra="forbid", strict=True)
    check_params(arguments, create_model("Network", __config__=config, **fields), where)


def write_bundle(folder: Path, sizes: Sizes, model: nn.Module, curves: Curves) -> None:
    """Write weights, sizes and curves; the same values give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    # clone: a view would save the whole storage that it looks into
    weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    torch.save(weights, folder / "weights.pt")
    write_json(folder / "sizes.json", asdict(sizes))
    with (folder / "curves.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(asdict(curves))
        table.writerows(zip(*asdict(curves).values(), strict=True))


def read_sizes(folder: Path) -> Sizes:
    """Read what the model of a bundle is."""
    return Sizes(**json.loads((folder / "sizes.json").read_text(encoding="utf-8")))


def read_model(folder: Path) -> nn.Module:
    """Rebuild the trained model of a bundle, on the CPU and ready to predict."""
    sizes = read_sizes(folder)
    model = build_network(sizes.architecture, sizes.network, str(folder / "sizes.json"))
    weights = torch.load(folder / "weights.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(weights, assign=True)  # assign: keeps float64 weights as they are
    return model.eval()


def write_times(folder: Path, started: datetime) -> None:
    """Write when training started and ended: the only clock in data/, for MLflow."""
    times = {"started": started, "ended": datetime.now(UTC)}
    write_json(folder / "times.json", {event: time.isoformat() for event, time in times.items()})
