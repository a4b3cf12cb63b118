"""Run the searches: `srn search`."""

import os

from stages.cli.jobs import run_module
from stages.cli.repro import lock_workspace
from stages.imports.follow import check_names
from stages.shared.errors import InputError


def main(num_jobs: int) -> None:
    """Run the searches that have changed; a search that was stopped continues.

    Raises:
        InputError: if a search failed.
    """
    check_names()
    os.environ["SEARCH_JOBS"] = str(num_jobs)
    with lock_workspace():
        if not run_module("dvc", "repro", "searches/dvc.yaml"):
            raise InputError("a search failed: see above")
