"""Generated series, observed series and panels of many series, with the same methods.

data/preprocessed/series/<series>.npz holds the windows for training, or the samples of a panel, and
<series>.json the entry of the series in params.yaml. `read_series` finds out the kind of a series;
all other code calls methods of the series, except where a panel is trained and drawn.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from stages.forecasting.observed import OBSERVED, ObservedParams, PanelParams, find_spacing
from stages.forecasting.signals import GeneratedParams, sample_signal
from stages.forecasting.transform import Transform, TransformParams, fit_transform
from stages.shared.arrays import read_arrays
from stages.shared.json_files import read_json, write_json
from stages.shared.params import Params, check_params

if TYPE_CHECKING:  # preprocessing does without torch
    from torch import nn

Array = NDArray[np.float64]
ForecastFunction = Callable[[Any, int], Array]  # history (B, K) and horizon n -> (B, n)
WalkthroughKind = Literal["one_point", "continuation", "recursive"]

_Floats = NDArray[np.float32]
_Split = Literal["validation", "test"]
_P = TypeVar("_P", bound=Params)

_MOST_EXAMPLES = 6  # series of a panel in figures
_LONGEST_HISTORY = 1000  # samples; longer histories change no forecast and take memory per origin
_STREAM = 0xE7A1  # added to every seed, so that backtests and trainings draw different numbers


@dataclass(frozen=True)
class Windows:
    """Training windows of a series, and its held-out end.

    Windows of an observed series are transformed, and its held-out end is in `ObservedSeries`.
    """

    inputs: _Floats  # (N, T), oldest sample first
    targets: _Floats  # (N, T) after each sample, or (N, 1) after the whole window
    times: Array  # of the targets, in their shape
    test: _Floats  # (n,) held-out end of the first segment
    test_times: Array  # (n,)
    validation_inputs: _Floats  # (V, T) after training, for the loss on validation
    validation_targets: _Floats  # (V, T) or (V, 1), like `targets`

    @property
    def are_slid(self) -> bool:
        """Whether a window has one target, the sample after it, instead of one per sample."""
        return bool(self.targets.shape[1] < self.inputs.shape[1])

    @property
    def last(self) -> _Floats:
        """The window before the held-out end: `(T,)`."""
        return np.concatenate([self.inputs[-1, 1:], self.targets[-1]])


@dataclass(frozen=True)
class Units:
    """Axis labels of figures."""

    time: str
    sample: str
    training_sample: str  # after the transform
    squared_error: str
    has_dates: bool = False  # times are days since 1970


@dataclass(frozen=True)
class Backtest:
    """Contexts to forecast from, and the targets to score the forecasts with."""

    contexts: Array  # (B, K) samples before each forecast, oldest first; NaN before a short one
    targets: Array  # (B, n) samples after them, without the noise of a generated series
    naive_error: float | Array | None = None  # (B, 1) of a panel: divides the errors of MASE
    # number of neighbouring forecasts whose errors depend on each other: the horizon, in a
    # rolling-origin backtest; 0: no such backtest, all forecasts are independent
    block: int = 0
    examples: tuple[slice, slice] = (slice(None), slice(None))  # forecasts and steps in figures
    scores_coverage: bool = False  # whether the coverage of the prediction interval is a score
    earlier: Array | None = None  # (B, K') samples before the contexts, where there are more
    names: list[str] | None = None  # of the series of a panel, one per forecast

    @property
    def scale(self) -> float | Array:
        """The unit of prediction intervals: 1, or for a panel the naive error of each series."""
        return 1.0 if self.names is None or self.naive_error is None else self.naive_error

    @property
    def histories(self) -> Array:
        """All given samples before each forecast: `(B, K' + K)`."""
        if self.earlier is None:
            return self.contexts
        return np.concatenate([self.earlier, self.contexts], axis=1)

    def measure_steps(self, forecasts: Array) -> dict[str, Array]:
        """Return the errors `(B, n)` of forecasts `(B, n)` at each step; scores are their means.

        `mse`: squared errors. `mase`, for observed series: absolute errors divided by the mean
        absolute change from one training sample to the next, or in a panel from one season to the
        next (Hyndman & Koehler, 2006). `smape`, in percent, replaces `mse` for a panel:
        200 |y - f| / (|y| + |f|) (Makridakis & Hibon, 2000).
        """
        targets = self.targets[:, : forecasts.shape[1]]
        if self.names is not None:
            errors = np.abs(forecasts - targets)
            sums = np.abs(forecasts) + np.abs(targets)
            smape = 200 * np.divide(errors, sums, out=np.zeros(errors.shape), where=sums > 0)
            return {"smape": smape, "mase": errors / self.scale}
        squared = (forecasts - targets) ** 2
        if self.naive_error is None:
            return {"mse": squared}
        return {"mse": squared, "mase": np.sqrt(squared) / self.naive_error}


@dataclass(frozen=True)
class WalkthroughTest:
    """The final test of a walk-through: forecast the n samples after a given one."""

    history: _Floats  # (K,) for a network; the last one is the given sample
    times: Array  # (n + 1,), from the given sample on
    targets: Array  # (n + 1,), likewise
    past: Array  # (context,) noise-free samples up to the given one, for baselines

    @property
    def steps(self) -> int:
        """Number of forecast samples, n."""
        return len(self.targets) - 1

    def measure_mse(self, forecast: Array) -> float:
        """Return the mean squared error of a forecast `(n,)`."""
        return float(np.mean((forecast - self.targets[1:]) ** 2))


@dataclass(frozen=True, eq=False)
class _SeriesBase(Generic[_P]):
    """The fields of all kinds of series."""

    section: ClassVar[str] = "observed_series"  # of params.yaml
    is_continuous: ClassVar[bool] = True  # training is one segment, right before validation

    name: str  # of its entry in that section
    params: _P | None = field(default=None, kw_only=True)  # that entry, or None if it was not read

    @property
    def entry(self) -> _P:
        """The params, which must have been read."""
        if self.params is None:
            raise ValueError(
                f"series {self.name} was read without its params: use with_params=True"
            )
        return self.params

    def walkthrough_tests(
        self, kind: WalkthroughKind, steps: int, context: int
    ) -> list[WalkthroughTest]:
        """No tests: the walk-throughs are about generated series alone."""
        return []


@dataclass(frozen=True, eq=False)
class _OneSeries(_SeriesBase[_P]):
    """The fields of a generated and of an observed series."""

    windows: Windows

    def select_validation(self) -> Self:
        """Return the series with its validation windows in place of the training windows."""
        inputs, targets = self.windows.validation_inputs, self.windows.validation_targets
        times = np.zeros(targets.shape)  # not known, and not used
        return replace(
            self, windows=replace(self.windows, inputs=inputs, targets=targets, times=times)
        )


@dataclass(frozen=True, eq=False)
class GeneratedSeries(_OneSeries[GeneratedParams]):
    """A series of `generated_series`, with a signal that is known at all times."""

    section = "generated_series"
    units: ClassVar[Units] = Units(
        time="time (units of the series)",
        sample="amplitude",
        training_sample="amplitude",
        squared_error="mean squared error (amplitude²)",
    )
    is_continuous = False
    transform: ClassVar[None] = None  # windows are in the units of the series
    own_evaluation: ClassVar[dict[str, Any]] = {}  # fields of evaluate_forecasters to replace

    @property
    def season(self) -> int | None:
        """Samples after which the series may repeat: the season, or else the period."""
        season = self.entry.season or self.entry.period
        return round(season / self.entry.time_step) if season else None

    @property
    def period(self) -> float | None:
        """Length of a period in samples, not always a whole number; None without a period."""
        return self.entry.period / self.entry.time_step if self.entry.period else None

    @property
    def spacing(self) -> float:
        """Time between samples."""
        return self.entry.time_step

    @property
    def training_range(self) -> tuple[float, float]:
        """The lowest and the highest training sample."""
        samples = np.concatenate([self.windows.inputs.ravel(), self.windows.targets.ravel()])
        return float(samples.min()), float(samples.max())

    @property
    def most_ahead(self) -> int:
        """Most samples after a window that a network can forecast at once."""
        return 1

    def select_windows(self, num_forecasts: int, ahead: int = 1) -> tuple[_Floats, _Floats, Array]:
        """Return inputs, targets and their times, whatever the network forecasts."""
        return self.windows.inputs, self.windows.targets, self.windows.times

    def join_training(self) -> Array:
        """Return samples `(N, T)` for baselines: up to 2,000 windows and the sample after each."""
        windows = self.windows
        thinned = slice(None, None, math.ceil(len(windows.inputs) / 2000))
        lasts = windows.targets[thinned, -1:]
        return np.concatenate([windows.inputs[thinned], lasts], axis=1, dtype=np.float64)

    def undo_transform(self, model: "nn.Module") -> "nn.Module":
        """Return the model as it is: its windows are in the units of the series."""
        return model

    def drop_differences(self, keep_log: bool) -> "GeneratedSeries":
        """Return the series as it is: it has no differences."""
        return self

    def backtest(
        self, split: _Split, *, context: int, horizon: int, phases: int, seed: int, before: int = 0
    ) -> Backtest:
        """Return the signal after training, from random phases.

        Args:
            split: part of the series.
            context: K, samples that a forecaster is given.
            horizon: n, samples that follow.
            phases: B, forecasts.
            seed: of the phases and of the noise.
            before: horizon of the validation, which a test has to start after.
        """
        params = self.entry
        times = [self.windows.times.max(), self.windows.test_times.max(initial=0.0)]
        after = float(max(times))
        if split == "test" and params.delay:  # it never repeats: start after validation
            after += params.spread + params.time_step * (context + before)
        generator = np.random.default_rng([seed, _STREAM])
        starts = after + generator.uniform(0, params.spread, phases)
        sampled = starts[:, None] + params.time_step * np.arange(context + horizon)
        signal = sample_signal(params, sampled)
        noise = params.noise * generator.standard_normal((phases, context))
        return Backtest(
            signal[:, :context] + noise,
            signal[:, context:],
            examples=(slice(3), slice(500)),  # 500 steps of three forecasts
        )

    def walkthrough_tests(
        self, kind: WalkthroughKind, steps: int, context: int
    ) -> list[WalkthroughTest]:
        """Return the test of the walk-through, once for each start that it may draw.

        Args:
            kind: `one_point`: closed-loop forecast from the first sample of a segment.
                `continuation`: from the last sample of training, in the carried state.
                `recursive`: forecast of the held-out end from the last window before it.
            steps: n, at most; the recursive test continues to the end of the series.
            context: samples for baselines.
        """
        windows, params = self.windows, self.entry
        step = params.time_step
        tests: list[tuple[_Floats, Array, Array]] = []  # history, times and targets of each
        if kind == "continuation":
            times = windows.times[-1, -1] + step * np.arange(steps + 1)
            tests.append((windows.targets[-1, -1:], times, sample_signal(params, times)))
        elif kind == "recursive":
            history = windows.last
            times = np.concatenate([windows.times[-1], windows.test_times])
            targets = np.concatenate([history[-1:], windows.test], dtype=np.float64)
            tests.append((history, times, targets))
        else:
            steps = min(steps, windows.targets.shape[1])
            for start in range(min(3, len(windows.inputs))):
                given, following = windows.inputs[start, :1], windows.targets[start, :steps]
                times = windows.times[start, 0] + step * np.arange(-1, steps)
                targets = np.concatenate([given, following], dtype=np.float64)
                tests.append((given, times, targets))
        before = step * np.arange(1 - context, 1)
        return [
            WalkthroughTest(history, times, targets, sample_signal(params, times[0] + before))
            for history, times, targets in tests
        ]

    def split_parts(self, step: float) -> dict[str, tuple[Array, Array]]:
        """Return times and samples `(T,)`, `step` apart, of training and test.

        They are the first segment and its held-out end, where windows were slid over segments.
        """
        windows = self.windows
        if not windows.are_slid:
            return {}
        times = windows.times[:, 0]
        breaks = np.flatnonzero(~np.isclose(np.diff(times), step))  # the next segment starts there
        end = breaks[0] + 1 if len(breaks) else len(times)
        first = windows.inputs[0]
        before = times[0] - step * np.arange(len(first), 0, -1)
        joined_times = np.concatenate([before, times[:end]])
        joined = np.concatenate([first, windows.targets[:end, 0]])
        return {"training": (joined_times, joined), "test": (windows.test_times, windows.test)}

    def find_origin(self, split: _Split) -> None:
        """Return None: the samples of backtests are in no part."""

    def hide_test(self) -> "GeneratedSeries":
        """Return the series without its held-out end."""
        windows = self.windows
        hidden = replace(windows, test=windows.test[:0], test_times=windows.test_times[:0])
        return replace(self, windows=hidden)


@dataclass(frozen=True, eq=False)
class ObservedSeries(_OneSeries[ObservedParams]):
    """A series of `observed_series`: the column of a file, split by time."""

    period: ClassVar[float | None] = None  # observed series are not known to be sinusoids

    samples: Array = field(kw_only=True)  # (T,), oldest first, in the units of the file
    sample_times: Array = field(kw_only=True)  # (T,)
    num_train: int = field(kw_only=True)
    num_validation: int = field(kw_only=True)
    transform: Transform = field(kw_only=True)  # of the samples in windows
    labels: dict[str, Any] = field(kw_only=True)  # `column`, `time` and `has_dates` of figures

    @property
    def units(self) -> Units:
        """Axis labels: the names of the columns."""
        column = self.labels["column"]
        return Units(
            time=self.labels["time"] or "row",
            sample=column,
            training_sample=f"{column}, transformed",
            squared_error=f"mean squared error ({column}²)",
            has_dates=self.labels["has_dates"],
        )

    @property
    def training(self) -> Array:
        """The training part, in the units of the file."""
        return self.samples[: self.num_train]

    @property
    def own_evaluation(self) -> dict[str, Any]:
        """Fields of `evaluate_forecasters` to replace; the context gives one transformed window."""
        context, horizons = self.entry.window + self.transform.num_lost, self.entry.horizons
        return {"context": context, "horizons": horizons, "validation_horizons": horizons}

    @property
    def season(self) -> int:
        """Samples after which the series may repeat."""
        return self.entry.season

    @property
    def spacing(self) -> float | None:
        """The usual time between samples, or None without a column of times."""
        return None if self.entry.time is None else find_spacing(self.sample_times)

    @property
    def training_range(self) -> tuple[float, float]:
        """The lowest and the highest sample of the whole file, transformed."""
        transformed = self.transform.apply(self.samples)
        return float(transformed.min()), float(transformed.max())

    @property
    def most_ahead(self) -> int:
        """Most samples after a window that a network can forecast at once."""
        return len(self.windows.inputs)

    def select_windows(self, num_forecasts: int, ahead: int = 1) -> tuple[_Floats, _Floats, Array]:
        """Return inputs `(N, T)`, targets and their times.

        Args:
            num_forecasts: forecasts of the network for a window: one after each of its last
                samples, or `ahead` after the window.
            ahead: H, samples after a window that the network forecasts at once. With more than
                one, the targets `(N - H + 1, H)` are the last ones of consecutive windows.
        """
        windows = self.windows
        if ahead == 1:
            last = slice(-num_forecasts, None)
            return windows.inputs, windows.targets[:, last], windows.times[:, last]
        slide = partial(np.lib.stride_tricks.sliding_window_view, window_shape=ahead)
        targets = slide(windows.targets[:, -1]).copy()  # PyTorch warns of arrays it cannot write to
        return windows.inputs[: len(targets)], targets, slide(windows.times[:, -1])

    def join_training(self) -> Array:
        """Return samples `(1, T)` for baselines: the transformed training part."""
        return self.transform.apply(self.training)[None]

    def undo_transform(self, model: "nn.Module") -> "nn.Module":
        """Turn a forecaster of transformed samples into one in the units of the file."""
        return self.transform.undo(model)

    def drop_differences(self, keep_log: bool) -> "ObservedSeries":
        """Return the series, without new windows, for methods that follow trend and season."""
        params = TransformParams(log=self.transform.log and keep_log)
        return replace(self, transform=fit_transform(self.training, params, self.transform.floor))

    def backtest(
        self, split: _Split, *, context: int, horizon: int, phases: int, seed: int, before: int = 0
    ) -> Backtest:
        """Return a rolling-origin backtest (Tashman, 2000); `phases` and `seed` have no effect.

        A forecast starts at each sample of the split where the horizon still fits. Samples before
        the split may be context, never targets.
        """
        first, end = self.num_train, self.num_train + self.num_validation
        if split == "test":
            first, end = end, len(self.samples)
        # as much before the first origin of validation as before all others
        length = min(self.num_train, max(context, _LONGEST_HISTORY))
        part = self.samples[first - length : end]
        rows = np.lib.stride_tricks.sliding_window_view(part, length + horizon)
        return Backtest(
            rows[:, length - context : length],
            rows[:, length:],
            earlier=rows[:, : length - context],
            # 1.0: the series is constant
            naive_error=float(np.abs(np.diff(self.training)).mean()) or 1.0,
            block=horizon,
            examples=(slice(None, None, horizon), slice(None)),
            scores_coverage=True,
        )

    def split_parts(self, step: float) -> dict[str, tuple[Array, Array]]:
        """Return times and samples `(T,)` of training, validation and test."""
        first, second = self.num_train, self.num_train + self.num_validation
        bounds = {
            "training": slice(first),
            "validation": slice(first, second),
            "test": slice(second, None),
        }
        return {name: (self.sample_times[at], self.samples[at]) for name, at in bounds.items()}

    def find_origin(self, split: _Split) -> int:
        """Return the index of the first sample of a split, the first one to be forecast."""
        return self.num_train + (self.num_validation if split == "test" else 0)

    def hide_test(self) -> "ObservedSeries":
        """Return the series without its test part."""
        end = self.num_train + self.num_validation
        return replace(self, samples=self.samples[:end], sample_times=self.sample_times[:end])


@dataclass(frozen=True, eq=False)
class Panel(_SeriesBase[PanelParams]):
    """An entry of `observed_series` with many series, for one network that learns from all.

    The last `num_test` samples of each series are its test, the `num_validation` samples before
    them its validation. global_training.py cuts windows from the training parts.
    """

    spacing: ClassVar[float | None] = None
    transform: ClassVar[None] = None  # it is a part of the models

    series_names: list[str] = field(kw_only=True)
    samples: list[Array] = field(kw_only=True)  # (T,) of each series, oldest first
    num_validation: int = field(kw_only=True)  # samples of each series
    num_test: int = field(kw_only=True)
    season: int = field(kw_only=True)
    horizon: int = field(kw_only=True)
    floor: float | None = field(kw_only=True)
    units: Units = field(kw_only=True)

    @property
    def training(self) -> list[Array]:
        """The training part `(T,)` of each series."""
        held_out = self.num_validation + self.num_test
        return [samples[: len(samples) - held_out] for samples in self.samples]

    @property
    def own_evaluation(self) -> dict[str, Any]:
        """Fields of `evaluate_forecasters` to replace."""
        horizons = [self.horizon]
        return {"context": 1, "horizons": horizons, "validation_horizons": horizons}

    @property
    def training_range(self) -> tuple[float, float]:
        """The lowest and the highest sample of all series."""
        joined = np.concatenate(self.samples)
        return float(joined.min()), float(joined.max())

    def backtest(
        self, split: _Split, *, context: int, horizon: int, phases: int, seed: int, before: int = 0
    ) -> Backtest:
        """Return one forecast origin for each series, at the beginning of the split."""
        held_out = self.num_test + (self.num_validation if split == "validation" else 0)
        histories = [own[: len(own) - held_out][-_LONGEST_HISTORY:] for own in self.samples]
        targets = [own[len(own) - held_out :][:horizon] for own in self.samples]
        return Backtest(
            pad_histories(histories),
            np.stack(targets),
            naive_error=measure_naive_errors(self.training, self.season)[:, None],
            examples=(slice(None, None, math.ceil(len(targets) / _MOST_EXAMPLES)), slice(None)),
            scores_coverage=True,
            names=self.series_names,
        )

    def hide_test(self) -> "Panel":
        """Return the panel without its test parts."""
        samples = [own[: len(own) - self.num_test] for own in self.samples]
        return replace(self, samples=samples, num_test=0)

    def join_models(self, networks: "list[nn.Module]") -> "nn.Module":
        """Return the mean of several networks as one forecaster, never below the floor."""
        from stages.models.mean_forecaster import MeanForecaster
        from stages.models.seasonal_forecaster import SeasonalForecaster

        joined = networks[0] if len(networks) == 1 else MeanForecaster(networks)
        if self.floor is None:
            return joined
        return SeasonalForecaster([joined], season=1, floor=self.floor)  # networks know the season

    def hold_out_nothing(self) -> "Panel":
        """Return the panel with all samples in the training parts."""
        return replace(self, num_validation=0, num_test=0)


Series = GeneratedSeries | ObservedSeries
AnySeries = Series | Panel


def pad_histories(histories: list[Array]) -> Array:
    """Return histories of different lengths as one array `(B, T)`, padded with NaN in front."""
    padded = np.full((len(histories), max(map(len, histories))), np.nan)
    for row, history in zip(padded, histories, strict=True):
        row[len(row) - len(history) :] = history
    return padded


def measure_naive_errors(training: list[Array], season: int) -> Array:
    """Return the mean absolute change of each series from one season to the next: `(B,)`.

    If it is 0 or unknown, the change from sample to sample replaces it, then the size of the last
    sample, then 1.
    """
    errors = []
    for samples in training:
        changes = [np.abs(samples[lag:] - samples[:-lag]) for lag in (season, 1)]
        candidates = [float(change.mean()) for change in changes if len(change)]
        candidates += [abs(float(samples[-1])), 1.0]
        errors.append(next(error for error in candidates if error > 0))
    return np.array(errors)


def write_series(path: Path, series: AnySeries) -> None:
    """Write a series to <series>.npz and its params to <series>.json beside it."""
    apart = ("name", "windows", "params")
    own = {name: value for name, value in vars(series).items() if name not in apart}
    if isinstance(series, Panel):
        own["samples"] = np.concatenate(series.samples)
        own["lengths"] = np.array([len(samples) for samples in series.samples])
        own["floor"] = np.array([] if series.floor is None else [series.floor])
        own["units"] = json.dumps(asdict(series.units))
        np.savez(path, allow_pickle=False, **own)
    else:
        if isinstance(series, ObservedSeries):
            own["transform"] = json.dumps(asdict(series.transform))
            own["labels"] = json.dumps(series.labels)
        np.savez(path, allow_pickle=False, **asdict(series.windows), **own)
    entry = series.entry.model_dump(exclude_unset=True)
    write_json(path.with_suffix(".json"), {series.section: entry})


def read_series(path: Path, with_params: bool = True) -> AnySeries:
    """Read a series, or a panel.

    Args:
        path: data/preprocessed/series/<series>.npz.
        with_params: read <series>.json beside it too. Training and figures do without, so that DVC
            does not train again after a season or horizon is edited.
    """
    arrays = read_arrays(path)
    params: Any = None
    if with_params:
        entry_path = path.with_suffix(".json")
        [(section, entry)] = read_json(entry_path).items()
        schema: Any = GeneratedParams if section == GeneratedSeries.section else OBSERVED
        params = check_params(entry, schema, str(entry_path))
    if "lengths" in arrays:
        return _build_panel(path.stem, arrays, params)
    windows = Windows(**{field.name: arrays[field.name] for field in fields(Windows)})
    if "samples" not in arrays:
        return GeneratedSeries(path.stem, windows, params=params)
    return ObservedSeries(
        path.stem,
        windows,
        params=params,
        samples=arrays["samples"],
        sample_times=arrays["sample_times"],
        num_train=int(arrays["num_train"]),
        num_validation=int(arrays["num_validation"]),
        transform=Transform(**json.loads(str(arrays["transform"]))),
        labels=json.loads(str(arrays["labels"])),
    )


def _build_panel(name: str, arrays: dict[str, NDArray[Any]], params: PanelParams | None) -> Panel:
    """Return the panel from its arrays."""
    counts = ("num_validation", "num_test", "season", "horizon")
    return Panel(
        name,
        params=params,
        series_names=arrays["series_names"].tolist(),
        samples=np.split(arrays["samples"], np.cumsum(arrays["lengths"])[:-1]),
        floor=float(arrays["floor"][0]) if len(arrays["floor"]) else None,
        units=Units(**json.loads(str(arrays["units"]))),
        **{count: int(arrays[count]) for count in counts},
    )
