"""The note that a SQLite file agreed with dvc.lock: until either changes it need not be opened.

A server is asked by every call, since others write to it.
"""

import hashlib
import json
from pathlib import Path

from stages.tracking.location import find_database, find_root
from stages.tracking.subjects import Subject


def note_agreement(uri: str, subjects: list[Subject], has_commit: bool) -> None:
    """Note what the store agrees with now.

    Args:
        uri: of the store.
        subjects: that have their one run each.
        has_commit: whether a commit holds this dvc.lock, and the runs name one.
    """
    database = find_database(uri)
    state = _describe(database, subjects, has_commit) if database else ""
    _find_note().write_text(state, encoding="utf-8")


def is_agreed(uri: str, subjects: list[Subject], has_commit: bool) -> bool:
    """Whether neither the store nor what it should have has changed since."""
    database, note = find_database(uri), _find_note()
    if not database or not database.exists() or not note.exists():
        return False
    return note.read_bytes().decode(errors="replace") == _describe(database, subjects, has_commit)


def was_noted_since(began: float) -> bool:
    """Whether a sync has ended well after a moment, in seconds as time.time() has them."""
    note = _find_note()
    return note.exists() and note.stat().st_mtime >= began


def _describe(database: Path, subjects: list[Subject], has_commit: bool) -> str:
    """Digest of what there should be, and of the file and the folders of artifacts as they are."""
    folders = sorted(database.parent.glob("mlartifacts/*"))
    folders += [folder / "models" for folder in folders]
    states = []
    for path in [database, *folders]:
        state = path.stat() if path.exists() else None
        states.append([str(path), state and [state.st_size, state.st_mtime_ns]])
    wanted = [[subject.key, subject.looks] for subject in subjects]
    content = json.dumps([wanted, has_commit, states])
    return hashlib.sha256(content.encode()).hexdigest()


def _find_note() -> Path:
    return find_root() / ".dvc" / "tmp" / "track.agreed"
