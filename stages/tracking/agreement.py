"""The note that a store agreed with dvc.lock, by which the next sync asks it less, or nothing.

A SQLite file need not be opened again, as long as nothing has changed. A server is asked by every
call, since others write to it, but for the runs that it had rather than for each key.
"""

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stages.tracking.location import find_database, find_root
from stages.tracking.store import PUBLISHED_TAG, Store
from stages.tracking.subjects import Subject

LONGEST = 24 * 60 * 60  # seconds, after which each key is looked for anew


@dataclass(frozen=True)
class Agreement:
    """What a store had when it agreed with dvc.lock.

    Args:
        store: digest of its address, which may hold a password.
        state: digest of a SQLite file and of what it should have; empty for a server.
        looked: when each key was looked for, in seconds since 1970.
        published: experiment -> its tag by which a later run is noticed.
        runs: key -> id of its one run.
    """

    store: str = ""
    state: str = ""
    looked: float = 0.0
    published: dict[str, str | None] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)


def note_agreement(
    store: Store, subjects: list[Subject], has_commit: bool, runs: dict[str, str], looked: float
) -> None:
    """Note what the store agrees with now.

    Args:
        store: that agrees.
        subjects: that have their one run each.
        has_commit: whether a commit holds this dvc.lock, and the runs name one.
        runs: key -> id of its one run.
        looked: when each key was looked for.
    """
    database = find_database(store.uri)
    state = _describe(database, subjects, has_commit) if database else ""
    agreement = Agreement(_digest(store.uri), state, looked, _list_published(store), runs)
    _find_note().write_text(json.dumps(asdict(agreement)), encoding="utf-8")


def is_agreed(uri: str, subjects: list[Subject], has_commit: bool) -> bool:
    """Whether neither the store nor what it should have has changed since."""
    database = find_database(uri)
    if not database or not database.exists():
        return False
    return _read_note().state == _describe(database, subjects, has_commit)


def recall_runs(store: Store) -> tuple[dict[str, str], float]:
    """Runs that need not be looked for by key, since nobody has made one meanwhile.

    Returns:
        key -> id of its one run, and when each key was looked for.
    """
    note = _read_note()
    is_old = not 0 <= time.time() - note.looked < LONGEST
    if is_old or note.store != _digest(store.uri) or note.published != _list_published(store):
        return {}, time.time()
    return note.runs, note.looked


def was_noted_since(began: float) -> bool:
    """Whether a sync has ended well after a moment, in seconds as time.time() has them."""
    note = _find_note()
    return note.exists() and note.stat().st_mtime >= began


def _list_published(store: Store) -> dict[str, str | None]:
    return {name: store.tags[name].get(PUBLISHED_TAG) for name in store.experiments}


def _describe(database: Path, subjects: list[Subject], has_commit: bool) -> str:
    """Digest of what there should be, and of the file and the folders of artifacts as they are."""
    folders = sorted(database.parent.glob("mlartifacts/*"))
    folders += [folder / "models" for folder in folders]
    states = []
    for path in [database, *folders]:
        state = path.stat() if path.exists() else None
        states.append([str(path), state and [state.st_size, state.st_mtime_ns]])
    wanted = [[subject.key, subject.looks] for subject in subjects]
    return _digest([wanted, has_commit, states])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _read_note() -> Agreement:
    try:
        return Agreement(**json.loads(_find_note().read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):  # none yet, or one of another version
        return Agreement()


def _find_note() -> Path:
    return find_root() / ".dvc" / "tmp" / "track.agreed"
