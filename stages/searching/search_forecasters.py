"""Search for a recipe of a forecaster: data/preprocessed/series/ -> data/searched/.

Run by DVC as `python stages/run.py searching.search_forecasters WINDOWS OUT`.
"""

import sys
from pathlib import Path

from stages.forecasting.train import ForecasterParams
from stages.searching.forecasters import compute_digest, read_forecaster_attempt
from stages.searching.search import Task, search
from stages.searching.spaces import read_search
from stages.searching.trials import describe_code, describe_surroundings
from stages.shared.command import run_as_command

SECTION = "search_forecasters"


def main(windows: str, out: str) -> None:
    """Write trials.csv, curves.csv and best.yaml."""
    params = read_search(SECTION)
    attempt = read_forecaster_attempt(Path(windows), params.base)
    task = Task(
        SECTION, "forecasters", ForecasterParams, attempt.scores, Path(windows).stem, attempt
    )
    code = describe_code(params.architecture, SECTION)
    validation = [attempt.horizons, compute_digest(attempt.backtest)]
    surroundings = [*describe_surroundings([Path(windows)], code), validation]
    search(task, params, surroundings, Path(out))


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
