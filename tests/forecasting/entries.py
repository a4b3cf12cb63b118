"""Entries of params.yaml as the stages of the sine task read them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from stages.forecasting.assessment import EvaluateParams
from stages.forecasting.evaluate import evaluate
from stages.forecasting.observed import ObservedParams
from stages.forecasting.preprocess import pair_observed, pair_series, split_observed
from stages.forecasting.series import Windows
from stages.forecasting.signals import GeneratedParams, draw_segments
from stages.forecasting.state import State
from stages.forecasting.train import ForecasterParams
from stages.shared.yaml_files import parse_yaml

OFFICIAL = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))
FILE = {  # an entry of observed_series
    "path": "data/series/a.csv",
    "column": "y",
    "test_share": 0.25,
    "window": 4,
    "horizons": [2],
    "season": 3,
}
SINE = {  # an entry of generated_series
    "points": 9,
    "step": 1.0,
    "starts": {"count": 1, "apart": 0.0},
    "period": 6.0,
}


def params_of(model: str, **changes: Any) -> ForecasterParams:
    """How a model is trained."""
    return ForecasterParams.model_validate({**OFFICIAL["forecasters"][model], **changes})


def series_of(model: str, **changes: Any) -> GeneratedParams:
    """The series that it reads."""
    entry = OFFICIAL["generated_series"][OFFICIAL["forecasters"][model]["series"]]
    return GeneratedParams.model_validate({**entry, **changes})


def windows_of(model: str, **changes: Any) -> Windows:
    """What it is trained on, with changes of its series."""
    return windows_of_series(series_of(model, **changes))


def windows_of_series(series: GeneratedParams) -> Windows:
    """What is trained on, of a generated series."""
    return pair_series(*draw_segments(series), series.window, series.test_points or 0)


def score_walkthrough(model: str, network: nn.Module, state: State | None, seed: int = 0) -> float:
    """The score of the test with which its walk-through ends; the other scores are cut short."""
    short = {"phases": 1, "horizons": [1], "validation_horizons": [1], "walkthrough_seed": seed}
    params = EvaluateParams.model_validate({**OFFICIAL["evaluate_forecasters"], **short})
    name, windows = OFFICIAL["forecasters"][model]["series"], windows_of(model)
    evaluation = evaluate(network, state, windows, name, series_of(model), params)
    score: float = evaluation.scores["walkthrough_mse"]
    return score


def params_of_file(**changes: Any) -> ObservedParams:
    """A series from a file."""
    return ObservedParams.model_validate({**FILE, **changes})


def windows_of_file(samples: NDArray[np.float64], **changes: Any) -> Windows:
    """What is trained on where a file holds these samples."""
    params = params_of_file(**changes)
    times = np.arange(len(samples), dtype=np.float64)
    return pair_observed(split_observed(samples, times, params), params.window)
