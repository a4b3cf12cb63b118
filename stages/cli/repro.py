"""Run the pipeline, independent stages side by side, then track it and print the results.

`srn repro [--jobs N]`, what `make repro` calls. With SURNAMES_ZIP set,
the surnames are taken from that zip: DVC sees no environment variable, so the stage is forced here.
"""

import os
import time
from pathlib import Path

from stages.cli import results
from stages.cli.checks import (
    check_architectures,
    check_files,
)
from stages.cli.dvc_internals import repair_rwlock, warn_of_another_dvc
from stages.cli.graph import FIRST, Graph, find_stale, read_graph
from stages.cli.jobs import run_module, run_side_by_side, signals_held
from stages.cli.lock_entries import drop_unknown_entries
from stages.cli.locks import lock_workspace
from stages.shared.errors import InputError
from stages.shared.names import check_names, check_sections
from stages.surnames.archive import NAMES_FILE, format_names, list_names, read_archive
from stages.tracking.mlflow_sync.sync import was_marked_since
from stages.tracking.run_specs import check_dvc_listings
from stages.tracking.track import is_up_to_date

RAW = Path("data/raw")
_NEXT = """\
make ui shows the runs in MLflow.
`. .venv/bin/activate` puts all other commands on the PATH: srn --help"""


def run_pipeline(num_jobs: int) -> bool:
    """Bring the workspace up to date, all but tracking; returns whether anything had changed.

    Raises:
        InputError: a stage failed.
    """
    copy = os.environ.get("SURNAMES_ZIP")
    if copy and _needs_copy(copy):
        is_taken = run_module("dvc", "repro", "--force", "download_surnames")
        if not is_taken:
            raise InputError("the surnames could not be taken from SURNAMES_ZIP: see above")
    graph, changed = _find_changes()
    run_side_by_side(find_stale(graph, changed), num_jobs)
    return bool(changed)


def _find_changes() -> tuple[Graph, set[str]]:
    """The stages with their upstream stages, and those that have changed.

    Raises:
        InputError: the imports could not be followed.
    """
    with signals_held():
        graph, changed = read_graph()
    if FIRST not in changed:
        return graph, changed
    if not run_module("dvc", "repro", "--single-item", FIRST):
        raise InputError(f"{FIRST} failed: see above")
    with signals_held():
        return read_graph()


def _needs_copy(copy: str) -> bool:
    """Whether a zip holds other surnames than data/raw does."""
    if not Path(copy).is_file():
        return True  # a wrong path: let the stage say so
    held = RAW / NAMES_FILE
    names = list_names(read_archive(Path(copy).read_bytes(), copy))
    return not held.exists() or held.read_bytes() != format_names(names)


def track(has_changed: bool) -> bool:
    """Let DVC record the tracking stage, and cover a store that was changed or deleted since.

    Args:
        has_changed: whether any stage had, tracking among them.
    """
    began = time.time()
    if has_changed and not run_module("dvc", "repro", "--quiet"):  # runs this stage alone
        return False
    return was_marked_since(began) or is_up_to_date() or run_module("stages.tracking.track")


def main(num_jobs: int) -> None:
    """Run, track, print.

    Raises:
        InputError: a stage failed, MLflow did not answer, or another call is at work here.
    """
    check_dvc_listings()
    with lock_workspace():
        check_files()
        check_sections()
        check_names()
        check_architectures()
        warn_of_another_dvc()
        repair_rwlock()
        drop_unknown_entries()
        has_changed = run_pipeline(num_jobs)
        is_tracked = track(has_changed)
    results.main()
    if not is_tracked:
        raise InputError(
            "only tracking is missing, see above: all stages ran. Once that is mended, `make sync`"
        )
    print(f"\n{_NEXT}")
