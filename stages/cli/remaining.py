"""How far `make repro` is, and how long its trainings still take, by what they took last time."""

from collections.abc import Iterable
from pathlib import Path

from stages.shared.bundle import read_times
from stages.shared.errors import InputError

_TRAININGS = ("train_forecaster@", "train_classifier@")  # next to them all other stages are short


def _list_trainings(stages: Iterable[str]) -> list[str]:
    """Those of the stages that train."""
    return [stage for stage in stages if stage.startswith(_TRAININGS)]


def read_seconds(stages: Iterable[str]) -> dict[str, float]:
    """Seconds that each training took last time, where its times.json is still here."""
    seconds = {}
    for stage in _list_trainings(stages):
        try:
            times = read_times(Path("data/trained", stage.partition("@")[2]))
        except (OSError, InputError, KeyError, TypeError, ValueError):
            continue  # gone or damaged: it is about to be written again
        seconds[stage] = (times.ended - times.started).total_seconds()
    return seconds


def estimate_seconds(
    waiting: Iterable[str], running: dict[str, float], seconds: dict[str, float], num_jobs: int
) -> float | None:
    """Seconds until the last training ends, or nothing if one of them never ended here.

    Args:
        waiting: stages that have not started.
        running: stages of jobs that have, and how many seconds ago.
        seconds: what trainings took last time.
        num_jobs: how many stages run at a time.
    """
    trainings = _list_trainings([*waiting, *running])
    if any(stage not in seconds for stage in trainings):
        return None
    left = [max(0.0, seconds[stage] - running.get(stage, 0.0)) for stage in trainings]
    return max([sum(left) / num_jobs, *left])


def count_stages(num_done: int, num_stages: int) -> str:
    """The same width all the way: `[ 3/48]`."""
    return f"[{num_done:{len(str(num_stages))}}/{num_stages}]"


def say_remaining(count: str, seconds: float | None) -> str:
    """One line: the count, and minutes where they are known."""
    if not seconds:
        return f"{count} stages done"
    left = "less than a minute" if seconds < 60 else f"about {seconds / 60:.0f} min"
    return f"{count} stages done, {left} of training left"
