"""What a command looks at by itself, because DVC would say it late or never."""

from pathlib import Path

from pydantic import BaseModel

from stages.shared.bundle import check_architecture
from stages.shared.params import SECTIONS, Name, read_params
from stages.tracking.mlflow_sync.dvc_files import read_yaml


class _Entry(BaseModel):
    """A model in params.yaml, as far as DVC reads it; the rest is checked by its stage."""

    architecture: Name


def check_files() -> None:
    """Stop at a file that DVC could not read, with fewer lines than DVC needs.

    Raises:
        InputError: one is no YAML.
    """
    for name in ("dvc.yaml", "params.yaml", "dvc.lock"):
        if Path(name).exists():
            read_yaml(name)


def check_architectures() -> None:
    """Name an unknown architecture, of which DVC would only say that a file is missing.

    Raises:
        InputError: a model has none, or one that is not in stages/models/.
    """
    for section in SECTIONS.values():
        for model, entry in read_params(section, dict[Name, _Entry]).items():
            check_architecture(entry.architecture, f"params.yaml: {section}.{model}")
