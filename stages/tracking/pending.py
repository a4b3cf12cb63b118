"""The tag `key` of runs that are being filled: since when, and by which process.

The processes of this repository that began are listed in a file, by which the next one knows the
runs that a dead one left. Whole machines go too, so anyone drops what is a day old.
"""

import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stages.tracking.location import find_root

PENDING = "pending"
LONGEST = timedelta(days=1)


def begin() -> str:
    """Note that this process fills runs; returns their key until they are complete."""
    writer = uuid.uuid4().hex
    path = _find_list()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{writer}\n")
    return f"{PENDING} {datetime.now(UTC).isoformat()} {writer}"


def end() -> None:
    """Forget all that began: nothing of theirs is left."""
    _find_list().unlink()


def is_abandoned(key: str) -> bool:
    """Whether nobody fills a run any more, if none of this repository's processes does now."""
    found = re.fullmatch(rf"{PENDING} (\S+) (\w+)", key)
    if not found:
        return False
    began = datetime.fromisoformat(found[1])
    path = _find_list()
    is_ours = path.exists() and found[2] in path.read_text(encoding="utf-8").split()
    return is_ours or datetime.now(UTC) - began > LONGEST


def _find_list() -> Path:
    return find_root() / ".dvc" / "tmp" / "track.began"
