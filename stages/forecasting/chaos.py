"""The chaotic series of Mackey & Glass (1977): one trajectory, by arithmetic alone.

x'(t) = 0.2 x(t - delay) / (1 + x(t - delay)^10) - 0.1 x(t)

Sums, products and quotients are rounded alike by every processor, powers of a library are not.
"""

import numpy as np
from numpy.typing import NDArray

from stages.shared.errors import InputError

Array = NDArray[np.float64]

GROWTH, DECAY = 0.2, 0.1  # per time unit
REST = 1.0  # a value that would stay
BEGINNING = 1.2  # the constant history
TICK = 0.1  # time units of one step of integration
WARM_UP = 1000.0  # time units before time 0, in which the series forgets its beginning
MOST_TICKS = 10**7  # some seconds


def sample_chaos(delay: float, times: Array) -> Array:
    """Deviations from the value of rest at any times, to the nearest tick.

    Args:
        delay: time units after which the series acts on itself.
        times: of any shape.

    Raises:
        InputError: times that would take too long to reach.
    """
    ticks = np.rint((times + WARM_UP) / TICK)
    last = float(ticks.max())
    if max(last, delay / TICK) > MOST_TICKS:
        raise InputError(
            f"params.yaml: a series with a delay ({delay}) is integrated for up to "
            f"{MOST_TICKS * TICK:,.0f} time units, not to {times.max():,.0f}: lower its starts and "
            "steps in generated_series, or phases and horizons in evaluate_forecasters"
        )
    trajectory = integrate(max(1, round(delay / TICK)), int(last))
    before_all = np.maximum(ticks, 0).astype(np.int64)  # the history is constant
    return trajectory[before_all] - REST


def integrate(lag: int, num_ticks: int) -> Array:
    """Heun's method from the constant history: values at ticks 0 to num_ticks.

    Args:
        lag: the delay in ticks.
        num_ticks: steps that are made.
    """
    values = [BEGINNING] * (lag + 1)  # of ticks -lag to 0
    growth = compute_growth(BEGINNING)
    for tick in range(num_ticks):
        value = values[-1]
        slope = growth - DECAY * value
        growth = compute_growth(values[tick + 1])  # a delay before the next tick
        next_slope = growth - DECAY * (value + TICK * slope)
        values.append(value + TICK * (slope + next_slope) / 2)
    return np.array(values[lag:])


def compute_growth(value: float) -> float:
    """What a value adds per time unit, a delay later."""
    square = value * value
    fourth = square * square
    return GROWTH * value / (1 + fourth * fourth * square)
