"""Run the pipeline, independent stages in parallel, then sync MLflow and print the results.

This is `srn repro [--jobs N]`, which `make repro` calls. If the environment variable SURNAMES_ZIP
is set, the surnames are read from that zip: DVC does not watch environment variables, so the stage
is forced to run here.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from stages.cli import results
from stages.cli.dvc_internals import repair_rwlock, warn_of_another_dvc
from stages.cli.graph import FIRST, LAST, Pipeline, find_stale
from stages.cli.jobs import find_changed_now, run_module, run_side_by_side, signals_held
from stages.forecasting.observed import check_csv_file
from stages.forecasting.sizes import check_sizes
from stages.imports.follow import check_names
from stages.imports.leftovers import tidy_results
from stages.shared.errors import InputError
from stages.shared.files import open_lock
from stages.shared.model_config import check_architecture
from stages.shared.params import SECTIONS, DataPath, Name, read_params
from stages.shared.yaml_files import read_yaml
from stages.surnames.archive import NAMES_FILE, format_names, parse_names, read_limited
from stages.tracking.mlflow_sync.sync import was_synced_since
from stages.tracking.run_specs import check_dvc_listings
from stages.tracking.track import is_up_to_date

_RAW = Path("data/raw")
_FOLDER = Path(".dvc/tmp")
_NEXT = """\
make ui shows the runs in MLflow.
`. .venv/bin/activate` puts all other commands on the PATH: srn --help"""


def main(num_jobs: int) -> None:
    """Run the pipeline, sync MLflow, and print the results.

    Raises:
        InputError: if a stage failed, MLflow did not answer, or another call is running.
    """
    check_dvc_listings()
    with lock_workspace():
        check_files()
        warn_of_another_dvc()
        repair_rwlock()
        tidy_results()
        has_to_track = run_pipeline(num_jobs)
        began = time.time()
        # `--single-item`: stages that were edited meanwhile run in the next call
        track = ("dvc", "repro", "--quiet", "--single-item", LAST)
        is_tracked = not has_to_track or run_module(*track)
        if is_tracked and not was_synced_since(began):  # the store may have changed or be deleted
            is_tracked = is_up_to_date() or run_module("stages.tracking.track")
    results.main()
    sys.stdout.flush()  # if `head` has closed the pipe, end here: that is why tracking ended
    if not is_tracked:
        raise InputError(
            "all stages ran, but MLflow could not be updated: see above, correct that, then "
            "`make sync`"
        )
    print(f"\n{_NEXT}")


def run_pipeline(num_jobs: int) -> bool:
    """Run all stages that have changed but `track`; return whether `track` has to run.

    Raises:
        InputError: if a stage failed.
    """
    copy = os.environ.get("SURNAMES_ZIP")
    if copy and _needs_copy(copy):
        print(f"download_surnames: taking {copy}", flush=True)
        is_taken = run_module("dvc", "repro", "--quiet", "--force", "download_surnames")
        if not is_taken:
            raise InputError("the surnames could not be read from SURNAMES_ZIP: see above")
    with signals_held():
        pipeline = Pipeline()
        changed = pipeline.find_changed(pipeline.graph)
    if FIRST in changed:
        run_side_by_side(pipeline, {FIRST: set()}, {FIRST}, 1)
        with signals_held():
            changed = pipeline.find_changed(pipeline.graph.keys() - {FIRST})
    run_side_by_side(pipeline, find_stale(pipeline.graph, changed), changed, num_jobs)
    return bool(changed and find_changed_now(pipeline, [LAST]))


def _needs_copy(copy: str) -> bool:
    """Return whether a zip has other surnames than data/raw."""
    try:
        content = read_limited(Path(copy))
    except OSError:
        return True  # a wrong path, which the stage reports
    current = _RAW / NAMES_FILE
    names, _ = parse_names(content, copy)
    return not current.exists() or current.read_bytes() != format_names(names)


class _ModelEntry(BaseModel):
    """The field of a model in params.yaml that DVC uses; its stage checks the others."""

    architecture: Name


class _FileEntry(BaseModel):
    """The field of an observed series that DVC uses."""

    path: DataPath


def check_files() -> None:
    """Check what DVC would not report, or not in one line.

    Raises:
        InputError: if a file is not YAML, a name cannot be used for a stage, or a model has an
            architecture that is not in stages/models/ or sizes that do not fit its series.
    """
    for name in ("dvc.yaml", "params.yaml"):  # dvc.lock: `check_dvc_listings` has read it
        if Path(name).exists():
            read_yaml(name)
    check_names()
    for section in SECTIONS.values():
        for model, entry in read_params(section, dict[Name, _ModelEntry]).items():
            check_architecture(entry.architecture, f"params.yaml: {section}.{model}")
    for series, file in read_params("observed_series", dict[Name, _FileEntry]).items():
        if Path(file.path).exists():  # DVC would read a pipe or a huge file to its end
            try:
                check_csv_file(Path(file.path))
            except InputError as error:
                raise InputError(f"params.yaml: observed_series.{series}: {error}") from None
    check_sizes()


@contextmanager
def lock_workspace() -> Iterator[None]:
    """Allow one `make repro` at a time in this workspace.

    Raises:
        InputError: if another one is running, or its lock is not a plain file.
    """
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with open_lock(_FOLDER / "repro.lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process ends
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"make repro is running here already ({file.read()}): wait until it has ended"
            ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield
