"""Section `updates`: our training and the literal programs make the same updates, in turn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median
from types import ModuleType

from benchmarks.clock import Turns, alternate
from benchmarks.data import Bench, make_series
from benchmarks.published import carried_rnn, lagged_rnn, small_init_rnn, surname_rnn, windowed_lstm
from benchmarks.table import Row, at_least, format_seconds
from stages.forecasting.train import ForecasterParams, draw_windows
from stages.forecasting.train import train as train_forecaster
from stages.shared.params import read_params
from stages.surnames.names import decode_names
from stages.surnames.train import ClassifierParams, draw_names
from stages.surnames.train import train as train_classifier

WARM_UP = 20  # updates: the first ones of a process pay for what PyTorch imports late
SINE: dict[str, ModuleType] = {
    "carried_rnn": carried_rnn,
    "lagged_rnn": lagged_rnn,
    "windowed_lstm": windowed_lstm,
    "small_init_rnn": small_init_rnn,
}
SPEED_UPS = {  # at least
    "carried_rnn": 4,
    "lagged_rnn": 2,
    "windowed_lstm": 6,
    "small_init_rnn": 4,
    "surname_rnn": 20,
}
DRAWING = ("carried_rnn", "small_init_rnn")  # programs that draw their segments


@dataclass(frozen=True)
class Program:
    """A published program and our entry of its name; both train for a number of updates."""

    name: str
    recipe: int  # updates of the whole recipe
    block: int  # updates that are timed at once
    ours: Callable[[int], list[float]]  # -> losses
    literal: Callable[[int], list[float]]


@dataclass(frozen=True)
class Timing:
    """Seconds of one update, and the mean losses."""

    program: Program
    turns: Turns
    our_loss: float
    literal_loss: float

    @property
    def recipe_seconds(self) -> float:
        """The whole literal recipe."""
        return median(self.turns.reference) * self.program.recipe


def make_sine_program(name: str, bench: Bench) -> Program:
    """One of the four that forecast a sine."""
    params = read_params(f"forecasters.{name}", ForecasterParams)
    series = make_series(params.series)

    def shorten(num_updates: int) -> ForecasterParams:
        return params.model_copy(update={"iterations": num_updates})

    def ours(num_updates: int) -> list[float]:
        return train_forecaster(shorten(num_updates), series, name).curves.loss

    def literal(num_updates: int) -> list[float]:
        drawn = {}
        if name in DRAWING:
            segments = draw_windows(shorten(num_updates), len(series.windows.inputs))[:, 0]
            drawn["draws"] = segments.tolist()
        losses: list[float] = SINE[name].train(num_updates, seed=params.seed, **drawn).losses
        return losses

    block = min(params.iterations, 500) if bench.quick else params.iterations
    return Program(name, params.iterations, block, ours, literal)


def make_surname_program(bench: Bench) -> Program:
    """The one that names languages; a block of its updates is timed, not all 200,000."""
    params = read_params("classifiers.surname_rnn", ClassifierParams)
    names, vocabulary = bench.splits.train, bench.vocabulary
    texts = decode_names(names, vocabulary.symbols)

    def shorten(num_updates: int) -> ClassifierParams:
        lengths = ("iterations", "log_every", "mean_every")
        return params.model_copy(update=dict.fromkeys(lengths, num_updates))

    def ours(num_updates: int) -> list[float]:
        curves = train_classifier(shorten(num_updates), names, vocabulary, "surname_rnn").curves
        return [mean for mean in curves.mean_loss if mean is not None]

    def literal(num_updates: int) -> list[float]:
        drawn = []
        for row in draw_names(shorten(num_updates), names.languages):
            drawn.append((texts[row], int(names.languages[row])))
        return surname_rnn.train(num_updates, drawn, seed=params.seed).losses

    block = 1000 if bench.quick else 5000
    return Program("surname_rnn", params.iterations, block, ours, literal)


def time_program(program: Program, bench: Bench) -> Timing:
    """Run a program and our entry in turn."""
    program.ours(WARM_UP)
    program.literal(WARM_UP)
    our_losses: list[float] = []
    literal_losses: list[float] = []
    turns = alternate(
        lambda: our_losses.extend(program.ours(program.block)),
        lambda: literal_losses.extend(program.literal(program.block)),
        bench.repeats,
    )
    each = turns.scale(1 / program.block, 1 / program.block)
    return Timing(program, each, fmean(our_losses), fmean(literal_losses))


@cache
def time_programs(bench: Bench) -> list[Timing]:
    """All five; the timings are measured once for all sections."""
    timings = []
    for name in SINE:
        timings.append(time_program(make_sine_program(name, bench), bench))
    timings.append(time_program(make_surname_program(bench), bench))
    return timings


def measure(bench: Bench) -> list[Row]:
    """One row per program."""
    return list(map(tabulate_timing, time_programs(bench)))


def tabulate_timing(timing: Timing) -> Row:
    """Seconds of one update, and the speed-up."""
    program, turns = timing.program, timing.turns
    what = f"{program.name}: same {program.recipe:,} updates"
    if program.block < program.recipe:
        what += f", blocks of {program.block:,}"
    return Row(
        what,
        f"{format_seconds(median(turns.ours))} an update",
        f"{format_seconds(median(turns.reference))} (literal)",
        turns.speed_ups,
        quality=f"mean loss {timing.our_loss:.4g}, literal {timing.literal_loss:.4g}",
        goals=[at_least("speed-up", median(turns.speed_ups), SPEED_UPS[program.name])],
    )
