"""Rebuild a trained model from the artifacts beside it. It is one of them itself."""

import json
import runpy
from pathlib import Path
from typing import Any

import torch
from torch import nn


def load_model(artifacts: dict[str, str]) -> nn.Module:
    """Build the network that config.json describes and give it its weights."""
    config = json.loads(Path(artifacts["config"]).read_text(encoding="utf-8"))
    model = build_model(config["architecture"], config["network"], artifacts)
    weights = torch.load(artifacts["weights"], map_location="cpu", weights_only=True)
    model.load_state_dict(weights, assign=True)  # assign: float64 weights stay so
    return model.eval()


def build_model(architecture: str, network: dict[str, Any], artifacts: dict[str, str]) -> nn.Module:
    """Build one network; a blend's members first."""
    arguments = dict(network)
    if "members" in arguments:
        members = []
        for member in arguments["members"]:
            members.append(build_model(member["architecture"], member["network"], artifacts))
        arguments["members"] = members
    class_name = "".join(word.capitalize() for word in architecture.split("_"))
    make = runpy.run_path(artifacts[architecture])[class_name]
    model: nn.Module = make(**arguments)
    return model
