"""Blend trained classifiers into one: data/trained/<members>/ -> data/trained/surname_blend/.

Run by DVC as `python stages/run.py surnames.blend SURNAMES MEMBER... OUT`, members as folders.
"""

import math
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.models.blend_classifier import BlendClassifier
from stages.shared.checkpoints import read_model, write_fitted_model
from stages.shared.command import run_as_command
from stages.shared.errors import InputError
from stages.shared.lbfgs import LBFGS
from stages.shared.model_config import ModelConfig, read_config
from stages.shared.params import Params, read_params
from stages.shared.reproducible import make_reproducible
from stages.surnames.names import Names, read_splits, read_vocabulary

_BATCH = 1000  # names that go through a member together
_STEPS = 50  # of L-BFGS; a few would do for as many weights

_Weight = Annotated[float, Field(ge=-1000, le=1000)]  # times any logarithm it stays finite


class BlendParams(Params):
    """Section `blend_classifiers` of params.yaml."""

    # of the members' log-probabilities, in order; auto: fitted on validation
    weights: Literal["auto"] | Annotated[list[_Weight], Field(min_length=1)] = "auto"
    official_weights: Annotated[list[_Weight], Field(min_length=1)] | None = None  # on those names


def blend(
    members: list[nn.Module], configs: list[ModelConfig], weights: list[float]
) -> tuple[BlendClassifier, ModelConfig]:
    """Return the members as one classifier, and its config.

    Raises:
        InputError: if the numbers of weights and members differ.
    """
    if len(weights) != len(members):
        raise InputError(
            f"params.yaml: blend_classifiers.weights has {len(weights)} values for "
            f"{len(members)} members: give one for each member that dvc.yaml names"
        )
    networks = [{"architecture": own.architecture, "network": own.network} for own in configs]
    network = {"members": networks, "weights": weights}
    model = BlendClassifier(members, weights)
    return model, ModelConfig("surnames", "blend_classifier", network)


def fit_weights(members: list[nn.Module], names: Names) -> list[float]:
    """Return positive weights with the least NLL on names, under a prior for equal weights.

    The prior is normal around the mean of the members, with a standard deviation of 1.
    """
    chunks = []
    letters, lengths = torch.from_numpy(names.letters), torch.from_numpy(names.lengths)
    with torch.no_grad():
        for rows in torch.arange(len(lengths)).split(_BATCH):
            answers = [member(letters[rows].long(), lengths[rows]) for member in members]
            chunks.append(torch.stack(answers, dim=2).double())
    log_probabilities = torch.cat(chunks)  # (N, L, M)
    languages = torch.from_numpy(names.languages)
    equal = 1 / len(members)
    logarithms = nn.Parameter(torch.full((len(members),), math.log(equal), dtype=torch.float64))

    def measure() -> tuple[Tensor, Tensor]:
        weights = logarithms.exp()
        loss = nn.functional.cross_entropy(log_probabilities @ weights, languages)
        return loss + ((weights - equal) ** 2).sum() / (2 * len(languages)), weights

    search = LBFGS([logarithms], measure)
    for _ in range(_STEPS):
        search.step()
    return [round(weight, 3) for weight in logarithms.exp().tolist()]


def main(surnames: str, *folders: str) -> None:
    """Write the files of the blend, with empty curves, since nothing is trained by updates."""
    started = datetime.now(UTC)
    params = read_params("blend_classifiers", BlendParams)
    members = [Path(folder) for folder in folders[:-1]]
    out = Path(folders[-1])
    models = [read_model(member) for member in members]
    configs = [read_config(member) for member in members]
    weights = params.weights
    if params.official_weights and read_vocabulary(Path(surnames)).data == "official":
        weights = params.official_weights
    if weights == "auto":
        make_reproducible()
        weights = fit_weights(models, read_splits(Path(surnames)).validation)
        print(f"weights {weights} of {', '.join(member.name for member in members)}")
    model, config = blend(models, configs, weights)
    write_fitted_model(out, config, model, started)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
