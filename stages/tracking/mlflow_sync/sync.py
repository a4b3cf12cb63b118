"""Make a store agree with run specs: every spec has one complete run, pages and champions fit.

What MLflow has already is left alone, so that a second sync writes nothing.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from stages.tracking.mlflow_sync.dvc_files import workspace_problem
from stages.tracking.mlflow_sync.location import damaged_store, find_database, find_root, is_absent
from stages.tracking.mlflow_sync.run_spec import RunSpec, run_problem
from stages.tracking.mlflow_sync.runs import (
    COMMIT_TAG,
    DISPLAY_TAG,
    lost_files,
    update_shown,
    upload_lost,
    write_run,
)
from stages.tracking.mlflow_sync.store import (
    CHAMPION,
    IN_PROGRESS,
    Store,
    delete_if_allowed,
    explain_errors,
    list_model_ids,
)

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import Run

Report = Callable[[str], None]  # takes a line about what was done

_LONGEST = timedelta(days=1)  # that a run may be in progress
_ORPHAN = "trial without a search"


@dataclass(frozen=True)
class Page:
    """What the page of an experiment shows: its tags, and why they cannot be written, if so."""

    experiment: str
    tags: Callable[[], dict[str, str]]
    problem: str | None


@dataclass(frozen=True)
class Registration:
    """A registered model, and the run whose model carries its alias `champion`.

    Args:
        name: of the registered model.
        question: what it answers, for its page.
        champion: name of the run.
        key: of the run; None: it is not of this lock file, so that the alias stays.
        result: md5s of its result, as `Store.find_all` takes them.
        reason: for the page of the version.
    """

    name: str
    question: str
    champion: str
    key: str | None
    result: list[str]
    reason: str


@dataclass(frozen=True)
class _RunState:
    """What a store has of a run spec.

    Args:
        spec: of the run.
        runs: that have its key; one, if all is well.
        difference: what a sync would change.
        problem: why it cannot, or which file of the workspace differs from the lock file.
        lacks_children: whether the run has lost runs below it.
    """

    spec: RunSpec
    runs: "tuple[Run, ...]"
    difference: str | None
    problem: str | None
    lacks_children: bool = False


@dataclass(frozen=True)
class _Inspection:
    """What a store has of all run specs, and runs that belong to no spec, with the reason."""

    states: list[_RunState]
    leftovers: "list[tuple[Run, str]]"


def inspect(store: Store | None, specs: list[RunSpec]) -> _Inspection:
    """Compare a store with the run specs; writes nothing.

    Args:
        store: None: it does not exist yet.
        specs: that should have one run each.

    Raises:
        InputError: a local store has lost files.
    """
    if store is None:
        return _Inspection([_RunState(spec, (), "no run", run_problem(spec)) for spec in specs], [])
    found = _find_runs(store, specs)
    known = {run.info.run_id for runs in found.values() for run in runs}
    children, orphans = store.find_children(known)
    states = []
    for spec in specs:
        runs = found[spec.key]
        num_children = num_wanted = 0
        if spec.children and runs:
            num_children = len(children.get(runs[0].info.run_id, []))
            num_wanted = len(spec.children())  # reads files
        lacks_children = num_children != num_wanted
        if lacks_children:
            difference: str | None = f"{num_children} trials instead of {num_wanted}"
        else:
            difference = _find_difference(store, spec, runs)
        if difference:
            problem = run_problem(spec)
        else:
            problem = workspace_problem(spec.outs, spec.md5s, may_be_missing=True)
        states.append(_RunState(spec, tuple(runs), difference, problem, lacks_children))
    leftovers = [(run, "unfinished") for run in store.find_in_progress() if _is_abandoned(run)]
    return _Inspection(states, leftovers + [(run, _ORPHAN) for run in orphans])


def _find_runs(store: Store, specs: Iterable[RunSpec]) -> "dict[str, list[Run]]":
    """Runs by key."""
    return store.find_all({spec.key: [*spec.result.values()] for spec in specs})


def _find_difference(store: Store, spec: RunSpec, runs: "list[Run]") -> str | None:
    """What a sync would change of the runs of a spec, or None."""
    if not runs:
        return "no run"
    if len(runs) > 1:
        return f"{len(runs)} runs"
    if runs[0].data.tags.get(DISPLAY_TAG) != spec.display_digest:
        return "stale figures, tables or note"
    lost = lost_files(store, runs[0], spec)
    database = find_database(store.uri)
    if lost and database:
        raise damaged_store(database, f"{spec.name}, {lost}")
    return lost


def sync(store: Store, specs: list[RunSpec], commit: str | None, report: Report) -> list[str]:
    """Drop, make and update runs, so that each spec has one that is complete.

    Args:
        store: to write to.
        specs: that should have one run each.
        commit: that holds the lock file, if one does.
        report: is told each change.

    Returns:
        what could not be done: files are missing here, or the server forbids to delete.
    """
    inspection = inspect(store, specs)
    undone = [f"{state.spec.name}: {state.problem}" for state in inspection.states if state.problem]
    due = [state for state in inspection.states if not state.problem]
    new = [state.spec for state in due if not state.runs]
    kept = []
    # first, or each sync that fails would leave one more
    for run, reason in inspection.leftovers:
        kept += _drop(store, run, reason, report)
    for state in due:
        if state.lacks_children:
            stays = _drop(store, state.runs[0], "run that had lost trials", report)
            kept += stays
            new += [] if stays else [state.spec]
    if inspection.leftovers or any(state.lacks_children for state in due):
        for run in store.find_children(set())[1]:  # of the runs that have just gone
            kept += _drop(store, run, _ORPHAN, report)
    kept += _make_runs(store, new, commit, report)
    for state in due:
        if state.spec not in new:
            kept += _complete(store, state, commit, report)
    if not kept:
        _in_progress_file().unlink(missing_ok=True)  # this repository has left nothing in progress
    return undone + kept


def _make_runs(store: Store, specs: list[RunSpec], commit: str | None, report: Report) -> list[str]:
    """Make a run each; returns what stays of those that other clones made at the same time."""
    if not specs:
        return []
    in_progress = begin()
    for spec in specs:
        store.restart_time_limit()
        with explain_errors(store.uri, f"experiment {spec.experiment}"):
            write_run(store, spec, commit, in_progress)
        report(f"{spec.name}: run made")
    kept = []
    for runs in _find_runs(store, specs).values():
        kept += _drop_doubles(store, runs, report)[1]
    return kept


def _complete(store: Store, state: _RunState, commit: str | None, report: Report) -> list[str]:
    """Give the run of a spec what it should have; returns what stays."""
    spec = state.spec
    store.restart_time_limit()
    with explain_errors(store.uri, f"experiment {spec.experiment}"):
        run, kept = _drop_doubles(store, state.runs, report)
        if run.data.tags.get(DISPLAY_TAG) != spec.display_digest:
            kept += update_shown(store, run, spec)
            report(f"{spec.name}: figures, tables and note replaced")
        if not store.is_local and lost_files(store, run, spec):
            kept += upload_lost(store, run, spec)
            report(f"{spec.name}: lost files uploaded again")
        if commit and COMMIT_TAG not in run.data.tags:
            store.client.set_tag(run.info.run_id, COMMIT_TAG, commit)
            report(f"{spec.name}: commit noted")
    return kept


def _drop_doubles(store: Store, runs: "Sequence[Run]", report: Report) -> "tuple[Run, list[str]]":
    """Of runs with one key keep one: with a registered version, else that of the smallest id.

    All clones choose the same.

    Returns:
        the run that is kept, and what else stays.
    """
    kept: list[str] = []
    if len(runs) == 1:
        return runs[0], kept
    first, *doubles = sorted(runs, key=lambda run: (not store.is_registered(run), run.info.run_id))
    for double in doubles:
        kept += _drop(store, double, "double", report)
    return first, kept


def _drop(store: Store, run: "Run", reason: str, report: Report) -> list[str]:
    """Delete a run; returns that it stays, if the server does not allow it."""
    what = f"{run.info.run_name}: {reason}"
    experiment = store.name_experiment(run)
    with explain_errors(store.uri, f"experiment {experiment}"):
        stays = delete_if_allowed(
            lambda: store.drop_run(run), f"{what} (run {run.info.run_id})", experiment
        )
    if stays:
        return [stays]
    report(f"{what} dropped")
    return []


def sync_pages(store: Store, pages: list[Page], report: Report) -> None:
    """Give the page of each experiment its note and its view."""
    for page in pages:
        experiment_id = store.experiments.get(page.experiment)
        if experiment_id is None:
            continue
        if page.problem:
            report(f"{page.experiment}: page left as it is, {page.problem}")
            continue
        known = store.tags[page.experiment]
        changed = {tag: text for tag, text in page.tags().items() if known.get(tag) != text}
        with explain_errors(store.uri, f"experiment {page.experiment}"):
            for tag, text in changed.items():
                store.client.set_experiment_tag(experiment_id, tag, text)
        if changed:
            report(f"{page.experiment}: page prepared")


def find_champion_differences(store: Store, registrations: list[Registration]) -> dict[str, str]:
    """Where the alias `champion` does not point to the run that it should, by registered model.

    Args:
        store: writes nothing.
        registrations: one per registered model; those without a key are left out.
    """
    wanted = {one.name: one for one in registrations if one.key}
    if not wanted:
        return {}
    runs = store.find_all({one.key: one.result for one in wanted.values() if one.key})
    champions = store.find_champions([*wanted])
    run_ids = {
        (version.name, str(version.version)): version.run_id
        for version in store.find_versions([*wanted])
    }
    differences = {}
    for name, one in wanted.items():
        version = champions.get(name)
        its_runs = {run.info.run_id for run in runs[one.key or ""]}
        if its_runs and run_ids.get((name, version or "")) not in its_runs:
            now = f"version {version}" if version else "nothing"
            differences[name] = f"the alias {CHAMPION} points to {now} instead of {one.champion}"
    return differences


def sync_champions(
    store: Store, registrations: list[Registration], move_alias: bool, report: Report
) -> None:
    """Register the model of each champion, and let the alias `champion` point to it.

    Args:
        store: to write to.
        registrations: one per registered model.
        move_alias: whether the alias is moved; else the difference is reported.
        report: is told each change, and each difference that is left.
    """
    differences = find_champion_differences(store, registrations)
    for one in registrations:
        if one.name not in differences or not one.key:
            continue
        store.restart_time_limit()
        with explain_errors(store.uri, f"registered model {one.name}"):
            run = store.find_runs(one.key)[0]
            versions = {found.run_id: found.version for found in store.find_versions([one.name])}
            version = versions.get(run.info.run_id) or _register(store, one, run)
            if move_alias:
                store.client.set_registered_model_alias(one.name, CHAMPION, version)
        if move_alias:
            report(f"{one.name}: {one.champion} is the {CHAMPION} (version {version})")
        else:
            report(
                f"{one.name}: {differences[one.name]} (version {version}): "
                "`srn sync --champions` moves it"
            )


def _register(store: Store, one: Registration, run: "Run") -> str:
    """Make a version of a run's model; returns its number."""
    import mlflow

    client = store.client
    if not client.search_registered_models(f"name = '{one.name}'"):
        client.create_registered_model(one.name, description=one.question)
    mlflow.set_tracking_uri(store.uri)  # by which MLflow finds the model that is registered
    [model_id] = list_model_ids(run)
    source, run_id = f"models:/{model_id}", run.info.run_id
    description = f"**{one.champion}**: {one.reason} Run {run_id}."
    made = client.create_model_version(
        one.name, source, run_id, model_id=model_id, description=description
    )
    return str(made.version)


