"""The note that a store agreed with dvc.lock, by which `make repro` need not open it again.

It holds for a SQLite file, as long as nothing has changed. A server is asked by every call: others
write to it.
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
    text = _describe(database, subjects, has_commit) if database else ""
    _find_note().write_text(text, encoding="utf-8")


def is_agreed(uri: str, subjects: list[Subject], has_commit: bool) -> bool:
    """Whether neither the store nor what it should have has changed since."""
    database = find_database(uri)
    note = _find_note()
    if not database or not database.exists() or not note.exists():
        return False
    return note.read_text(encoding="utf-8") == _describe(database, subjects, has_commit)


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
    text = json.dumps([wanted, has_commit, states])
    return hashlib.sha256(text.encode()).hexdigest()


def _find_note() -> Path:
    return find_root() / ".dvc" / "tmp" / "track.agreed"
