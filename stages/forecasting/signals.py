"""The series of `generated_series` in params.yaml as functions of time.

`draw_segments` returns the segments for training, `sample_signal` the signal at any time.
"""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stages.shared.errors import InputError
from stages.shared.params import Amount, Count, Params, Seed

_Array = NDArray[np.float64]

_MOST_SAMPLES = 10**7  # of a series: a table of half a gigabyte
_NUM_PERIODS = 16  # in a spread: a whole number, so that all phases are equally likely
_NUM_DELAYS = 2000  # in a spread: about 200 times the memory of a chaotic series

# The equation of a chaotic series, see `_sample_chaos`.
_GROWTH, _DECAY = 0.2, 0.1  # per time unit
FIXED_POINT = 1.0
_INITIAL = 1.2  # value before the first tick
TICK = 0.1  # time units of one step of integration
_WARM_UP = 1000.0  # time units before time 0, after which the initial value has no effect
_MOST_TICKS = 10**7  # some seconds


class StartParams(Params):
    """Where the segments of a series start, in time units."""

    count: Count  # number of segments
    apart: float | None = Field(default=None, ge=0, le=1e9)  # evenly, the first at 0; or
    below: Amount | None = None  # drawn uniformly from [0, below)

    @model_validator(mode="after")
    def _one_way(self) -> "StartParams":
        if (self.apart is None) == (self.below is None):
            raise ValueError("give one of apart and below")
        return self


class GeneratedParams(Params):
    """One entry of section `generated_series`."""

    points: int = Field(gt=1, le=10**7)  # samples of a segment
    step: Amount | None = None  # time between samples; or
    span: Amount | None = None  # time from the first to the last sample
    starts: StartParams
    period: Amount | None = None  # time units, of a sine; or
    delay: Amount | None = None  # time units after which a chaotic series acts on itself
    season: Amount | None = None  # time units after which a forecast may repeat it
    noise: float = Field(default=0.0, ge=0, le=1e9)  # its standard deviation, added to each sample
    drift: float = Field(default=0.0, ge=0, le=1e9)  # radians by which the phase swings
    drift_period: Amount | None = None  # time units of one such swing
    trend: float = Field(default=0.0, ge=-1e9, le=1e9)  # by which it rises in a time unit
    seed: Seed = 0  # of random starts and noise
    window: Count | None = None  # past samples that a forecaster sees; null: no windows are slid
    test_points: int | None = Field(default=None, ge=0, le=10**7)  # of a window: held-out end

    @model_validator(mode="after")
    def _consistent(self) -> "GeneratedParams":
        if (self.step is None) == (self.span is None):
            raise ValueError("give one of step and span")
        if (self.period is None) == (self.delay is None):
            raise ValueError("give one of period and delay")
        if self.delay and self.drift:
            raise ValueError("a series with a delay has no phase that drifts: drop drift")
        if (self.drift > 0) != (self.drift_period is not None):
            raise ValueError("drift and drift_period go together: give both or neither")
        if self.points * self.starts.count > _MOST_SAMPLES:
            raise ValueError(f"points × starts.count must be at most {_MOST_SAMPLES:,}")
        if (self.window is None) != (self.test_points is None):
            raise ValueError("window and test_points go together: give both or neither")
        if self.window and self.points - (self.test_points or 0) <= self.window:
            raise ValueError(
                f"window ({self.window}) and test_points ({self.test_points}) leave nothing of "
                f"segments of {self.points} samples: lower them"
            )
        return self

    @property
    def time_step(self) -> float:
        """Time between two samples."""
        if self.step is not None:
            return self.step
        assert self.span is not None  # one of the two is given
        return self.span / (self.points - 1)

    @property
    def spread(self) -> float:
        """Time units over which forecasts start, so that all parts of the signal occur."""
        if self.delay:
            return _NUM_DELAYS * self.delay
        assert self.period is not None  # one of the two is given
        return _NUM_PERIODS * max(self.period, self.drift_period or 0.0)


def sample_signal(series: GeneratedParams, times: _Array) -> _Array:
    """Return the noise-free signal at any times, in the shape of the times."""
    if series.delay:
        signal = _sample_chaos(series.delay, times)
    else:
        assert series.period is not None  # one of the two is given
        angle = 2 * math.pi * times / series.period
        if series.drift_period:
            angle = angle + series.drift * np.sin(2 * math.pi * times / series.drift_period)
        signal = np.sin(angle)
    return signal + series.trend * times if series.trend else signal


def draw_segments(series: GeneratedParams) -> tuple[_Array, _Array]:
    """Return times and values of the training segments, `(segments, points)` each."""
    generator = np.random.default_rng(series.seed)
    count = series.starts.count
    if series.starts.below is not None:
        starts = generator.uniform(0, series.starts.below, count)
    else:
        assert series.starts.apart is not None  # one of the two is given
        starts = series.starts.apart * np.arange(count, dtype=np.float64)
    if series.span is not None:  # linspace, to equal the walk-throughs to the last bit
        times = np.linspace(starts, starts + series.span, series.points, axis=1)
    else:
        times = starts[:, None] + series.time_step * np.arange(series.points)
    noise = series.noise * generator.standard_normal(times.shape)
    return times, sample_signal(series, times) + noise


def _sample_chaos(delay: float, times: _Array) -> _Array:
    """The chaotic series of Mackey & Glass (1977), at any times to the nearest tick.

    x'(t) = 0.2 x(t - delay) / (1 + x(t - delay)^10) - 0.1 x(t), as deviation from its fixed point.
    Sums, products and quotients are rounded alike by every processor, powers of a library are not.
    """
    ticks = np.rint((times + _WARM_UP) / TICK)
    last = float(ticks.max())
    if max(last, delay / TICK) > _MOST_TICKS:
        raise InputError(
            f"params.yaml: a series with a delay ({delay}) is integrated for up to "
            f"{_MOST_TICKS * TICK:,.0f} time units, not to {times.max():,.0f}: lower its starts "
            "and steps in generated_series, or phases and horizons in evaluate_forecasters"
        )
    trajectory = integrate(max(1, round(delay / TICK)), int(last))
    before_all = np.maximum(ticks, 0).astype(np.int64)  # the history is constant
    return trajectory[before_all] - FIXED_POINT


def integrate(lag: int, num_ticks: int) -> _Array:
    """Heun's method from a constant history: values at ticks 0 to num_ticks, a delay of `lag`."""
    values = [_INITIAL] * (lag + 1)  # of ticks -lag to 0
    growth = _compute_growth(_INITIAL)
    for tick in range(num_ticks):
        value = values[-1]
        slope = growth - _DECAY * value
        growth = _compute_growth(values[tick + 1])  # a delay before the next tick
        next_slope = growth - _DECAY * (value + TICK * slope)
        values.append(value + TICK * (slope + next_slope) / 2)
    return np.array(values[lag:])


def _compute_growth(value: float) -> float:
    """Growth per time unit that a value causes a delay later."""
    square = value * value
    fourth = square * square
    return _GROWTH * value / (1 + fourth * fourth * square)
