"""What a forecaster saw and answered at a few moments of its training: snapshots.npz."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # figures are drawn of what is on disk
    from torch import Tensor

_NUM_SNAPSHOTS = 4  # evenly over the updates: 0, 25, 50 and 75 of 100

_Array = NDArray[np.float64]


class Snapshots:
    """Inputs, targets and forecasts of the first window of a few updates.

    Args:
        num_updates: of the training.
    """

    def __init__(self, num_updates: int) -> None:
        self.apart = max(1, num_updates // _NUM_SNAPSHOTS)
        self.iterations: list[int] = []  # updates made before the snapshot
        self.times: list[_Array] = []  # of the targets
        self.inputs: list[_Array] = []
        self.targets: list[_Array] = []
        self.predictions: list[_Array] = []

    def take_if_due(
        self,
        iteration: int,
        times: _Array,
        inputs: "Tensor",
        targets: "Tensor",
        forecasts: "Tensor",
    ) -> None:
        """Keep the first window of an update, if a snapshot is due.

        Args:
            iteration: number of the update, from 1.
            times: `(T,)` or `(1,)`, of its targets.
            inputs: `(B, T)`.
            targets: `(B, T)` or `(B, 1)`.
            forecasts: `(B, S)`, of the first S targets: in closed-loop training of the context.
        """
        if (iteration - 1) % self.apart or len(self.iterations) == _NUM_SNAPSHOTS:
            return
        length = forecasts.shape[1]
        is_slid = targets.shape[1] < inputs.shape[1]
        seen = inputs[0] if is_slid else inputs[0, :length]
        self.iterations.append(iteration - 1)
        self.times.append(times[:length])
        self.inputs.append(seen.cpu().numpy())
        self.targets.append(targets[0, :length].cpu().numpy())
        self.predictions.append(forecasts[0].cpu().numpy())


def write_snapshots(path: Path, snapshots: Snapshots) -> None:
    """Write `iterations (S,)` and the others `(S, T)`, one row per snapshot."""
    np.savez(
        path,
        iterations=np.array(snapshots.iterations),
        times=np.array(snapshots.times),
        inputs=np.array(snapshots.inputs),
        targets=np.array(snapshots.targets),
        predictions=np.array(snapshots.predictions),
    )


def read_snapshots(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read what `write_snapshots` wrote, by name."""
    with np.load(path) as arrays:
        return dict(arrays)
