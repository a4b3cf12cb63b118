"""The transform of an observed series, for networks and linear forecasters."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.shared.errors import InputError
from stages.shared.params import Count, Params

if TYPE_CHECKING:  # preprocessing and figures do without torch, where they can
    from torch import nn

    from stages.models.transformed_forecaster import TransformedForecaster

_Array = NDArray[np.float64]


class TransformParams(Params):
    """Transform of the samples of a series before they are standardised."""

    log: bool = False  # of samples that are all above 0
    difference: list[Count] = Field(default=[], max_length=4)  # lags, one after the other


@dataclass(frozen=True)
class Transform:
    """A transform fitted to the training part, with the arguments of TransformedForecaster."""

    mean: float  # of the training part, transformed
    std: float
    log: bool
    differences: list[int]
    floor: float | None  # below which no forecast goes

    @property
    def num_lost(self) -> int:
        """Number of samples at the beginning without a difference."""
        return sum(self.differences)

    def describe(self) -> str:
        """Return the transform in words, such as `log, difference [1, 12]`."""
        parts = ["log"] if self.log else []
        if self.differences:
            parts.append(f"difference {self.differences}")
        return ", ".join(parts) or "none"

    def apply(self, samples: _Array) -> _Array:
        """Transform samples `(T,)`: `(T - num_lost,)`.

        Raises:
            InputError: if a sample has no logarithm, or there are too few.
        """
        import torch

        try:
            transformed = self._wrap([]).transform(torch.tensor(samples)[None])[0]
        except ValueError as error:
            raise InputError(str(error)) from None
        applied: _Array = transformed.numpy()
        return applied

    def undo(self, model: "nn.Module") -> "nn.Module":
        """Turn a forecaster of transformed samples into one in the units of the file."""
        return self._wrap([model])

    def _wrap(self, members: "list[nn.Module]") -> "TransformedForecaster":
        from stages.models.transformed_forecaster import TransformedForecaster

        return TransformedForecaster(members, **asdict(self))


def fit_transform(training: _Array, params: TransformParams, floor: float | None) -> Transform:
    """Fit mean and standard deviation of the transformed training part `(T,)`.

    Raises:
        InputError: if a sample has no logarithm, or there are too few.
    """
    arguments: dict[str, Any] = {"log": params.log, "differences": params.difference}
    transformed = Transform(mean=0.0, std=1.0, floor=floor, **arguments).apply(training)
    mean, std = float(transformed.mean()), float(transformed.std())
    if std <= 1e-12 * abs(mean):  # the steps of a straight line never change
        std = 1.0
    return Transform(mean=mean, std=std, floor=floor, **arguments)
