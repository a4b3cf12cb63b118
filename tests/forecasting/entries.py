"""Entries of params.yaml as the stages of the sine task read them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from stages.forecasting.assessment import ForecastingEvaluationParams
from stages.forecasting.evaluate import evaluate
from stages.forecasting.forecasters import State
from stages.forecasting.observed import CsvSeries, ObservedParams
from stages.forecasting.preprocess import cut_series, slide_windows, split_series
from stages.forecasting.series import GeneratedSeries, ObservedSeries
from stages.forecasting.signals import GeneratedParams, draw_segments
from stages.forecasting.train import FORECASTER, ForecasterParams
from stages.forecasting.transform import TransformParams
from stages.shared.params import check_params
from stages.shared.yaml_files import parse_yaml

OFFICIAL = parse_yaml(Path("params.yaml").read_text(encoding="utf-8"))
FILE = {  # an entry of observed_series
    "path": "data/series/a.csv",
    "column": "y",
    "test_share": 0.25,
    "window": 4,
    "horizons": [2],
    "season": 3,
    "transform": "none",
}
SINE = {  # an entry of generated_series
    "points": 9,
    "step": 1.0,
    "starts": {"count": 1, "apart": 0.0},
    "period": 6.0,
}


def params_of(model: str, **changes: Any) -> ForecasterParams:
    """How a model is trained, or fitted."""
    entry = {**OFFICIAL["forecasters"][model], **changes}
    params: ForecasterParams = check_params(entry, FORECASTER, f"forecasters.{model}")
    return params


def params_of_series(model: str, **changes: Any) -> GeneratedParams:
    """Entry of the series that it reads."""
    entry = OFFICIAL["generated_series"][OFFICIAL["forecasters"][model]["series"]]
    return GeneratedParams.model_validate({**entry, **changes})


def series_of(model: str, **changes: Any) -> GeneratedSeries:
    """The series that it is trained on, with changes of its entry."""
    return make_generated(
        params_of_series(model, **changes), OFFICIAL["forecasters"][model]["series"]
    )


def make_generated(params: GeneratedParams, name: str = "waves") -> GeneratedSeries:
    """A series with these params."""
    return cut_series(name, params, *draw_segments(params))


def score_walkthrough(model: str, network: nn.Module, state: State | None, seed: int = 0) -> float:
    """The score of the test with which its walk-through ends; the other scores are cut short."""
    short = {"phases": 1, "horizons": [1], "validation_horizons": [1], "walkthrough_seed": seed}
    params = ForecastingEvaluationParams.model_validate(
        {**OFFICIAL["evaluate_forecasters"], **short}
    )
    evaluation = evaluate(network, state, series_of(model), params)
    score: float = evaluation.scores["walkthrough_mse"]
    return score


def params_of_file(**changes: Any) -> ObservedParams:
    """A series from a file."""
    return ObservedParams.model_validate({**FILE, **changes})


def split_file(samples: NDArray[np.float64], **changes: Any) -> ObservedSeries:
    """The series of a file that holds these samples, split as its entry says."""
    times = np.arange(len(samples), dtype=np.float64)
    return split_series("mine", params_of_file(**changes), CsvSeries(samples, times))


def make_observed(
    samples: Any, num_train: int, num_validation: int, times: Any = None, **changes: Any
) -> ObservedSeries:
    """A series with parts of these lengths, however short."""
    samples = np.asarray(samples, dtype=np.float64)
    times = np.arange(len(samples), dtype=np.float64) if times is None else times
    params = params_of_file(**{"window": 3, **changes})
    transform = params.transform or TransformParams()
    observed = CsvSeries(samples, np.asarray(times))
    return slide_windows("mine", params, observed, num_train, num_validation, transform)
