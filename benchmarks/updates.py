"""Section `updates`: our training and the literal programs make the same updates, in turn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median
from types import ModuleType

from benchmarks.clock import alternate
from benchmarks.data import Bench, make_windows
from benchmarks.published import carried_rnn, lagged_rnn, small_init_rnn, surname_rnn, windowed_lstm
from benchmarks.table import Row, say_seconds
from stages.shared.bundle import Curves
from stages.shared.params import read_params
from stages.sine.train import SineParams, draw_windows
from stages.sine.train import train as train_sine
from stages.surnames.names import decode_names
from stages.surnames.train import SurnameParams, draw_names
from stages.surnames.train import train as train_surnames

WARM_UP = 20  # updates: the first ones of a process pay for what PyTorch imports late
DRAWING = (carried_rnn, small_init_rnn)  # literal sine programs that draw their segments


@dataclass(frozen=True)
class Program:
    """A published program and our entry; both train for a number of updates."""

    title: str
    recipe: int  # updates of the whole recipe
    block: int  # updates that are timed at once
    ours: Callable[[int], list[float]]  # -> losses
    literal: Callable[[int], list[float]]


@dataclass(frozen=True)
class Timing:
    """Seconds of one update, ours and the literal one, a pair a repeat; and the mean losses."""

    program: Program
    pairs: list[tuple[float, float]]
    losses: tuple[float, float]

    @property
    def recipe_seconds(self) -> float:
        """The whole literal recipe."""
        return median(literal for _, literal in self.pairs) * self.program.recipe


def make_sine_program(title: str, module: ModuleType, bench: Bench) -> Program:
    """S1, S2, S4 or S5; the literal module is named like its entry in params.yaml."""
    name = module.__name__.rpartition(".")[2]
    params = read_params(f"sine.{name}", SineParams).model_copy(update={"print_every": None})
    windows = make_windows(params.series)

    def ours(num_updates: int) -> list[float]:
        shortened = params.model_copy(update={"iterations": num_updates})
        return train_sine(shortened, windows, name).curves.loss

    def literal(num_updates: int) -> list[float]:
        shortened = params.model_copy(update={"iterations": num_updates})
        draws = draw_windows(shortened, len(windows["inputs"]))[:, 0].tolist()
        drawn = {"draws": draws} if module in DRAWING else {}
        return module.train(num_updates, seed=params.seed, **drawn).losses

    block = min(params.iterations, 500) if bench.quick else params.iterations
    return Program(f"{title} {name}", params.iterations, block, ours, literal)


def make_surname_program(bench: Bench) -> Program:
    """S3; its 200,000 literal updates are too many to repeat, so blocks of them are timed."""
    params = read_params("surnames.surname_rnn", SurnameParams)
    names, vocabulary = bench.splits["train"], bench.vocabulary
    texts = decode_names(names, vocabulary.symbols)

    def shorten(num_updates: int) -> SurnameParams:
        every = {"log_every": num_updates, "mean_every": num_updates, "print_every": None}
        return params.model_copy(update={"iterations": num_updates, **every})

    def ours(num_updates: int) -> list[float]:
        curves: Curves = train_surnames(shorten(num_updates), names, vocabulary, "surname_rnn")[2]
        return curves.mean_loss

    def literal(num_updates: int) -> list[float]:
        draws = draw_names(shorten(num_updates), names.languages)
        named = [(texts[n], int(names.languages[n])) for n in draws]
        return surname_rnn.train(num_updates, named, seed=params.seed).losses

    block = 1000 if bench.quick else 5000
    return Program("S3 surname_rnn", params.iterations, block, ours, literal)


def time_program(program: Program, bench: Bench) -> Timing:
    """Run a program and our entry in turn."""
    losses: dict[str, float] = {}

    def ours() -> None:
        losses["ours"] = fmean(program.ours(program.block))

    def literal() -> None:
        losses["literal"] = fmean(program.literal(program.block))

    program.ours(WARM_UP), program.literal(WARM_UP)
    pairs = alternate(ours, literal, bench.repeats)
    each = [(mine / program.block, its / program.block) for mine, its in pairs]
    return Timing(program, each, (losses["ours"], losses["literal"]))


@cache
def time_programs(bench: Bench) -> list[Timing]:
    """All five; the second section to ask gets the timings of the first."""
    programs = [
        make_sine_program("S1", carried_rnn, bench),
        make_sine_program("S2", lagged_rnn, bench),
        make_surname_program(bench),
        make_sine_program("S4", windowed_lstm, bench),
        make_sine_program("S5", small_init_rnn, bench),
    ]
    return [time_program(program, bench) for program in programs]


def measure(bench: Bench) -> list[Row]:
    """One row a program."""
    return [tabulate(timing) for timing in time_programs(bench)]


def tabulate(timing: Timing) -> Row:
    """Seconds of one update, and the speed-up."""
    program = timing.program
    ours, literal = (say_seconds(median(column)) for column in zip(*timing.pairs, strict=True))
    blocks = "" if program.block == program.recipe else f", blocks of {program.block:,}"
    return Row(
        f"{program.title}: same {program.recipe:,} updates{blocks}",
        f"{ours} an update",
        f"{literal} (literal)",
        [its / mine for mine, its in timing.pairs],
        quality="mean loss {:.4g}, literal {:.4g}".format(*timing.losses),
    )
