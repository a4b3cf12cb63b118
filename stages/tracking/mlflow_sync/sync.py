"""Make a store agree with run specs: one complete run per spec, and pages and champions.

Existing runs are left alone, so a second sync writes nothing. Changes are printed.
"""

import hashlib
import json
import re
import sys
import textwrap
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from stages.shared.errors import InputError, show_address
from stages.shared.files import open_lock, replacing
from stages.tracking.mlflow_sync.dvc_files import workspace_problem
from stages.tracking.mlflow_sync.runs import (
    COMMIT_TAG,
    CURRENT,
    CURRENT_TAG,
    DISPLAY_TAG,
    EXPERIMENT_TAG,
    NOTE_TAG,
    RANK_TAG,
    VARIANT_TAG,
    RunSpec,
    join_note,
    lost_files,
    run_problem,
    update_shown,
    upload_lost,
    write_run,
)
from stages.tracking.mlflow_sync.store import (
    CHAMPION,
    IN_PROGRESS,
    KEY_TAG,
    PARENT_TAG,
    Store,
    damaged_store,
    delete_if_allowed,
    explain_errors,
    find_database,
    find_root,
    list_model_ids,
)

if TYPE_CHECKING:  # mlflow is imported where it is needed: importing it takes seconds
    from mlflow.entities import Run

_print = partial(print, flush=True)

_CHANGES = {  # message for one run -> for several
    "run made": "{} runs made",
    "figures, tables and note replaced": "figures, tables and notes of {} runs replaced",
    "lost files uploaded again": "lost files of {} runs uploaded again",
    "commit noted": "commit noted in {} runs",
}
# error codes of MLflow for a deleted run
_DELETED = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
_MOST_NAMED = 3  # lines for runs with the same change or difference; more are summed up
_WIDTH = 98  # columns of a terminal less the indentation
_LEAST_NAMES = 30  # columns for names after a long difference
_LONGEST = timedelta(days=1)  # for a run in progress
_ORPHAN = "trial without a search"
_WRITERS_FILE = "track.began"  # ids of the processes of this repository that began to write runs
_AGREED_FILE = "track.agreed"  # digest of a local store when it agreed with dvc.lock


@dataclass(frozen=True)
class Registration:
    """A registered model, and the run whose model carries its alias `champion`."""

    name: str
    question: str  # what the model predicts, for its page
    champion: str  # name of the run
    spec: RunSpec | None  # None: the run is not in this lock file, and the alias is not moved
    reason: str  # for the page of the version


@dataclass(frozen=True)
class _RunState:
    """The runs of a spec in a store, and how they differ from it."""

    spec: RunSpec
    runs: "tuple[Run, ...]"  # with its key; normally one
    difference: str | None  # what a sync would change
    problem: str | None  # why a sync cannot, or which file differs from the lock file
    lost_children: bool = False  # whether runs below it are missing
    is_unmarked: bool = False  # whether only the mark of the current lock file is missing


@contextmanager
def _print_changes() -> Iterator[Callable[[RunSpec, str], None]]:
    """Yield a function that notes a change of a run, one of `_CHANGES`.

    The changes are printed when the block ends, also by an error: few by name, more by number.
    """
    changed: dict[str, list[RunSpec]] = defaultdict(list)
    try:
        yield lambda spec, change: changed[change].append(spec)
    finally:
        for change, specs in changed.items():
            if len(specs) > _MOST_NAMED:
                counts = Counter(spec.experiment for spec in specs)
                listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
                _print(f"{_CHANGES[change].format(len(specs))}: {listed}")
            else:
                for spec in specs:
                    _print(f"{spec.title}: {change}")


# Runs in progress: a file lists the processes of this repository that began to write, so that the
# next sync recognises runs that a killed process left. Any repository deletes a run that has been
# in progress for a day, since its machine may never come back.


def _state_file(name: str) -> Path:
    return find_root() / ".dvc" / "tmp" / name


