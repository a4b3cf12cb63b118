"""Search for a recipe of a sine forecaster: data/preprocessed/series/ -> data/searched/.

Run by DVC as `python stages/run.py searching.search_sine WINDOWS OUT`.
"""

import sys
from pathlib import Path

from stages.searching.search import Task, search
from stages.searching.sine import compute_digest, read_sine_attempt
from stages.searching.spaces import read_search
from stages.searching.trials import describe_code, describe_surroundings
from stages.shared.errors import exit_on_input_error
from stages.sine.train import SineParams

SECTION = "search_sine"


def main(windows: str, out: str) -> None:
    """Write trials.csv, curves.csv and best.yaml."""
    params = read_search(SECTION)
    attempt = read_sine_attempt(Path(windows), params.base)
    task = Task(SECTION, "sine", SineParams, attempt.scores, Path(windows).stem, attempt)
    code = describe_code(params.architecture, SECTION)
    validation = [attempt.horizons, compute_digest(attempt.runs)]
    surroundings = [*describe_surroundings([Path(windows)], code), validation]
    search(task, params, surroundings, Path(out))


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
