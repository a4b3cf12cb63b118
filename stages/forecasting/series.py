"""A series, generated or observed: two classes behind one interface, `Series`.

data/preprocessed/series/<series>.npz holds what was made of its samples, <series>.json its entry in
params.yaml. `read_series` alone finds out which of the two kinds a series is; all others ask the
series.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.observed import ObservedParams, find_spacing
from stages.forecasting.signals import GeneratedParams, sample_signal
from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.shared.params import Params, check_params

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Forecaster = Callable[[Any, int], Array]  # history (B, K) and horizon n -> (B, n)
Metric = Callable[[Array], Array]  # squared errors (B, n) -> (B, n), of which means are taken
Split = Literal["validation", "test"]
WalkthroughKind = Literal["one_point", "continuation", "recursive"]
P = TypeVar("P")

STREAM = 0xE7A1  # joins every seed, so that no backtest draws the numbers of a training
NUM_EXAMPLES = 3  # forecasts of a generated series that are kept for the figures
EXAMPLE_STEPS = 500
NUM_STARTS = 3  # segments of which the one-point test draws its start
MAX_SEGMENTS = 2000  # that a baseline is fitted to: enough, whatever a series' length


@dataclass(frozen=True)
class Windows:
    """What a forecaster is trained on, and the end of the series that it never sees.

    Those of an observed series are standardised; its validation and test stand in `ObservedSeries`.
    """

    inputs: Floats  # (N, T), oldest sample first
    targets: Floats  # (N, T) after each sample, or (N, 1) after the whole window
    times: Array  # of the targets, in their shape
    test: Floats  # (n,) held-out end of the first segment
    test_times: Array  # (n,)

    @property
    def are_slid(self) -> bool:
        """Whether a window has one target, the sample after it, instead of one per sample."""
        return bool(self.targets.shape[1] < self.inputs.shape[1])

    @property
    def last(self) -> Floats:
        """The window before the held-out end: `(T,)`."""
        return np.concatenate([self.inputs[-1, 1:], self.targets[-1]])


@dataclass(frozen=True)
class Units:
    """What the axes of figures are labelled with."""

    time: str
    sample: str
    training_sample: str  # as networks see it
    squared_error: str


@dataclass(frozen=True)
class Backtest:
    """Where forecasts start, what follows, and how they are scored."""

    contexts: Array  # (B, K) samples before each forecast, oldest first
    targets: Array  # (B, n) samples after them, without the noise of a generated series
    metrics: Mapping[str, Metric] = field(default_factory=lambda: {"mse": _keep})  # by score
    block: int = 1  # neighbouring forecasts whose targets overlap: they are not independent
    examples: tuple[slice, slice] = (slice(None), slice(None))  # forecasts and steps in figures
    scores_coverage: bool = False  # whether the coverage of the prediction interval is a score


@dataclass(frozen=True)
class WalkthroughTest:
    """The test with which a walk-through ends: what a network is given, and n steps after it."""

    history: Floats  # (K,), the last one is the given sample
    times: Array  # (n + 1,), the first is that of the given sample
    targets: Array  # (n + 1,), likewise
    past: Array  # (context,) noise-free samples up to the given one, which baselines are given

    @property
    def steps(self) -> int:
        """n, the samples that are forecast."""
        return len(self.targets) - 1

    def measure_mse(self, forecast: Array) -> float:
        """Mean squared error of a forecast `(n,)`."""
        return float(np.mean((forecast - self.targets[1:]) ** 2))


@dataclass(frozen=True, eq=False)
class Series(ABC):
    """What training, scores and figures ask of a series of either kind."""

    section: ClassVar[str]  # of params.yaml
    units: ClassVar[Units]

    name: str  # of its entry in that section
    windows: Windows

    @property
    @abstractmethod
    def scaling(self) -> dict[str, float] | None:
        """`mean` and `std` by which windows are standardised; None: they are not."""

    @property
    @abstractmethod
    def own_evaluation(self) -> dict[str, Any]:
        """Fields of `evaluate_forecasters` that the series gives in their place."""

    @property
    @abstractmethod
    def season(self) -> int | None:
        """Samples after which a forecast may repeat itself; None: it has no season."""

    @property
    @abstractmethod
    def spacing(self) -> float | None:
        """Time between samples; None: the series has no times."""

    @property
    @abstractmethod
    def training_range(self) -> tuple[float, float]:
        """The lowest and the highest sample that is trained on."""

    @abstractmethod
    def select_targets(self, num_forecasts: int) -> tuple[Floats, Array]:
        """Targets of the windows and their times, for a network of `num_forecasts` per window."""

    @abstractmethod
    def join_training(self) -> Array:
        """What baselines are fitted to: `(N, T)`, in the units of the windows."""

    @abstractmethod
    def restore_units(self, forecast: Forecaster) -> Forecaster:
        """A forecaster of samples like those of the windows as one in the units of the series."""

    @abstractmethod
    def check_orders(self, orders: Sequence[int], context: int) -> None:
        """Reject orders of autoregression that are a mistake with so many samples of context.

        Raises:
            InputError: an order is.
        """

    @abstractmethod
    def backtest(
        self,
        split: Split,
        *,
        context: int,
        horizon: int,
        phases: int,
        seed: int,
        validation_horizon: int = 0,
    ) -> Backtest:
        """What forecasters are scored on; the same arguments give the same backtest.

        An observed series has a rolling-origin backtest (Tashman, 2000): a forecast starts at each
        sample of the split after which the horizon fits into it. A generated series goes on after
        its training, and forecasts start at random phases of it.

        Args:
            split: part of the series.
            context: K, samples that a forecaster sees.
            horizon: n, samples that follow.
            phases: B, of a generated series.
            seed: of these phases and of the noise.
            validation_horizon: that of validation, when a test is drawn that has to lie after it.
        """

    @abstractmethod
    def walkthrough_tests(
        self, kind: WalkthroughKind, steps: int, context: int
    ) -> list[WalkthroughTest]:
        """The test of the walk-through, one for each start that it may draw; of a file none.

        Args:
            kind: which test.
            steps: n, at most; the recursive test goes on to the end of the series.
            context: samples that baselines are given.
        """

    @abstractmethod
    def split_parts(self, step: float) -> dict[str, tuple[Array, Array]]:
        """Times and samples, `(T,)` each, of training, validation and test; empty: of segments.

        Args:
            step: time between samples.
        """

    @abstractmethod
    def find_origin(self, split: Split) -> int | None:
        """Number of the first sample that a backtest forecasts, in the parts joined.

        None: a backtest has samples of its own, which are in no part.
        """

    @abstractmethod
    def hide_test(self) -> "Series":
        """The same without what is held back for the test."""

    @property
    @abstractmethod
    def _entry(self) -> Params:
        """The params of the series.

        Raises:
            ValueError: it was read without them.
        """

    @property
    @abstractmethod
    def _arrays(self) -> dict[str, Any]:
        """What the .npz file holds beside the windows."""


@dataclass(frozen=True, eq=False)
class GeneratedSeries(Series):
    """A series of `generated_series`: its signal is known at all times."""

    section = "generated_series"
    units = Units(
        time="time (units of the series)",
        sample="amplitude",
        training_sample="amplitude",
        squared_error="mean squared error (amplitude²)",
    )

    params: GeneratedParams | None = None  # None: read without them

    @property
    def _entry(self) -> GeneratedParams:
        return _require(self.params, self.name)

    @property
    def scaling(self) -> None:
        """None: windows have the units of the series."""
        return None

    @property
    def own_evaluation(self) -> dict[str, Any]:
        """Nothing: generated series are all scored alike."""
        return {}

    @property
    def season(self) -> int | None:
        """The season, else the period, to the nearest whole number of samples."""
        return self._entry.season_points

    @property
    def spacing(self) -> float:
        """Time between samples."""
        return self._entry.time_step

    @property
    def training_range(self) -> tuple[float, float]:
        """The lowest and the highest sample of inputs and targets."""
        samples = np.concatenate([self.windows.inputs.ravel(), self.windows.targets.ravel()])
        return float(samples.min()), float(samples.max())

    def select_targets(self, num_forecasts: int) -> tuple[Floats, Array]:
        """All: a network has to forecast as many as the series was cut for."""
        return self.windows.targets, self.windows.times

    def join_training(self) -> Array:
        """Windows and the sample after each, at most some thousand of them."""
        windows = self.windows
        thinned = slice(None, None, math.ceil(len(windows.inputs) / MAX_SEGMENTS))
        lasts = windows.targets[thinned, -1:]
        return np.concatenate([windows.inputs[thinned], lasts], axis=1, dtype=np.float64)

    def restore_units(self, forecast: Forecaster) -> Forecaster:
        """The same: windows have the units of the series."""
        return forecast

    def check_orders(self, orders: Sequence[int], context: int) -> None:
        """Reject orders beyond the context, which is the same for all generated series.

        Raises:
            InputError: an order is.
        """
        if max(orders) > context:
            raise InputError(
                f"params.yaml: AR({max(orders)}) looks at more samples than "
                f"evaluate_forecasters.context ({context}) shows: lower it in "
                "forecasting_baselines.ar_orders, or raise the context"
            )

    def backtest(
        self,
        split: Split,
        *,
        context: int,
        horizon: int,
        phases: int,
        seed: int,
        validation_horizon: int = 0,
    ) -> Backtest:
        """The signal from random phases after the last sample of training."""
        params = self._entry
        times = [self.windows.times.max(), self.windows.test_times.max(initial=0.0)]
        after = float(max(times))
        if split == "test" and params.delay:  # it never comes again: not where validation was
            after += params.spread + params.time_step * (context + validation_horizon)
        generator = np.random.default_rng([seed, STREAM])
        starts = after + generator.uniform(0, params.spread, phases)
        signal = sample_signal(
            params, starts[:, None] + params.time_step * np.arange(context + horizon)
        )
        contexts = signal[:, :context]
        noise = params.noise * generator.standard_normal(contexts.shape)
        return Backtest(
            contexts + noise,
            signal[:, context:],
            examples=(slice(NUM_EXAMPLES), slice(EXAMPLE_STEPS)),
        )

    def walkthrough_tests(
        self, kind: WalkthroughKind, steps: int, context: int
    ) -> list[WalkthroughTest]:
        """One for each start that the one-point test may draw; of the other kinds one."""
        if kind == "continuation":
            return [self._make_continuation(steps, context)]
        if kind == "recursive":
            return [self._make_recursion(context)]
        starts = range(min(NUM_STARTS, len(self.windows.inputs)))
        return [self._make_one_point(start, steps, context) for start in starts]

    def _make_one_point(self, start: int, steps: int, context: int) -> WalkthroughTest:
        """Closed-loop forecast from the first sample of a segment."""
        windows, step = self.windows, self._entry.time_step
        steps = min(steps, windows.targets.shape[1])
        given, following = windows.inputs[start, :1], windows.targets[start, :steps]
        times = windows.times[start, 0] + step * np.arange(-1, steps)
        targets = np.concatenate([given, following], dtype=np.float64)
        return WalkthroughTest(given, times, targets, self._sample_past(times[0], context))

    def _make_continuation(self, steps: int, context: int) -> WalkthroughTest:
        """Closed-loop forecast from the last sample of training, in the state carried to it."""
        params = self._entry
        times = self.windows.times[-1, -1] + params.time_step * np.arange(steps + 1)
        given = self.windows.targets[-1, -1:]
        targets = sample_signal(params, times)
        return WalkthroughTest(given, times, targets, self._sample_past(times[0], context))

    def _make_recursion(self, context: int) -> WalkthroughTest:
        """Forecast the held-out end of the series from the last window before it."""
        windows = self.windows
        history = windows.last
        times = np.concatenate([windows.times[-1], windows.test_times])
        targets = np.concatenate([history[-1:], windows.test], dtype=np.float64)
        return WalkthroughTest(history, times, targets, self._sample_past(times[0], context))

    def _sample_past(self, time: float, context: int) -> Array:
        """The noise-free samples up to a time: `(context,)`."""
        times = np.full(context, time) + self._entry.time_step * np.arange(1 - context, 1)
        return sample_signal(self._entry, times)

    def split_parts(self, step: float) -> dict[str, tuple[Array, Array]]:
        """Of slid windows the first segment that they were cut from, and its held-out end."""
        windows = self.windows
        if not windows.are_slid:
            return {}
        times = windows.times[:, 0]
        breaks = np.flatnonzero(~np.isclose(np.diff(times), step))  # the next segment starts there
        end = breaks[0] + 1 if len(breaks) else len(times)
        first = windows.inputs[0]
        joined_times = np.concatenate([time_inputs(times, len(first), step), times[:end]])
        joined = np.concatenate([first, windows.targets[:end, 0]])
        return {"training": (joined_times, joined), "test": (windows.test_times, windows.test)}

    def find_origin(self, split: Split) -> None:
        """None: forecasts start at phases after all parts."""
        return None

    def hide_test(self) -> "GeneratedSeries":
        """The same without the held-out end of the first segment."""
        windows = self.windows
        hidden = replace(windows, test=windows.test[:0], test_times=windows.test_times[:0])
        return replace(self, windows=hidden)

    @property
    def _arrays(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, eq=False)
class ObservedSeries(Series):
    """A series of `observed_series`, from a file: training, then validation, then test."""

    section = "observed_series"
    units = Units(
        time="time (units of the file)",
        sample="sample (units of the file)",
        training_sample="standardised sample",
        squared_error="mean squared error (units of the file, squared)",
    )

    samples: Array = field(kw_only=True)  # (T,), oldest first, in the units of the file
    sample_times: Array = field(kw_only=True)  # (T,)
    num_train: int = field(kw_only=True)
    num_validation: int = field(kw_only=True)
    params: ObservedParams | None = None  # None: read without them

    @property
    def _entry(self) -> ObservedParams:
        return _require(self.params, self.name)

    @property
    def training(self) -> Array:
        """The samples that are trained on, in the units of the file."""
        return self.samples[: self.num_train]

    @property
    def scaling(self) -> dict[str, float]:
        """Mean and standard deviation of the training part alone."""
        return measure_scaling(self.training)

    @property
    def own_evaluation(self) -> dict[str, Any]:
        """The context, which is the window, and the horizons: a file has its own."""
        params = self._entry
        return {
            "context": params.window,
            "horizons": params.horizons,
            "validation_horizons": params.horizons,
        }

    @property
    def season(self) -> int:
        """As the entry gives it."""
        return self._entry.season

    @property
    def spacing(self) -> float | None:
        """The usual time between samples; None: the entry names no column of times."""
        if self._entry.time is None:
            return None
        return find_spacing(self.sample_times)

    @property
    def training_range(self) -> tuple[float, float]:
        """The lowest and the highest sample of the training part."""
        return float(self.training.min()), float(self.training.max())

    def select_targets(self, num_forecasts: int) -> tuple[Floats, Array]:
        """The last: each sample of a window has a target, and some networks forecast one alone."""
        return self.windows.targets[:, -num_forecasts:], self.windows.times[:, -num_forecasts:]

    def join_training(self) -> Array:
        """The training part, standardised: `(1, T)`."""
        return standardise(self.training, **self.scaling)[None]

    def restore_units(self, forecast: Forecaster) -> Forecaster:
        """A forecaster that standardises its history and undoes that in its forecast."""
        mean, std = self.scaling["mean"], self.scaling["std"]

        def forecast_in_units(history: Array, horizon: int) -> Array:
            return forecast(standardise(history, mean, std), horizon) * std + mean

        return forecast_in_units

    def check_orders(self, orders: Sequence[int], context: int) -> None:
        """None is a mistake: the context is the window, which may be shorter than some orders."""

    def backtest(
        self,
        split: Split,
        *,
        context: int,
        horizon: int,
        phases: int,
        seed: int,
        validation_horizon: int = 0,
    ) -> Backtest:
        """A rolling-origin backtest; what lies before the split may be context, never target."""
        first, end = self.num_train, self.num_train + self.num_validation
        if split == "test":
            first, end = end, len(self.samples)
        part = self.samples[first - context : end]
        rows = np.lib.stride_tricks.sliding_window_view(part, context + horizon)
        naive_error = float(np.abs(np.diff(self.training)).mean())
        return Backtest(
            rows[:, :context],
            rows[:, context:],
            {"mse": _keep, "mase": partial(_scale_errors, naive_error=naive_error)},
            block=horizon,
            examples=(slice(None, None, horizon), slice(None)),
            scores_coverage=True,
        )

    def walkthrough_tests(
        self, kind: WalkthroughKind, steps: int, context: int
    ) -> list[WalkthroughTest]:
        """None: no walk-through is about a file."""
        return []

    def split_parts(self, step: float) -> dict[str, tuple[Array, Array]]:
        """All three, as they follow each other in the file."""
        first, second = self.num_train, self.num_train + self.num_validation
        bounds = {
            "training": slice(first),
            "validation": slice(first, second),
            "test": slice(second, None),
        }
        return {name: (self.sample_times[at], self.samples[at]) for name, at in bounds.items()}

    def find_origin(self, split: Split) -> int:
        """The first sample of the split."""
        return self.num_train + (self.num_validation if split == "test" else 0)

    def hide_test(self) -> "ObservedSeries":
        """The same without the last part."""
        end = self.num_train + self.num_validation
        return replace(self, samples=self.samples[:end], sample_times=self.sample_times[:end])

    @property
    def _arrays(self) -> dict[str, Any]:
        names = ("samples", "sample_times", "num_train", "num_validation")
        return {name: getattr(self, name) for name in names}


def measure_scaling(samples: Array) -> dict[str, float]:
    """`mean` and `std` of samples."""
    return {"mean": float(samples.mean()), "std": float(samples.std())}


def standardise(samples: Array, mean: float, std: float) -> Array:
    """Samples with mean 0 and standard deviation 1, in their shape."""
    return (samples - mean) / std


def time_inputs(target_times: Array, num_inputs: int, step: float) -> Array:
    """Times of the inputs of a window in figures, `(num_inputs,)`.

    Those of its targets where each input has one, else the steps before the single target.
    """
    if len(target_times) == num_inputs:
        return target_times
    steps_before = np.arange(num_inputs, 0, -1, dtype=np.float64)
    times: Array = target_times[0] - step * steps_before
    return times


def write_series(path: Path, series: Series) -> None:
    """Write a series; the same values give the same bytes.

    Args:
        path: data/preprocessed/series/<series>.npz; the params go beside it, into <series>.json.
        series: with its params.
    """
    np.savez(path, allow_pickle=False, **asdict(series.windows), **series._arrays)
    entry = {series.section: series._entry.model_dump(exclude_unset=True)}
    write_json(path.with_suffix(".json"), entry)


def read_series(path: Path, with_params: bool = True) -> Series:
    """Read a series.

    Args:
        path: data/preprocessed/series/<series>.npz.
        with_params: read <series>.json beside it too. Training and figures leave it: DVC does not
            train again where a season or horizons are edited, and a cluster gets one file.
    """
    with np.load(path) as file:
        arrays = dict(file)
    windows = Windows(**{field.name: arrays[field.name] for field in fields(Windows)})
    entry = path.with_suffix(".json") if with_params else None
    if "samples" not in arrays:
        return GeneratedSeries(path.stem, windows, _read_params(entry, GeneratedParams))
    return ObservedSeries(
        path.stem,
        windows,
        _read_params(entry, ObservedParams),
        samples=arrays["samples"],
        sample_times=arrays["sample_times"],
        num_train=int(arrays["num_train"]),
        num_validation=int(arrays["num_validation"]),
    )


def _read_params(path: Path | None, schema: type[P]) -> P | None:
    if path is None:
        return None
    [params] = read_json(path).values()
    return check_params(params, schema, str(path))


def _require(params: P | None, name: str) -> P:
    if params is None:
        raise ValueError(
            f"series {name} was read without its params, which this needs: call read_series with "
            "with_params=True"
        )
    return params


def _keep(squared_errors: Array) -> Array:
    return squared_errors


def _scale_errors(squared_errors: Array, naive_error: float) -> Array:
    """Absolute errors, scaled; their mean is MASE (Hyndman & Koehler, 2006).

    Below 1 they are smaller than what repeating the last sample costs, one step ahead, in training.

    Args:
        squared_errors: `(B, n)`.
        naive_error: mean absolute change from one sample of training to the next.
    """
    scaled: Array = np.sqrt(squared_errors) / naive_error
    return scaled
