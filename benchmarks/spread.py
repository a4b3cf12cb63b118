"""Section `spread`: what other seeds, splits and phases give, and how networks compare then."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Generic, TypeVar

from benchmarks import forecasting_spread, surname_spread
from benchmarks.data import Bench, read_names
from benchmarks.spread_tables import tabulate_classifiers, tabulate_forecasters, tabulate_rnn
from benchmarks.surname_spread import RNN, Source
from benchmarks.surnames import list_members
from stages.searching.workers import run_in_processes
from stages.shared.params import read_params, read_value
from stages.shared.reproducible import make_reproducible
from stages.surnames.train import ClassifierParams

T = TypeVar("T")

NUDGE = 1e-6  # by which the first weights of one start and the next differ
CHECKPOINTS = 8  # of surname_rnn, the last at its end
UPDATES_BETWEEN = 5000
INTRODUCTION = """\
A cell is the median [smallest–largest] of trainings by the seeds of params.yaml plus 0 to {last}.
A difference is from the baseline that is best on validation (in the mean over splits or draws), and
above 0 it is better than that. Its 95 % interval is a bootstrap with two levels, trainings and test
items: how far it moves with other seeds and with other names or phases. Each resample draws two of
five trainings, which makes up for their being few. `ahead` and `behind` are said only where the
interval excludes 0.
"""
SURNAMES = """\
### Surnames

The seeds of the {num_splits} splits (preprocess_surnames.seed) are 0 to {last}; τ and temperature
are chosen on the validation part of each. A difference is the mean over splits of the mean over
seeds. The bootstrap draws trainings of each split, and pairs of name and language out of all that
any split tests, with replacement and as many of each language as there are: a pair that two splits
test moves in both.
What no seed changes is trained once a split.

{table}

`surname_rnn` alone, on the split of seed 0: every {every:,} of its last {span:,} updates (of
{updates:,}), and from first weights scaled by 1 + k · 10⁻⁶, k = 1 to {num_starts}.

{rnn}
"""
SINES = """\
### Sines

Mean squared errors of closed-loop forecasts. The seeds of the {num_draws} draws of test phases are
those of evaluate_forecasters (seed and validation_seed) plus 0, {shift}, …; baselines have no seed.
A difference is the error of the baseline less that of the network, the mean over draws, phases and
seeds; the bootstrap takes trainings, and phases, as many of each draw as there are.