# Runs in progress: the processes of this repository that began to write are listed in a file, by
# which the next one knows the runs that a dead one left. Whole machines go too, so anybody drops a
# run that has been in progress for a day.


def begin() -> str:
    """Note that this process writes runs; returns their key until they are complete."""
    writer = uuid.uuid4().hex
    path = _in_progress_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{writer}\n")
    return f"{IN_PROGRESS} {datetime.now(UTC).isoformat()} {writer}"


def _is_abandoned(run: "Run") -> bool:
    """Whether no process writes a run any more, if none of this repository does now."""
    found = re.fullmatch(rf"{IN_PROGRESS} (\S+) (\w+)", run.data.tags["key"])
    if not found:
        return False
    began = datetime.fromisoformat(found[1])
    path = _in_progress_file()
    is_ours = path.exists() and found[2] in path.read_text(encoding="utf-8").split()
    return is_ours or datetime.now(UTC) - began > _LONGEST


def _in_progress_file() -> Path:
    return find_root() / ".dvc" / "tmp" / "track.began"


# The marker that a local store agrees: until it or the lock file changes it need not be opened. A
# server is asked by every call, since others write to it.


def write_marker(uri: str, digests: list[str]) -> None:
    """Note with what the store agrees now.

    Args:
        uri: of the store.
        digests: of all that it should hold.
    """
    database = find_database(uri)
    state = _describe_store(database, digests) if database else ""
    _marker_file().write_text(state, encoding="utf-8")


def is_marked(uri: str, digests: list[str]) -> bool:
    """Whether neither the store nor what it should hold has changed since."""
    database, marker = find_database(uri), _marker_file()
    if not database or is_absent(uri) or not marker.exists():
        return False
    return marker.read_bytes().decode(errors="replace") == _describe_store(database, digests)


def was_marked_since(began: float) -> bool:
    """Whether a sync has ended well after a moment, in seconds as time.time() has them."""
    marker = _marker_file()
    return marker.exists() and marker.stat().st_mtime >= began


def _describe_store(database: Path, digests: list[str]) -> str:
    """Digest of what it should hold, and of the file and its folders of artifacts as they are."""
    folders = sorted(database.parent.glob("mlartifacts/*"))
    folders += [folder / "models" for folder in folders]
    states = []
    for path in [database, *folders]:
        state = path.stat() if path.exists() else None
        states.append([str(path), state and [state.st_size, state.st_mtime_ns]])
    return hashlib.sha256(json.dumps([digests, states]).encode()).hexdigest()


def _marker_file() -> Path:
    return find_root() / ".dvc" / "tmp" / "track.agreed"
