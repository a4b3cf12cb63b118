"""Search recipes of a surname classifier: data/preprocessed/surnames/ -> data/searched/.

Run by DVC as `python stages/run.py searching.search_classifiers SECTION SURNAMES OUT`.
"""

import sys
from functools import partial
from pathlib import Path

from stages.searching.classifiers import SCORES, try_classifier
from stages.searching.search import Task, search
from stages.searching.spaces import read_search
from stages.searching.trials import describe_inputs
from stages.shared.command import run_as_command
from stages.surnames.names import read_splits, read_vocabulary
from stages.surnames.train import ClassifierParams


def main(section: str, surnames: str, out: str) -> None:
    """Write trials.csv, curves.csv and best.yaml of a section of searches/params.yaml."""
    params = read_search(section)
    folder = Path(surnames)
    vocabulary = read_vocabulary(folder)
    splits = read_splits(folder)
    attempt = partial(
        try_classifier,
        name=params.base,
        names=splits.train,
        validation=splits.validation,
        vocabulary=vocabulary,
    )
    task = Task(section, "classifiers", ClassifierParams, SCORES, vocabulary.data, attempt)
    files = [folder / "names.npz", folder / "vocabulary.json"]
    inputs = describe_inputs(files, params.architecture, section)
    search(task, params, inputs, Path(out))


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