{table}
"""


@dataclass(frozen=True)
class Extent:
    """How much is tried."""

    num_seeds: int
    num_splits: int  # of the surnames, and draws of phases
    classifiers: list[str]
    forecasters: list[str]
    updates: list[int]  # after which surname_rnn is scored
    num_starts: int


def choose_extent(quick: bool) -> Extent:
    """Everything in params.yaml, or a fraction of it that takes a minute."""
    if quick:
        classifiers = ["surname_fast", *list_members()]
        return Extent(1, 2, classifiers, ["closed_loop_rnn"], [2000, 3000], 2)
    last = read_params(f"classifiers.{RNN}", ClassifierParams).iterations
    first = last - (CHECKPOINTS - 1) * UPDATES_BETWEEN
    return Extent(
        num_seeds=5,
        num_splits=3,
        classifiers=list(read_value("classifiers")),
        forecasters=list_forecasters(),
        updates=list(range(first, last + 1, UPDATES_BETWEEN)),
        num_starts=5,
    )


def list_forecasters() -> list[str]:
    """Those of generated series: a file has one test, and no phases to draw."""
    generated = read_value("generated_series")
    return [
        name for name, entry in read_value("forecasters").items() if entry["series"] in generated
    ]


def measure(bench: Bench) -> str:
    """Tables of both tasks."""
    extent = choose_extent(bench.quick)
    source = Source(*read_names(bench.archive))
    parts = [
        INTRODUCTION.format(last=extent.num_seeds - 1),
        measure_surnames(extent, source),
        measure_sines(extent),
    ]
    return "\n".join(parts).rstrip()


@dataclass(frozen=True)
class Job(Generic[T]):
    """A call that another process can make: of a function of a module, or a partial of one."""

    label: str
    call: Callable[[], T]

    def __call__(self) -> T:
        """Make the call with the arithmetic of the stages."""
        make_reproducible()
        return self.call()


def run_jobs(jobs: list[Job[T]], num_workers: int | None = None) -> list[T]:
    """Run jobs side by side; results do not depend on how many run at once.

    Args:
        jobs: independent of each other. A line to stderr names each that is done.
        num_workers: processes; None: one per core.

    Returns:
        Results in the order of the jobs.
    """
    started = time.monotonic()
    results: dict[int, T] = {}
    for number, result in run_in_processes(jobs, num_workers or os.cpu_count() or 1):
        results[number] = result
        seconds = time.monotonic() - started
        line = f"{seconds:6.0f} s  {len(results)} of {len(jobs)}: {jobs[number].label}"
        print(line, file=sys.stderr)
    return [results[number] for number in range(len(jobs))]


def measure_surnames(extent: Extent, source: Source) -> str:
    """Classifiers beside baselines, and surname_rnn by itself."""
    results: list[surname_spread.Result] = []
    for found in run_jobs(list_classifier_jobs(extent, source)):
        results.extend(found)
    divisions = list(map(source.divide, range(extent.num_splits)))
    every = extent.updates[1] - extent.updates[0]
    return SURNAMES.format(
        num_splits=extent.num_splits,
        last=extent.num_splits - 1,
        table=tabulate_classifiers(results, divisions),
        every=every,
        span=len(extent.updates) * every,
        updates=extent.updates[-1],
        num_starts=extent.num_starts,
        rnn=tabulate_rnn(results),
    )


def list_classifier_jobs(extent: Extent, source: Source) -> list[Job[list[surname_spread.Result]]]:
    """Every training, and the baselines."""
    jobs = []
    splits, shifts = range(extent.num_splits), range(extent.num_seeds)
    for split, shift in product(splits, shifts):  # the longest first: nobody waits for the last
        names = extent.classifiers
        entries = partial(surname_spread.try_entries, names, source, split, shift)
        jobs.append(Job(f"surnames, split {split}: seeds + {shift}", entries))
    for split in splits:
        baselines = partial(surname_spread.try_baselines, source, split)
        jobs.append(Job(f"surnames, split {split}: baselines", baselines))
    for updates in extent.updates:
        shorter = partial(surname_spread.try_updates, source, updates)
        jobs.append(Job(f"{RNN}: {updates:,} updates", shorter))
    for number in range(1, extent.num_starts + 1):
        factor = 1 + number * NUDGE
        scaled = partial(surname_spread.try_start, source, extent.updates[-1], factor)
        jobs.append(Job(f"{RNN}: first weights × {factor}", scaled))
    return jobs


def measure_sines(extent: Extent) -> str:
    """Forecasters beside the baselines of their series."""
    results: list[forecasting_spread.Result] = []
    for found in run_jobs(list_forecaster_jobs(extent)):
        results.extend(found)
    return SINES.format(
        num_draws=extent.num_splits,
        shift=forecasting_spread.PHASE_SHIFT,
        table=tabulate_forecasters(results),
    )


def list_forecaster_jobs(extent: Extent) -> list[Job[list[forecasting_spread.Result]]]:
    """Every training, and the baselines of every series that one is trained on."""
    jobs = []
    series: dict[str, None] = {}
    for name in extent.forecasters:
        series[read_value(f"forecasters.{name}.series")] = None
        for shift in range(extent.num_seeds):
            entry = partial(forecasting_spread.try_entry, name, shift, extent.num_splits)
            jobs.append(Job(f"{name}: seed + {shift}", entry))
    for name, draw in product(series, range(extent.num_splits)):
        baselines = partial(forecasting_spread.try_baselines, name, draw)
        jobs.append(Job(f"{name}: baselines, draw {draw}", baselines))
    return jobs
