"""Within what a forecaster can be trusted: scope.json, which travels with the model.

The band comes from validation, so that the test can say whether it holds what it promises.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.free_runs import FreeRuns
from stages.forecasting.observed import ObservedParams, find_spacing
from stages.forecasting.series import Windows
from stages.forecasting.signals import GeneratedParams
from stages.shared.json_files import write_json

Array = NDArray[np.float64]

SHARES = (0.1, 0.9)  # of the errors that lie below either end of the band: it holds 80 %


@dataclass(frozen=True)
class Scope:
    """What a forecaster was trained on and how it erred, in the units of the series."""

    series: str
    lowest: float  # sample of training
    highest: float
    spacing: float | None  # time between samples; None: the file gives no times
    least_history: int  # samples that it was given when its errors were measured
    band: dict[str, list[float]]  # low and high, what to add to the forecast of each step
    coverage: float  # share of the test's samples that lay in the band


def find_band(forecasts: Array, runs: FreeRuns) -> Array:
    """The quantiles of the errors at each step: `(2, n)`, to be added to a forecast.

    Args:
        forecasts: `(B, n)`, of validation.
        runs: their truths.
    """
    errors = runs.truths[:, : forecasts.shape[1]] - forecasts
    with np.errstate(invalid="ignore"):  # of a run that explodes
        band: Array = np.quantile(errors, SHARES, axis=0)
    return band


def cover(band: Array, forecasts: Array, runs: FreeRuns) -> Array:
    """Share of the true samples of each origin that lie in the band: `(B,)`."""
    steps = min(band.shape[1], forecasts.shape[1])
    errors = runs.truths[:, :steps] - forecasts[:, :steps]
    is_covered = (band[0, :steps] <= errors) & (errors <= band[1, :steps])
    shares: Array = is_covered.mean(axis=1)
    return shares


def describe_scope(
    name: str,
    series: GeneratedParams | ObservedParams,
    windows: Windows,
    context: int,
    band: Array,
    coverage: float,
) -> Scope:
    """The scope of a forecaster.

    Args:
        name: of the series.
        series: its entry in params.yaml.
        windows: what was trained on.
        context: samples that it was given when it was scored.
        band: of `find_band`.
        coverage: share of the test in it.
    """
    samples = np.concatenate([windows.inputs.ravel(), windows.targets.ravel()])
    spacing: float | None
    if isinstance(series, ObservedParams):
        assert windows.observed  # it is one
        samples = windows.observed.training
        spacing = find_spacing(windows.observed.sample_times) if series.time else None
    else:
        spacing = series.time_step
    low, high = band.tolist()
    return Scope(
        name,
        float(samples.min()),
        float(samples.max()),
        spacing,
        context,
        {"low": low, "high": high},
        coverage,
    )


def write_scope(folder: Path, scope: Scope) -> None:
    """Write scope.json."""
    write_json(folder / "scope.json", asdict(scope))
