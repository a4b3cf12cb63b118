"""Blend trained classifiers into one: data/trained/<members>/ -> data/trained/surname_blend/.

Run by DVC as `python stages/run.py surnames.blend MEMBER... OUT`, members as folders.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import nn

from stages.models.blend_classifier import BlendClassifier
from stages.shared.checkpoints import read_model, write_fitted_model
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.model_config import ModelConfig, read_config
from stages.shared.params import Params, read_params

_Weight = Annotated[float, Field(ge=-1000, le=1000)]  # times any logarithm it stays finite


class BlendParams(Params):
    """Section `blend_classifiers` of params.yaml."""

    weights: list[_Weight] = Field(min_length=1)  # of the members' log-probabilities, in order


def blend(
    members: list[nn.Module], configs: list[ModelConfig], params: BlendParams
) -> tuple[BlendClassifier, ModelConfig]:
    """The members as one classifier, and its config.

    Raises:
        InputError: the numbers of weights and members differ.
    """
    if len(params.weights) != len(members):
        raise InputError(
            f"params.yaml: blend_classifiers.weights has {len(params.weights)} values for "
            f"{len(members)} members: give one for each member that dvc.yaml names"
        )
    networks = [{"architecture": own.architecture, "network": own.network} for own in configs]
    network = {"members": networks, "weights": params.weights}
    model = BlendClassifier(members, params.weights)
    return model, ModelConfig("surnames", "blend_classifier", network)


def main(*folders: str) -> None:
    """Write the files of the blend; nothing is trained, so its curves are empty."""
    started = datetime.now(UTC)
    params = read_params("blend_classifiers", BlendParams)
    members = [Path(folder) for folder in folders[:-1]]
    out = Path(folders[-1])
    models = [read_model(member) for member in members]
    configs = [read_config(member) for member in members]
    model, config = blend(models, configs, params)
    write_fitted_model(out, config, model, started)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
