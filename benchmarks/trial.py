"""A training timed in shares of "1 S3".

1 S3 is the time of the literal surname program's 200,000 updates. A block of them is timed after
each training that is compared with it, and scaled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

from torch import nn

from benchmarks.clock import alternate
from benchmarks.data import Bench
from benchmarks.table import Goal, Row, at_most, say_seconds
from benchmarks.updates import Program

Scores = dict[str, float]


@dataclass(frozen=True)
class Trial:
    """The trained network, and the seconds of its training and of 1 S3, a pair a repeat."""

    model: nn.Module
    pairs: list[tuple[float, float]]

    @property
    def shares(self) -> list[float]:
        """Of 1 S3, one a repeat."""
        return [ours / s3 for ours, s3 in self.pairs]

    @property
    def seconds(self) -> float:
        """Of the training."""
        return median(ours for ours, _ in self.pairs)

    @property
    def s3_seconds(self) -> float:
        """Of 1 S3."""
        return median(s3 for _, s3 in self.pairs)


def run_trial(train: Callable[[], nn.Module], s3: Program, bench: Bench) -> Trial:
    """Train and run a block of S3 in turn; the same training gives the same network each time."""
    models = []
    literal = partial(s3.literal, s3.block)
    pairs = alternate(lambda: models.append(train()), literal, bench.repeats)
    blocks = s3.recipe / s3.block
    return Trial(models[-1].eval(), [(ours, block * blocks) for ours, block in pairs])


def tabulate_trial(name: str, trial: Trial, share: float, scores: Scores, goals: list[Goal]) -> Row:
    """One row: the share of 1 S3, the scores that have a goal, and the goals of both."""
    return Row(
        name,
        say_seconds(trial.seconds),
        f"{say_seconds(trial.s3_seconds)} (1 S3)",
        trial.shares,
        unit=" S3",
        quality=say_scores({goal.metric: scores[goal.metric] for goal in goals}),
        goals=[at_most("share of S3", median(trial.shares), share), *goals],
    )


def say_scores(scores: Scores) -> str:
    """Scores in a cell."""
    return ", ".join(f"{metric} {value:.3g}" for metric, value in scores.items())
