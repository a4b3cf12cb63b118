"""Make MLflow agree with dvc.lock: every trained model, and the layer tour, has its one run.

Run by DVC as `python -m stages.tracking.track`, and by hand (`make sync`) after whatever changes
data/ without running code: `dvc pull`, `dvc checkout`, a stage that DVC took from its cache. What
MLflow has already is left alone, so a second call writes nothing. `--check` never writes; it lists
what is missing or stale.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stages.shared.errors import exit_on_input_error
from stages.tracking.content import find_obstacle
from stages.tracking.location import find_uri, is_absent, lock_store
from stages.tracking.runs import COMMIT_TAG, LOOKS_TAG, publish, replace_shown
from stages.tracking.store import Store, open_store
from stages.tracking.subjects import Subject, read_subjects

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import Run


def sync(store: Store, subjects: list[Subject]) -> Iterator[str]:
    """Make, complete and drop runs; tells what was done."""
    commit = find_commit()
    # before anything is written: a dead or slow server shows here, within TRACK_SECONDS
    found = [store.find_runs(subject.key) for subject in subjects]
    for subject, runs in zip(subjects, found, strict=True):
        store.renew_patience()
        obstacle = None
        if find_fault(subject, runs):
            obstacle = find_obstacle(subject)
        if obstacle:
            yield f"{subject.name}: not tracked, {obstacle}"
        else:
            yield from complete(store, subject, runs, commit)
    for run in store.find_runs(store.pending):
        store.drop_run(run)
        yield f"{run.info.run_name}: unfinished run dropped"


def complete(
    store: Store, subject: Subject, runs: "list[Run]", commit: str | None
) -> Iterator[str]:
    """Leave a model or the tour with one run that has all it should have."""
    if not runs:
        publish(store, subject, commit)
        yield f"{subject.name}: run made"
        runs = store.find_runs(subject.key)  # another clone may have made one meanwhile
    for double in runs[1:]:
        store.drop_run(double)
        yield f"{subject.name}: double dropped"
    tags = runs[0].data.tags
    if tags.get(LOOKS_TAG) != subject.looks:
        replace_shown(store, runs[0], subject)
        yield f"{subject.name}: figures, tables and note replaced"
    if commit and COMMIT_TAG not in tags:
        store.client.set_tag(runs[0].info.run_id, COMMIT_TAG, commit)
        yield f"{subject.name}: commit noted"


def list_faults(subjects: list[Subject], uri: str) -> list[str]:
    """Say what a sync would change, without writing anything."""
    if is_absent(uri):
        return [f"{subject.name}: no run" for subject in subjects]
    faults = []
    with open_store(uri) as store:
        for subject in subjects:
            fault = find_fault(subject, store.find_runs(subject.key))
            if fault:
                faults.append(f"{subject.name}: {fault}")
        for run in store.find_runs(store.pending):
            faults.append(f"{run.info.run_name}: unfinished")
    return faults


def find_fault(subject: Subject, runs: "list[Run]") -> str | None:
    """Say what is wrong with the runs that a model or the tour has."""
    if not runs:
        return "no run"
    if len(runs) > 1:
        return f"{len(runs)} runs"
    if runs[0].data.tags.get(LOOKS_TAG) != subject.looks:
        return "stale figures, tables or note"
    return None


def find_commit() -> str | None:
    """Name the commit that holds this dvc.lock: HEAD, if nothing has changed since."""
    try:
        ask_git("ls-files", "--error-unmatch", "dvc.lock")
        changes = ask_git("status", "--porcelain")
        head = ask_git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, no repository, no commit
    return None if changes else head


def ask_git(*arguments: str) -> str:
    """What git answers; no lock is taken, since DVC may be at work in the same repository."""
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def main(check: bool) -> None:
    """Bring the store up to date, or say what it lacks."""
    subjects = read_subjects()
    uri = find_uri()
    if check:
        faults = list_faults(subjects, uri)
        if faults:
            sys.exit("\n  ".join([f"MLflow at {uri} is behind dvc.lock:", *faults]))
    else:
        with lock_store(), open_store(uri) as store:
            for line in sync(store, subjects):
                print(line, flush=True)
    print(f"MLflow at {uri}: {len(subjects)} runs for this dvc.lock")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m stages.tracking.track", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only say what lacks")
    return parser.parse_args()


if __name__ == "__main__":
    with exit_on_input_error():
        main(parse_arguments().check)
