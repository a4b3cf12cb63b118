"""A training timed beside the published surname program, the one clock of all goals.

The program's 200,000 literal updates are too many to repeat: a block of them runs after each
training that is compared with it, and its time is scaled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

from benchmarks.clock import Turns, alternate
from benchmarks.data import Bench
from benchmarks.table import Goal, Row, at_most, format_seconds
from benchmarks.updates import Program

Scores = dict[str, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Trial(Generic[T]):
    """What a training gave, and its seconds beside those of the whole published program."""

    trained: T
    turns: Turns


def run_trial(train: Callable[[], T], published: Program, bench: Bench) -> Trial[T]:
    """Train, and run a block of the published program, in turn; every repeat gives the same."""
    results: list[T] = []
    turns = alternate(
        lambda: results.append(train()),
        lambda: published.literal(published.block),
        bench.repeats,
    )
    num_blocks = published.recipe / published.block
    return Trial(results[-1], turns.scale(1, num_blocks))


def tabulate_trial(name: str, turns: Turns, most_share: float, goals: list[Goal]) -> Row:
    """One row: the share of the published time, the scores that have a goal, and all goals."""
    scores = []
    for goal in goals:
        scores.append(f"{goal.metric} {goal.value:.3g}")
    share = at_most("share of the published time", median(turns.shares), most_share)
    return Row(
        name,
        format_seconds(median(turns.ours)),
        f"{format_seconds(median(turns.reference))} (the published surname program)",
        turns.shares,
        unit=" of it",
        quality=", ".join(scores),
        goals=[share, *goals],
    )
