"""What a series is, beside its samples: data/preprocessed/series/<series>.json.

A stage that reads this file does not need to know in which section of params.yaml the series is.
"""

from pathlib import Path

from stages.forecasting.observed import ObservedParams
from stages.forecasting.signals import GeneratedParams
from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.shared.params import check_params, read_params

SECTIONS: dict[str, type[GeneratedParams | ObservedParams]] = {
    "generated_series": GeneratedParams,
    "observed_series": ObservedParams,
}


def read_entry(entry: str) -> GeneratedParams | ObservedParams:
    """Read a series of params.yaml, such as `generated_series.period_40`.

    Raises:
        InputError: there is no such entry, or it is wrong.
    """
    section = entry.partition(".")[0]
    if section not in SECTIONS:
        raise InputError(f"{entry} is no series: give one of {', '.join(SECTIONS)}, and its name")
    return read_params(entry, SECTIONS[section])


def write_series(windows: Path, params: GeneratedParams | ObservedParams) -> None:
    """Write the params of a series.

    Args:
        windows: data/preprocessed/series/<series>.npz, beside which they go.
        params: its entry in params.yaml.
    """
    section = "observed_series" if isinstance(params, ObservedParams) else "generated_series"
    write_json(windows.with_suffix(".json"), {section: params.model_dump(exclude_unset=True)})


def read_series(windows: Path) -> GeneratedParams | ObservedParams:
    """Read the params of a series.

    Args:
        windows: data/preprocessed/series/<series>.npz, beside which they lie.
    """
    path = windows.with_suffix(".json")
    [(section, params)] = read_json(path).items()
    return check_params(params, SECTIONS[section], str(path))
