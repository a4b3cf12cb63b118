"""Search for a recipe of a surname classifier: data/preprocessed/surnames/ -> data/searched/.

Run by DVC as `python stages/run.py searching.search_classifiers SURNAMES OUT`.
"""

import sys
from pathlib import Path

from stages.searching.classifiers import SCORES, read_classifier_attempt
from stages.searching.search import Task, search
from stages.searching.spaces import read_search
from stages.searching.trials import describe_code, describe_surroundings
from stages.shared.command import run_as_command
from stages.surnames.train import ClassifierParams

SECTION = "search_classifiers"


def main(surnames: str, out: str) -> None:
    """Write trials.csv, curves.csv and best.yaml."""
    params = read_search(SECTION)
    folder = Path(surnames)
    attempt = read_classifier_attempt(folder, params.base)
    task = Task(SECTION, "classifiers", ClassifierParams, SCORES, attempt.vocabulary.data, attempt)
    code = describe_code(params.architecture, SECTION)
    files = [folder / "names.npz", folder / "vocabulary.json"]
    search(task, params, describe_surroundings(files, code), Path(out))


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