def begin() -> str:
    """Note that this process writes runs; return their key until they are complete."""
    writer = uuid.uuid4().hex
    path = _state_file(_WRITERS_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_lock(path) as file:
        file.write(f"{writer}\n")
    return f"{IN_PROGRESS} {datetime.now(UTC).isoformat()} {writer}"


def _is_abandoned(run: "Run") -> bool:
    """Return whether a run in progress was left by a process that has ended."""
    found = re.fullmatch(rf"{IN_PROGRESS} (\S+) (\w+)", run.data.tags.get(KEY_TAG, ""))
    if not found:
        return False
    try:
        began = datetime.fromisoformat(found[1])
    except ValueError:  # not written by a sync
        return False
    if began.tzinfo is None:
        return False
    path = _state_file(_WRITERS_FILE)
    is_ours = path.exists() and found[2] in path.read_text(encoding="utf-8").split()
    return is_ours or datetime.now(UTC) - began > _LONGEST


# Comparing and writing runs


def _run_difference(
    store: Store, spec: RunSpec, runs: "list[Run]", num_children: int, num_wanted: int
) -> str | None:
    """Return what is missing for one complete and up-to-date run of a spec, or None.

    A run is complete if its tag KEY_TAG has the key of its spec, which `write_run` sets last, and
    if all its child runs and files are there. Its status FINISHED does not matter.

    Args:
        store: where the runs are.
        spec: the spec.
        runs: the runs with its key.
        num_children: number of child runs of the first one.
        num_wanted: number of child runs that it should have.

    Raises:
        InputError: if a local store has lost files of the run.
    """
    if not runs:
        return "no run"
    if num_children != num_wanted:
        return f"{num_children} trials instead of {num_wanted}"
    if len(runs) > 1:
        return f"{len(runs)} runs"
    if runs[0].data.tags.get(DISPLAY_TAG) != spec.display_digest:
        return "stale figures, tables or note"
    lost = lost_files(store, runs[0], spec)
    database = find_database(store.uri)
    if lost and database:
        raise damaged_store(database, f"{spec.name}, {lost}")
    return lost


def compare_runs(
    store: Store | None, specs: list[RunSpec], marked: "list[Run] | None" = None
) -> "tuple[list[_RunState], list[tuple[Run, str]]]":
    """Compare a store with the run specs; writes nothing.

    Args:
        store: None if it does not exist.
        specs: all runs that there should be.
        marked: the result of `_find_marked`, if it is known.

    Returns:
        The state of each spec, and runs that belong to no spec, each with the reason.

    Raises:
        InputError: if a local store has lost files.
    """
    if store is None:
        return [_RunState(spec, (), "no run", run_problem(spec)) for spec in specs], []
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
        difference = _run_difference(store, spec, runs, num_children, num_wanted)
        if difference:
            problem = run_problem(spec)
        else:
            problem = spec.lock_problem or workspace_problem(
                spec.files, spec.md5s, spec.pull, may_be_missing=True
            )
        lost_children = num_children != num_wanted
        # on a server the marks are those of whoever synced last
        is_marked = not store.is_local or (bool(runs) and CURRENT_TAG in runs[0].data.tags)
        state = _RunState(spec, tuple(runs), difference, problem, lost_children, not is_marked)
        states.append(state)
    marked = _find_marked(store) if marked is None else marked
    leftovers = [(run, "unfinished") for run in marked if _is_abandoned(run)]
    return states, leftovers + [(run, _ORPHAN) for run in orphans]


def describe_states(states: list[_RunState], leftovers: "list[tuple[Run, str]]") -> list[str]:
    """List what a sync would change, or could not change, one line per run."""
    differences = [f"{run.info.run_name}: {reason}" for run, reason in leftovers]
    for state in states:
        unmarked = "not marked as current" if state.is_unmarked else None
        parts = [text for text in (state.difference or unmarked, state.problem) if text]
        if parts:
            differences.append(f"{state.spec.name}: {'; '.join(parts)}")
    return differences


def outdated_store(uri: str, differences: list[str]) -> InputError:
    """Return the error about a store that does not agree with dvc.lock."""
    count = f"{len(differences)} difference{'s' if len(differences) > 1 else ''}"
    lines = group_differences(differences) if sys.stderr.isatty() else differences
    message = "\n  ".join([f"MLflow at {show_address(uri)} is behind dvc.lock: {count}", *lines])
    return InputError(message)


def group_differences(differences: list[str]) -> list[str]:
    """Join differences that are the same but for the name, shortened to the width of a terminal."""
    alike = defaultdict(list)
    for line in differences:
        alike[line.partition(": ")[2]].append(line)
    grouped = []
    for difference, lines in alike.items():
        if len(lines) > _MOST_NAMED:
            names = ", ".join(line.partition(": ")[0] for line in lines)
            left = max(_WIDTH - len(f"{difference}: "), _LEAST_NAMES)
            names = textwrap.shorten(names, left, placeholder=f" … ({len(lines)} runs)")
            lines = [f"{difference}: {names}"]
        grouped += lines
    return grouped


def _find_runs(store: Store, specs: list[RunSpec]) -> "dict[str, list[Run]]":
    """Find runs by key, with one request, and another one for each key that it does not find.

    A run names its result file as a data set; one request finds many runs by these digests.
    """
    found = defaultdict(list)
    md5s = {f"'{md5}'" for spec in specs for md5 in spec.result.values()}
    if md5s:
        for run in store.search_runs(f"dataset.digest IN ({', '.join(md5s)})"):
            found[run.data.tags.get(KEY_TAG)].append(run)
    by_key = {}
    for spec in specs:
        runs = found[spec.key] or store.find_runs(spec.key)
        # a run that somebody made by hand with this key has no model
        by_key[spec.key] = [run for run in runs if not spec.package or list_model_ids(run)]
    return by_key


def sync(
    store: Store,
    specs: list[RunSpec],
    commit: str | None,
    branch: str | None = None,
    *,
    is_current: bool = True,
) -> list[str]:
    """Delete, create and update runs, so that each spec has one complete run.

    Args:
        store: to write to.
        specs: all runs that there should be.
        commit: the commit that has this lock file, if there is one.
        branch: the branch of git, if one is checked out.
        is_current: whether the lock file is that of the workspace; its runs are then marked.

    Returns:
        What could not be done, because files are missing or the server forbids to delete.
    """
    marked = _find_marked(store)
    states, leftovers = compare_runs(store, specs, marked)
    problems = [f"{state.spec.name}: {state.problem}" for state in states if state.problem]
    due = [state for state in states if not state.problem]
    to_make = [state.spec for state in due if not state.runs]
    to_update = [state for state in due if state.runs and not state.lost_children]
    current = {
        state.runs[0].info.run_id: state.spec for state in states if state.problem and state.runs
    }
    kept = []
    # before runs are created, or each failing sync would leave one more
    for run, reason in leftovers:
        kept += _drop(store, run, reason)
    lost_children = [state for state in due if state.lost_children]
    for state in lost_children:
        stays = _drop(store, state.runs[0], "run that had lost trials")
        kept += stays
        if stays:
            to_update.append(state)
        else:
            to_make.append(state.spec)
    if leftovers or lost_children:
        for run in store.find_children(set())[1]:  # trials of the runs that were just deleted
            kept += _drop(store, run, _ORPHAN)
    # a progress bar in a terminal, if it takes longer than a second
    progress = partial(tqdm, unit=" runs", delay=1, disable=None, leave=False, file=sys.stdout)
    if to_make:
        unfinished_key = begin()
        with _print_changes() as note, progress(to_make, "MLflow") as specs_left:
            for spec in specs_left:
                store.restart_time_limit()
                with explain_errors(store.uri, f"experiment {spec.experiment}"):
                    write_run(store, spec, commit, unfinished_key, branch)
                note(spec, "run made")
        # other clones may have created some at the same time
        made = _find_runs(store, to_make)
        for spec in to_make:
            run, stay = _drop_doubles(store, made[spec.key])
            current[run.info.run_id] = spec
            marked.append(run)
            kept += stay
    with _print_changes() as note, progress(to_update, "MLflow") as states_left:
        for state in states_left:
            run, stay = _update_run(store, state, commit, partial(note, state.spec))
            current[run.info.run_id] = state.spec
            kept += stay
    if is_current:
        _mark_current(store, current, marked)
    if not kept:
        # this repository has left nothing in progress
        _state_file(_WRITERS_FILE).unlink(missing_ok=True)
    return problems + kept


def _update_run(
    store: Store, state: _RunState, commit: str | None, note: Callable[[str], None]
) -> "tuple[Run, list[str]]":
    """Bring the run of a spec up to date, and note each change.

    Returns:
        The run, and what could not be deleted.
    """
    spec = state.spec
    store.restart_time_limit()
    with explain_errors(store.uri, f"experiment {spec.experiment}"):
        run, kept = _drop_doubles(store, state.runs)
        if run.data.tags.get(DISPLAY_TAG) != spec.display_digest:
            kept += update_shown(store, run, spec)
            note("figures, tables and note replaced")
        if not store.is_local and lost_files(store, run, spec):
            kept += upload_lost(store, run, spec)
            note("lost files uploaded again")
        if commit and COMMIT_TAG not in run.data.tags:
            store.client.set_tag(run.info.run_id, COMMIT_TAG, commit)
            note("commit noted")
    return run, kept


def _find_marked(store: Store) -> "list[Run]":
    """Find the runs of the lock file that was synced last, and those in progress.

    `write_run` sets CURRENT_TAG when it creates a run.
    """
    return store.search_runs(f"tags.`{CURRENT_TAG}` = '{CURRENT}'")


def _mark_current(store: Store, current: dict[str, RunSpec], marked: "list[Run]") -> None:
    """Mark the runs of this lock file with their ranks, and no others.

    The runs of the lock file that was synced before lose mark and rank. Variants of a model, and
    the runs they replaced, keep a rank below all others, so that the view shows them.

    Args:
        store: to write to.
        current: run specs of this lock file, by the id of their run.
        marked: the runs that had the mark before, and those that were created.
    """
    known = {
        run.info.run_id: run
        for run in marked
        if not run.data.tags.get(KEY_TAG, "").startswith(f"{IN_PROGRESS} ")
    }
    varied = {spec.name for spec in current.values() if spec.variant}
    for run_id, run in known.items():
        if run_id not in current:
            tags = run.data.tags
            is_variant = bool({VARIANT_TAG, EXPERIMENT_TAG} & tags.keys())
            is_variant = is_variant or tags.get("model") in varied
            rank = f"{tags.get('data', '')} variant".strip() if is_variant else None
            _set_run_tags(store, run_id, tags, {CURRENT_TAG: None, RANK_TAG: rank})
    for run_id, spec in current.items():
        wanted: dict[str, str | None] = {CURRENT_TAG: CURRENT}
        if spec.rank_tags is not None:
            wanted |= {RANK_TAG: None, **spec.rank_tags}
        tags = known[run_id].data.tags if run_id in known else {}
        _set_run_tags(store, run_id, tags, wanted)


def _set_run_tags(
    store: Store, run_id: str, known: Mapping[str, str], wanted: dict[str, str | None]
) -> None:
    """Set the tags of a run that differ; delete those whose value is None."""
    from mlflow.exceptions import MlflowException

    with explain_errors(store.uri, "its experiments"):
        for tag, value in wanted.items():
            if value is not None and known.get(tag) != value:
                store.client.set_tag(run_id, tag, value)
            elif value is None and tag in known:
                try:
                    store.client.delete_tag(run_id, tag)
                except MlflowException as error:
                    if error.error_code not in _DELETED:
                        raise


def _drop_doubles(store: Store, runs: "Sequence[Run]") -> "tuple[Run, list[str]]":
    """Delete all but one of the runs with one key; return it, and what could not be deleted.

    A run with a registered version stays, otherwise the smallest id: all clones choose the same.
    """
    if len(runs) == 1:
        return runs[0], []
    registered = {
        run.info.run_id
        for run in runs
        if store.client.search_model_versions(f"run_id = '{run.info.run_id}'")
    }
    first, *doubles = sorted(
        runs, key=lambda run: (run.info.run_id not in registered, run.info.run_id)
    )
    kept = []
    for double in doubles:
        kept += _drop(store, double, "double")
    return first, kept


def _drop(store: Store, run: "Run", reason: str) -> list[str]:
    """Delete a run; return a message if the server does not allow it."""
    what = f"{run.info.run_name}: {reason}"
    names = {experiment_id: name for name, experiment_id in store.experiments.items()}
    experiment = names.get(run.info.experiment_id, run.info.experiment_id)
    with explain_errors(store.uri, f"experiment {experiment}"):
        stays = delete_if_allowed(
            lambda: store.drop_run(run), f"{what} (run {run.info.run_id})", experiment
        )
    if stays:
        return [stays]
    _print(f"{what} dropped")
    return []


@dataclass(frozen=True)
class Unnamed:
    """Runs and experiments of stages that no lock file has."""

    runs: "list[Run]"  # without trials, which are deleted with their search
    experiments: list[str]  # names of experiments without other runs


def find_unnamed(store: Store, stages: set[str]) -> Unnamed:
    """Find the runs of other stages than these; writes nothing."""
    unnamed, others = {}, []
    for run in store.search_runs(""):
        if run.data.tags.get("stage", "") in stages | {""}:
            others.append(run)
        else:
            unnamed[run.info.run_id] = run
    used = {
        run.info.experiment_id for run in others if run.data.tags.get(PARENT_TAG) not in unnamed
    }
    experiments = [name for name, number in store.experiments.items() if number not in used]
    return Unnamed([*unnamed.values()], experiments)


def drop_unnamed(store: Store, unnamed: Unnamed) -> list[str]:
    """Delete runs, their trials, and experiments.

    Returns:
        What stays, because the server forbids to delete it or a registered version uses it.
    """
    kept = []
    for run in unnamed.runs:
        versions = store.client.search_model_versions(f"run_id = '{run.info.run_id}'")
        if versions:
            version = f"version {versions[0].version} of the registered model {versions[0].name}"
            kept.append(f"{run.info.run_name} stays: {version} is made of it, delete that first")
        else:
            kept += _drop(store, run, "run of a model that is gone")
    for run in store.find_children(set())[1]:
        kept += _drop(store, run, _ORPHAN)
    for name in unnamed.experiments if not kept else []:
        delete = partial(store.client.delete_experiment, store.experiments[name])
        stays = delete_if_allowed(delete, f"experiment {name}", name)
        kept += [stays] if stays else []
        _print(f"experiment {name}: dropped")
    return kept


# Pages and champions


def set_tags(store: Store, experiment: str, tags: dict[str, str]) -> None:
    """Set the tags of an experiment that make up its page."""
    known = store.tags[experiment]
    if NOTE_TAG in tags:
        tags = tags | {NOTE_TAG: join_note(tags[NOTE_TAG], known.get(NOTE_TAG, ""))}
    changed = {tag: text for tag, text in tags.items() if known.get(tag) != text}
    with explain_errors(store.uri, f"experiment {experiment}"):
        for tag, text in changed.items():
            store.client.set_experiment_tag(store.experiments[experiment], tag, text)
    if changed:
        _print(f"{experiment}: page prepared")


def find_champion_differences(store: Store, registrations: list[Registration]) -> dict[str, str]:
    """Describe each registered model whose alias `champion` points to another run than it should.

    Writes nothing. Registrations without a run spec are left out.
    """
    wanted = [(one.name, one.champion, one.spec) for one in registrations if one.spec]
    if not wanted:
        return {}
    names = [name for name, _, _ in wanted]
    runs = _find_runs(store, [spec for _, _, spec in wanted])
    champions = store.find_champions(names)
    run_ids = {
        (version.name, str(version.version)): version.run_id
        for version in store.find_versions(names)
    }
    differences = {}
    for name, champion, spec in wanted:
        version = champions.get(name)
        its_runs = {run.info.run_id for run in runs[spec.key]}
        if its_runs and run_ids.get((name, version or "")) not in its_runs:
            now = f"version {version}" if version else "nothing"
            differences[name] = f"the alias {CHAMPION} points to {now} instead of {champion}"
    return differences


def sync_champions(store: Store, registrations: list[Registration], move_alias: bool) -> None:
    """Register the model of each champion, and move the alias `champion` to it.

    Without `move_alias` the difference is printed instead.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = store.client
    differences = find_champion_differences(store, registrations)
    for one in registrations:
        name = one.name
        if name not in differences or not one.spec:
            continue
        store.restart_time_limit()
        with explain_errors(store.uri, f"registered model {name}"):
            run = _find_runs(store, [one.spec])[one.spec.key][0]
            run_id = run.info.run_id
            versions = {found.run_id: found.version for found in store.find_versions([name])}
            version = versions.get(run_id)
            if not version:
                try:
                    client.create_registered_model(name, description=one.question)
                except MlflowException as error:  # it exists, or another clone has just created it
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
                mlflow.set_tracking_uri(store.uri)  # needed to find the logged model
                [model_id] = list_model_ids(run)
                version = client.create_model_version(
                    name,
                    f"models:/{model_id}",
                    run_id,
                    model_id=model_id,
                    description=f"**{one.champion}**: {one.reason} Run {run_id}.",
                ).version
            if move_alias:
                client.set_registered_model_alias(name, CHAMPION, version)
        if move_alias:
            _print(f"{name}: {one.champion} is the {CHAMPION} (version {version})")
        else:
            _print(
                f"{name}: {differences[name]} (version {version}): `srn sync --champions` moves it"
            )


# After a sync a file notes that a local store agrees with dvc.lock: until one of them changes, the
# store is not opened. A server is always queried, since others write to it.


def note_agreement(uri: str, digests: list[str]) -> None:
    """Note that the store agrees with the expected content, given by digests."""
    with replacing(_state_file(_AGREED_FILE)) as new:
        new.write_text(_describe_store(uri, digests), encoding="utf-8")


def still_agrees(uri: str, digests: list[str]) -> bool:
    """Return whether neither store nor expected content has changed since `note_agreement`."""
    agreed, state = _state_file(_AGREED_FILE), _describe_store(uri, digests)
    return bool(state) and agreed.exists() and agreed.read_bytes() == state.encode()


def was_synced_since(began: float) -> bool:
    """Return whether a sync has succeeded since a time in seconds, as given by time.time()."""
    agreed = _state_file(_AGREED_FILE)
    return agreed.exists() and agreed.stat().st_mtime >= began


def _describe_store(uri: str, digests: list[str]) -> str:
    """Return a digest of the expected content, and of the state of a local store and its artifacts.

    It is empty for a server, and if the file does not exist.
    """
    database = find_database(uri)
    if not database or not database.exists():
        return ""
    folders = sorted(database.parent.glob("mlartifacts/*"))
    folders += [folder / "models" for folder in folders]
    states = []
    for path in [database, *folders]:
        state = path.stat() if path.exists() else None
        states.append([str(path), state and [state.st_size, state.st_mtime_ns]])
    return hashlib.sha256(json.dumps([digests, states]).encode()).hexdigest()
