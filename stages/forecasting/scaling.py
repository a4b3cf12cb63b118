"""Standardised samples: what networks and baselines of a series from a file are fitted to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Forecaster = Callable[[Any, int], Array]  # history (B, K) and horizon n -> (B, n)


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of the samples of training, in the units of the file."""

    mean: float
    std: float

    def standardise(self, samples: Array) -> Array:
        """From the file's units."""
        return (samples - self.mean) / self.std

    def restore(self, samples: Array) -> Array:
        """Back to the file's units."""
        return samples * self.std + self.mean


def scale_forecaster(forecast: Forecaster, scaling: Scaling | None) -> Forecaster:
    """A forecaster of standardised samples as one of samples in the file's units."""
    if scaling is None:
        return forecast

    def forecast_scaled(history: Array, horizon: int) -> Array:
        return scaling.restore(forecast(scaling.standardise(history), horizon))

    return forecast_scaled
