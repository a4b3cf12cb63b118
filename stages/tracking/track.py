"""Make MLflow agree with dvc.lock: every trained model, search and baseline has its one run.

Run by DVC as `python stages/run.py tracking.track`, and by hand (`srn sync`) after what changes
data/ without running code: `dvc pull`, `dvc checkout`, a stage that DVC took from its cache. What
MLflow has already is left alone, so a second call writes nothing. `srn check` never writes; it
lists what is missing or stale.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.shared.errors import InputError, exit_on_input_error, hide_passwords
from stages.tracking.agreement import is_agreed, note_agreement
from stages.tracking.artifacts import find_loss
from stages.tracking.content import find_change, find_obstacle
from stages.tracking.location import find_uri, is_absent, is_default, lock_store
from stages.tracking.lockfile import check_dvc_listings
from stages.tracking.pages import prepare_pages
from stages.tracking.pending import begin, end, is_abandoned
from stages.tracking.runs import COMMIT_TAG, LOOKS_TAG, publish, replace_shown, restore
from stages.tracking.store import Store, open_store
from stages.tracking.subjects import Search, Subject, read_subjects
from stages.tracking.trials import find_lack

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import Run


@dataclass(frozen=True)
class Finding:
    """What MLflow has of a model or of the tour.

    Args:
        subject: the model or the tour.
        runs: with its key; one, if all is well.
        fault: what a sync would mend.
        obstacle: why it cannot, or what of the workspace is not as dvc.lock has it.
    """

    subject: Subject
    runs: "list[Run]"
    fault: str | None
    obstacle: str | None


def inspect(store: Store | None, subjects: list[Subject]) -> list[Finding]:
    """Look at everything, and write nothing.

    Args:
        store: None: there is none yet.
        subjects: that should have one run each.
    """
    findings = []
    found = find_runs(store, subjects) if store else {}
    for subject in subjects:
        runs = found.get(subject.key, [])
        fault = find_fault(store, subject, runs) if store else "no run"
        obstacle = find_obstacle(subject) if fault else find_change(subject)
        findings.append(Finding(subject, runs, fault, obstacle))
    return findings


def find_runs(store: Store, subjects: list[Subject]) -> "dict[str, list[Run]]":
    """Runs with the key of each."""
    return store.find_all({subject.key: [*subject.result.values()] for subject in subjects})


def find_fault(store: Store, subject: Subject, runs: "list[Run]") -> str | None:
    """Say what is wrong with the runs that a model or the tour has."""
    if not runs:
        return "no run"
    if len(runs) > 1:
        return f"{len(runs)} runs"
    if runs[0].data.tags.get(LOOKS_TAG) != subject.looks:
        return "stale figures, tables or note"
    lack = find_lack(store, runs[0], subject) if isinstance(subject, Search) else None
    return lack or find_loss(store, runs[0], subject)


def sync(store: Store, findings: list[Finding], commit: str | None) -> Iterator[str]:
    """Drop, make and complete runs; yields what was done.

    Args:
        store: to write to.
        findings: what it has.
        commit: that holds this dvc.lock, if one does.
    """
    due = [finding for finding in findings if not finding.obstacle]
    yield from drop_abandoned(store, due)  # first, or each sync that fails would leave one more
    pending = begin()
    new = [finding for finding in due if not finding.runs]
    yield from make_runs(store, new, commit, pending)
    for finding in due:
        turn_to(store, finding)
        for double in finding.runs[1:]:
            yield from store.drop_run(double, "double")
        if finding not in new:
            yield from complete(store, finding, commit)
    if not store.refused:
        end()
    yield from prepare_pages(store, [finding.subject for finding in findings])


def turn_to(store: Store, finding: Finding) -> None:
    """Restart the time limit, and remember which experiment is written, for error messages."""
    store.restart_time_limit()
    store.place = f"experiment {finding.subject.experiment}"


def drop_abandoned(store: Store, findings: list[Finding]) -> Iterator[str]:
    """Drop runs that no process fills any more, searches that lost trials, and such trials."""
    for run in store.find_pending():
        if is_abandoned(run.data.tags["key"]):
            store.place = store.name_place(run)
            yield from store.drop_run(run, "unfinished run")
    for finding in findings:
        turn_to(store, finding)
        yield from drop_torn(store, finding)
    store.place = "experiment searches"
    for run in store.find_orphans():
        yield from store.drop_run(run, "trial without a search")


def drop_torn(store: Store, finding: Finding) -> Iterator[str]:
    """Drop the run of a search that has lost trials, so that it is made anew."""
    subject, runs = finding.subject, finding.runs
    if runs and isinstance(subject, Search) and find_lack(store, runs[0], subject):
        dropped = store.drop_run(runs[0], "run that had lost trials")  # those left go last
        if dropped:
            runs.clear()
        yield from dropped


def make_runs(
    store: Store, findings: list[Finding], commit: str | None, pending: str
) -> Iterator[str]:
    """Make a run each, then look for those that other clones have made meanwhile."""
    for finding in findings:
        turn_to(store, finding)
        publish(store, finding.subject, commit, pending)
        yield f"{finding.subject.name}: run made"
    found = find_runs(store, [finding.subject for finding in findings])
    for finding in findings:
        finding.runs.extend(found[finding.subject.key])


def complete(store: Store, finding: Finding, commit: str | None) -> Iterator[str]:
    """Give the run of a model or of the tour what it should have."""
    subject, runs = finding.subject, finding.runs
    tags = runs[0].data.tags
    if tags.get(LOOKS_TAG) != subject.looks:
        replace_shown(store, runs[0], subject)
        yield f"{subject.name}: figures, tables and note replaced"
    if find_loss(store, runs[0], subject):
        restore(store, runs[0], subject)
        yield f"{subject.name}: lost or damaged files given again"
    if commit and COMMIT_TAG not in tags:
        store.client.set_tag(runs[0].info.run_id, COMMIT_TAG, commit)
        yield f"{subject.name}: commit noted"


def bring_up_to_date(store: Store, subjects: list[Subject]) -> list[str]:
    """Sync, say what was done, and note the agreement; returns what is left to do."""
    commit = find_commit()
    findings = inspect(store, subjects)
    for line in sync(store, findings, commit):
        print(line, flush=True)
    left = [f"{found.subject.name}: {found.obstacle}" for found in findings if found.obstacle]
    left += store.refused
    if not left:
        note_agreement(store.uri, subjects, bool(commit))
    return left


def list_faults(uri: str, subjects: list[Subject]) -> list[str]:
    """Say what a sync would change, or cannot, without writing anything."""
    faults = []
    if is_absent(uri):
        findings = inspect(None, subjects)
    else:
        with open_store(uri) as store:
            findings = inspect(store, subjects)
            for run in store.find_pending():
                if is_abandoned(run.data.tags["key"]):
                    faults.append(f"{run.info.run_name}: unfinished")
            for run in store.find_orphans():
                faults.append(f"{run.info.run_name}: trial without a search")
    for finding in findings:
        said = [text for text in (finding.fault, finding.obstacle) if text]
        if said:
            faults.append(f"{finding.subject.name}: {'; '.join(said)}")
    return faults


def is_up_to_date() -> bool:
    """Whether a sync is known to find nothing to do, without opening the store."""
    return is_agreed(find_uri(), read_subjects(), bool(find_commit()))


def find_commit() -> str | None:
    """The commit that holds this dvc.lock: HEAD, if nothing in this folder has changed since."""
    try:
        ask_git("ls-files", "--error-unmatch", "dvc.lock")
        changes = ask_git("status", "--porcelain", ".")  # other folders may be other projects
        head = ask_git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, no repository, no commit
    return None if changes else head


def ask_git(*arguments: str) -> str:
    """What git answers; no lock is taken, since DVC may be at work in the same repository."""
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def main(check: bool = False, new: bool = False) -> None:
    """Bring the store up to date, or say what it lacks.

    Args:
        check: write nothing.
        new: make the store, where the address names a file that is not there.

    Raises:
        InputError: the store cannot be used, or something of dvc.lock cannot be tracked.
    """
    check_dvc_listings()
    subjects = read_subjects()
    uri = find_uri()
    if check:
        faults = list_faults(uri, subjects)
    else:
        with lock_store(uri), open_store(uri, True, new or is_default(uri)) as store:
            faults = bring_up_to_date(store, subjects)
    if faults:
        raise InputError("\n  ".join([f"MLflow at {uri} is behind dvc.lock:", *faults]))
    print(hide_passwords(f"MLflow at {uri}: {len(subjects)} runs for this dvc.lock"))


if __name__ == "__main__":
    with exit_on_input_error():
        main()
