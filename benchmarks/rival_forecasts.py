"""Forecasts of other libraries, by a Python that has the packages of rivals.txt.

Run by the section `real`, never imported by it: `python rival_forecasts.py datasets OUT` writes
series that pmdarima holds, `python rival_forecasts.py forecast SERIES OUT` forecasts series. All
files are JSON.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

_DATASETS = (
    "airpassengers",
    "ausbeer",
    "austres",
    "heartrate",
    "lynx",
    "wineind",
    "woolyrnq",
)


def write_datasets(out: Path) -> None:
    """Write samples, oldest first, by the name of the data set."""
    from pmdarima import datasets

    samples = {name: getattr(datasets, f"load_{name}")().tolist() for name in _DATASETS}
    out.write_text(json.dumps(samples), encoding="utf-8")


def write_forecasts(given: Path, out: Path) -> None:
    """Fit each model to the beginning of each series, and forecast from each origin.

    A model and its parameters are chosen once, from the samples before the first origin. Its states
    then follow the history up to each origin.

    Args:
        given: by series `samples`; `season`; `horizon`; `first`, the index of the first sample that
            is forecast; `num_origins`, one after each sample from there on.
        out: by series and model the forecasts, `(origins, horizon)`.
    """
    from statsforecast.models import AutoARIMA, AutoETS, AutoTheta

    kinds: tuple[Any, ...] = (AutoETS, AutoTheta, AutoARIMA)
    forecasts: dict[str, dict[str, Any]] = {}
    for name, series in json.loads(given.read_text(encoding="utf-8")).items():
        samples = np.array(series["samples"])
        first, horizon = series["first"], series["horizon"]
        forecasts[name] = {}
        for kind in kinds:
            model = kind(season_length=series["season"])
            model.fit(samples[:first])
            forecasts[name][kind.__name__] = [
                model.forward(y=samples[:origin], h=horizon)["mean"].tolist()
                for origin in range(first, first + series["num_origins"])
            ]
        print(name, file=sys.stderr)
    out.write_text(json.dumps(forecasts), encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == "datasets":
        write_datasets(Path(sys.argv[2]))
    else:
        write_forecasts(Path(sys.argv[2]), Path(sys.argv[3]))
