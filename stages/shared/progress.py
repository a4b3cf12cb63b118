"""The lines that a training prints: on the terminal with the time, in progress.txt without it."""

import time
from pathlib import Path

from torch import nn
from tqdm import tqdm


class Progress:
    """What a training has said so far.

    Args:
        model: printed first, as the walk-throughs do.
    """

    def __init__(self, model: nn.Module) -> None:
        self.started = time.monotonic()
        self.lines = str(model).splitlines()
        tqdm.write(str(model))

    def say(self, line: str) -> None:
        """Print a line behind the seconds since the start, and keep it."""
        seconds = time.monotonic() - self.started
        tqdm.write(f"{seconds:6.1f} s  {line}")
        self.lines.append(line)


def write_progress(path: Path, lines: list[str]) -> None:
    """Write progress.txt: no clock, so that the same training gives the same bytes."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
