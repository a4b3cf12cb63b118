"""L-BFGS with a line search, with the same bits on every processor.

`torch.optim.LBFGS` uses square roots that differ between processors in the last bits. Here PyTorch
computes dot products, and Python all other scalars, by the IEEE rules.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_SUFFICIENT, _CURVATURE = 1e-4, 0.9  # c1 and c2 of the Wolfe conditions
_MOST_TRIES = 15  # points of one line search
_LEAST_CURVATURE = 1e-10  # of remembered changes of the gradient


class Point(NamedTuple):
    """Loss, slope and gradient at one step length along the direction."""

    length: float
    loss: float
    slope: float  # derivative of the loss by the length
    gradient: Tensor  # (P,), of all weights
    outputs: Any  # of the network at that point


class LBFGS:
    """Limited-memory BFGS on one fixed batch (Nocedal & Wright, 2006, algorithms 7.4 and 7.5).

    Args:
        weights: P numbers in all, changed in place.
        measure: returns the loss and the outputs at the current weights.
        memory: number of remembered changes of weights and gradient.
    """

    def __init__(
        self,
        weights: list[nn.Parameter],
        measure: Callable[[], tuple[Tensor, Tensor]],
        memory: int = 50,
    ) -> None:
        self.weights = weights
        self.measure = measure
        self.moves: deque[Tensor] = deque(maxlen=memory)  # s_k, of the weights
        self.changes: deque[Tensor] = deque(maxlen=memory)  # y_k, of the gradient
        self.here = self._evaluate(0.0, None)
        self.is_done = False

    def step(self) -> Point:
        """Make one iteration, and return its starting point."""
        start = self.here
        direction = self._find_direction(start.gradient)
        slope = float(start.gradient.dot(direction))
        if slope >= 0 or self.is_done:
            return start
        length = 1.0
        if not self.moves:
            length = min(1.0, 1.0 / float(start.gradient.abs().sum()))
        origin = nn.utils.parameters_to_vector(self.weights).detach()

        def evaluate(length: float) -> Point:
            self._set_weights(origin + length * direction)
            return self._evaluate(length, direction)

        self.here = search_line(evaluate, start._replace(length=0.0, slope=slope), length)
        self.is_done = self.here.length == 0.0  # converged, up to rounding
        move = self.here.length * direction
        self._set_weights(origin + move)
        change = self.here.gradient - start.gradient
        if float(change.dot(move)) > _LEAST_CURVATURE:
            self.moves.append(move)
            self.changes.append(change)
        return start

    def _evaluate(self, length: float, direction: Tensor | None) -> Point:
        for weight in self.weights:
            weight.grad = None
        loss, outputs = self.measure()
        loss.backward()
        gradients = [weight.grad.flatten() for weight in self.weights if weight.grad is not None]
        gradient = torch.cat(gradients)
        slope = 0.0 if direction is None else float(gradient.dot(direction))
        return Point(length, loss.item(), slope, gradient, outputs.detach())

    @torch.no_grad()
    def _set_weights(self, vector: Tensor) -> None:
        sizes = [weight.numel() for weight in self.weights]
        for weight, values in zip(self.weights, vector.split(sizes), strict=True):
            weight.copy_(values.view_as(weight))

    def _find_direction(self, gradient: Tensor) -> Tensor:
        """Return -H g by the two loops, with H from the remembered changes."""
        direction = -gradient
        if not self.moves:
            return direction
        pairs = list(zip(self.moves, self.changes, strict=True))
        shares = []
        for move, change in reversed(pairs):
            share = float(move.dot(direction)) / float(change.dot(move))
            direction = direction - share * change
            shares.append(share)
        newest_move, newest_change = pairs[-1]
        scale = float(newest_change.dot(newest_move)) / float(newest_change.dot(newest_change))
        direction = scale * direction
        for (move, change), share in zip(pairs, reversed(shares), strict=True):
            correction = float(change.dot(direction)) / float(change.dot(move))
            direction = direction + (share - correction) * move
        return direction


def search_line(evaluate: Callable[[float], Point], start: Point, length: float) -> Point:
    """Return a point with the strong Wolfe conditions (Nocedal & Wright, algorithms 3.5 and 3.6).

    After too many tries it is the lowest point.

    Args:
        evaluate: returns the point at a step length.
        start: point at length 0, with a negative slope.
        length: first length to try.
    """
    low, high = start, None
    for _ in range(_MOST_TRIES):
        point = evaluate(length)
        most = start.loss + _SUFFICIENT * point.length * start.slope
        if not point.loss <= most or point.loss >= low.loss:  # too far, or NaN
            high = point
        elif abs(point.slope) <= -_CURVATURE * start.slope:
            return point
        elif high is None:
            if point.slope >= 0:
                high = low
            low = point
        else:
            if point.slope * (high.length - low.length) >= 0:
                high = low
            low = point
        length = 2 * low.length if high is None else _choose_between(low, high)
    return low


def _choose_between(low: Point, high: Point) -> float:
    """Return the minimum of the cubic through two points, kept away from both (eq. 3.59)."""
    width = high.length - low.length
    middle = low.length + width / 2
    if not math.isfinite(high.loss) or not math.isfinite(high.slope):
        return middle
    mean = low.slope + high.slope - 3 * (low.loss - high.loss) / (low.length - high.length)
    square = mean * mean - low.slope * high.slope
    if square < 0:
        return middle
    root = math.copysign(math.sqrt(square), width)
    divisor = high.slope - low.slope + 2 * root
    if divisor == 0:
        return middle
    bottom = high.length - width * (high.slope + root - mean) / divisor
    nearest, farthest = sorted((low.length + 0.1 * width, low.length + 0.9 * width))
    return min(max(bottom, nearest), farthest)
