"""Uses of parts of DVC that its documentation does not promise; all others call what it does."""

import fcntl
import functools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.cli.lock_entries import HEAD, split_entries, write_whole

FOLDER = Path(".dvc/tmp")
# DVC writes dvc.lock in place while it holds the first, and rwlock while it holds the second
DVC_LOCKS = ("lock", "rwlock.lock")


@contextmanager
def params_read_once() -> Iterator[None]:
    """Have DVC parse params.yaml once, not once a stage that reads it: a second at 70 stages."""
    from dvc.dependency import param

    load = param.load_path
    param.load_path = functools.cache(load)
    try:
        yield
    finally:
        param.load_path = load


def write_entries_alone() -> None:
    """Have DVC write dvc.lock an entry at a time in this process, one that `make repro` started.

    After every stage DVC parses and writes the whole file in pure Python: a second at 66 stages.
    Here its own serializer writes the entry of that stage, which takes the place of the one before:
    the same bytes, and never half of them.
    """
    from dvc.dvcfile import Lockfile

    write_all = Lockfile.dump_stages

    def write(lockfile: Any, stages: list[Any], **options: Any) -> None:
        path = Path(lockfile.path)
        text = path.read_text(encoding="utf-8") if path.exists() else HEAD
        entries = split_entries(text)
        if entries is None:
            write_all(lockfile, stages, **options)
            return
        for stage in stages:
            entries[stage.name] = write_entry(stage, **options)
        after = HEAD + "".join(entries.values())
        if after != text:
            write_whole(path, after)
            lockfile.repo.scm_context.track_file(lockfile.relpath)

    Lockfile.dump_stages = write


def write_entry(stage: Any, **options: Any) -> str:
    """The lines of one stage, as DVC writes them."""
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import dumps_yaml

    lines: str = dumps_yaml({"stages": to_lockfile(stage, **options)})
    return lines.removeprefix("stages:\n")


def repair_rwlock() -> None:
    """Remove the list of busy files if a dvc was killed while it wrote that: DVC would stop at it.

    It is written in place, in some microseconds.
    """
    path = FOLDER / "rwlock"
    with (FOLDER / DVC_LOCKS[1]).open("a", encoding="utf-8") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # nobody is writing
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError:
            pass
        except ValueError:
            path.unlink()
            print(f"{path}, damaged by a dvc that was killed, is removed")


def is_writing() -> bool:
    """Whether this process holds a lock of DVC, under which it writes."""
    for name in DVC_LOCKS:
        path = FOLDER / name
        try:
            with path.open(encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue
        except BlockingIOError:  # held, by whom the file says
            if path.read_text(encoding="utf-8").strip() == str(os.getpid()):
                return True
    return False
