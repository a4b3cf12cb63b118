"""Names in params, checked before DVC puts them into commands and paths.

Apart from params.py, which all stages import: an edit here reruns the first stage alone.
"""

from pathlib import Path

from pydantic import BaseModel

from stages.shared.errors import InputError
from stages.shared.params import (
    PARAMS_FILE,
    SEARCHES_FILE,
    DataPath,
    Name,
    check_params,
    read_params,
)
from stages.shared.yaml_files import parse_yaml

RENAMED = {  # sections of an earlier version -> what became of them
    "generate_sine": "generated_series, and observed_series for those from files",
    "preprocess_sine": "part of the entries of generated_series",
    "sine": "forecasters",
    "surnames": "classifiers",
    "blend_surnames": "blend_classifiers",
    "baselines_sine": "forecasting_baselines",
    "baselines_surnames": "surname_baselines",
    "evaluate_sine": "evaluate_forecasters",
    "evaluate_surnames": "evaluate_classifiers",
    "published": "part of stages/tracking/descriptions.yaml",
    "descriptions": "stages/tracking/descriptions.yaml",
}


class _Entry(BaseModel):
    """What dvc.yaml puts into commands and paths of an entry of params, as far as that has it."""

    architecture: Name | None = None
    base: Name | None = None
    path: DataPath | None = None
    series: Name | None = None


def check_sections() -> None:
    """Stop at a section of params.yaml that an earlier version had.

    Raises:
        InputError: there is one; the message says what it is called now.
    """
    for section in parse_yaml(PARAMS_FILE.read_text(encoding="utf-8")) or {}:
        if section in RENAMED:
            raise InputError(
                f"{PARAMS_FILE}: {section} is of an earlier version: it is {RENAMED[section]} now. "
                "Once that is mended, `make clean` removes results of the earlier layout"
            )


def check_names() -> None:
    """Stop at a name that a shell would read as something else: DVC puts it into commands.

    Looks at the entries of which dvc.yaml makes stages, and at those of the searches.

    Raises:
        InputError: a name has other characters than a to z, 0 to 9 and _, or a path others than
            those, A to Z, `.`, `-` and `/`, or it does not lie below data/.
    """
    for stage in parse_yaml(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"].values():
        if "foreach" in stage:
            read_params(stage["foreach"].strip("${}"), dict[Name, _Entry])
    if SEARCHES_FILE.exists():
        searches = parse_yaml(SEARCHES_FILE.read_text(encoding="utf-8"))
        for section, entry in searches.items():
            check_params(entry, _Entry, f"{SEARCHES_FILE}: {section}")
