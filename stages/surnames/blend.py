"""Blend trained classifiers into one: data/trained/<members>/ -> data/trained/surname_blend/.

Run by DVC as `python -m stages.surnames.blend OUT MEMBER...`, members as folders.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from stages.models.blend_classifier import BlendClassifier
from stages.shared.bundle import Curves, Sizes, read_model, read_sizes, write_bundle, write_times
from stages.shared.errors import InputError, exit_on_input_error
from stages.shared.params import Params, read_params


class BlendParams(Params):
    """Section `blend_surnames` of params.yaml."""

    weights: list[float] = Field(min_length=1)  # of the members' log-probabilities, in order


def blend(folders: list[Path], weights: list[float]) -> tuple[BlendClassifier, Sizes]:
    """The members as one classifier, and what rebuilds it.

    Raises:
        InputError: not one weight for each member.
    """
    if len(weights) != len(folders):
        raise InputError(
            f"params.yaml: blend_surnames.weights has {len(weights)} values for {len(folders)} "
            "members: give one for each member that dvc.yaml names"
        )
    sizes = [read_sizes(folder) for folder in folders]
    members = [{"architecture": s.architecture, "network": s.network} for s in sizes]
    network = {"members": members, "weights": weights}
    model = BlendClassifier([read_model(folder) for folder in folders], weights)
    return model, Sizes("surnames", "blend_classifier", network)


def main(out: str, *members: str) -> None:
    """Write the bundle of the blend; nothing is trained, so its curves are empty."""
    started = datetime.now(UTC)
    params = read_params("blend_surnames", BlendParams)
    model, sizes = blend([Path(member) for member in members], params.weights)
    write_bundle(Path(out), sizes, model, Curves())
    write_times(Path(out), started)


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
