"""Standardised samples: what networks and baselines of a series from a file are fitted to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
