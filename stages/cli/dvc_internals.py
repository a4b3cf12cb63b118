"""All uses of undocumented parts of DVC.

They are those of DVC 3.67; pyproject.toml pins DVC to this minor version until the next one was
tried. If a part is missing in another version, or has other arguments, commands work without it:
more slowly, with the same results.
"""

import fcntl
import functools
import inspect
import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stages.shared.dvc_pipeline import join_lock, split_lock, write_lock
from stages.shared.files import open_lock, read_file, replacing

PINNED = "dvc>=3.67,<3.68"

_FOLDER = Path(".dvc/tmp")
# DVC writes dvc.lock in place while it holds the first, and rwlock while it holds the second
_LOCKS = ("lock", "rwlock.lock")
_RWLOCK = "rwlock"

_LOAD_PARAMS = "dvc.dependency.param:load_path"
_WRITE_LOCK = "dvc.dvcfile:Lockfile.dump_stages"
_MAKE_ENTRY = "dvc.stage.serialize:to_lockfile"
_FORMAT_YAML = "dvc.utils.serialize:dumps_yaml"
_FIND_REMOTE = "dvc.data_cloud:DataCloud.get_remote_odb"
_FIND_OBJECT = "dvc_objects.db:ObjectDB.oid_to_path"
_READ_FILE = "dvc_objects.fs.base:FileSystem.cat_file"
_ADD_OBJECT = "dvc_objects.db:ObjectDB.add_bytes"
_PARTS = {  # -> their parameters in DVC 3.67
    _LOAD_PARAMS: ("fs_path", "fs", "kwargs"),
    _WRITE_LOCK: ("self", "stages", "kwargs"),
    _MAKE_ENTRY: ("stage", "kwargs"),
    _FORMAT_YAML: ("d",),
    _FIND_REMOTE: ("self", "name", "command", "hash_name"),
    _FIND_OBJECT: ("self", "oid"),
    _READ_FILE: ("self", "path", "start", "end", "kwargs"),
    _ADD_OBJECT: ("self", "oid", "data"),
}


def warn_of_another_dvc() -> None:
    """Print one line if this DVC is not as expected."""
    unknown = [part for part in _PARTS if _find(part) is None]
    if unknown:
        print(
            f"WARNING: DVC {version('dvc')} differs from 3.67 in {unknown[0].replace(':', '.')}: "
            f"all works, but more slowly; for full speed: pip install '{PINNED}'",
            file=sys.stderr,
        )


def _find(part: str) -> Any:
    """Return a part of DVC; None if it is missing or has other arguments."""
    try:
        found = pkgutil.resolve_name(part)
        parameters = tuple(inspect.signature(found).parameters)
        is_inherited = found.__qualname__ != part.partition(":")[2]
    except (ImportError, AttributeError, TypeError, ValueError):
        return None
    return None if is_inherited or parameters != _PARTS[part] else found


@contextmanager
def params_read_once() -> Iterator[None]:
    """Have DVC parse params.yaml once instead of once per stage: saves a second at 70 stages."""
    load = _find(_LOAD_PARAMS)
    if load is None:
        yield
        return
    from dvc.dependency import param

    param.load_path = functools.cache(load)
    try:
        yield
    finally:
        param.load_path = load


def write_entries_alone() -> None:
    """Have DVC replace single entries of dvc.lock in this process, which `make repro` started.

    After every stage DVC parses and writes the whole file in pure Python: a second at 66 stages.
    Here DVC's own serializer writes the entry of this stage only, and the file is replaced
    atomically. Its bytes are the same.
    """
    write_all = _find(_WRITE_LOCK)
    make_entry, format_yaml = _find(_MAKE_ENTRY), _find(_FORMAT_YAML)
    if write_all is None or make_entry is None or format_yaml is None:
        return
    from dvc.dvcfile import Lockfile

    def write(lockfile: Any, stages: list[Any], **options: Any) -> None:
        path = Path(lockfile.path)
        text = path.read_text(encoding="utf-8") if path.exists() else join_lock({})
        entries = split_lock(text)
        if entries is None:
            write_all(lockfile, stages, **options)
            return
        for stage in stages:
            lines = format_yaml({"stages": make_entry(stage, **options)})
            entries[stage.name] = lines.removeprefix("stages:\n")
        if join_lock(entries) != text:
            write_lock(path, entries)
            lockfile.repo.scm_context.track_file(lockfile.relpath)

    Lockfile.dump_stages = write


def read_remote_object(repo: Any, md5: str) -> bytes:
    """Read an object of the default remote of a `dvc.repo.Repo`.

    Raises:
        FileNotFoundError: it is not there.
        Exception: the remote cannot be read; each kind of remote has errors of its own.
    """
    if all(map(_find, [_FIND_REMOTE, _FIND_OBJECT, _READ_FILE])) and hasattr(repo, "cloud"):
        remote = repo.cloud.get_remote_odb(command="pull")
        path = remote.oid_to_path(md5)
        if remote.fs.protocol == "local":
            return read_file(Path(path))
        content: bytes = remote.fs.cat_file(path)
        return content
    from dvc.exceptions import DvcException, URLMissingError

    name = repo.config["core"].get("remote")
    if not name:
        raise DvcException("no remote specified: dvc remote add --default NAME URL")
    url = f"remote://{name}/files/md5/{md5[:2]}/{md5[2:]}"
    with TemporaryDirectory() as folder:
        out = Path(folder, "object")
        try:
            repo.get_url(url, str(out), config=repo.config)  # what `dvc get-url` calls
        except URLMissingError:
            raise FileNotFoundError(url) from None
        return out.read_bytes()


def add_to_cache(repo: Any, md5: str, content: bytes, path: Path) -> None:
    """Add an object to the cache of a `dvc.repo.Repo`, at this path."""
    if _find(_ADD_OBJECT) and hasattr(repo, "cache"):
        repo.cache.local.add_bytes(md5, content)  # sets the permissions of a shared cache
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        new.write_bytes(content)


def repair_rwlock() -> None:
    """Remove DVC's file of read and write locks if it is damaged.

    DVC writes it in place; one that was killed meanwhile would stop every later DVC command.
    """
    path = _FOLDER / _RWLOCK
    with open_lock(_FOLDER / _LOCKS[1]) as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # no process is writing
        try:
            json.loads(path.read_bytes())
        except FileNotFoundError:
            pass
        except ValueError:
            path.unlink()
            print(f"{path}, damaged by a dvc that was killed, is removed")


def is_writing() -> bool:
    """Whether this process holds a lock of DVC, under which it writes."""
    for name in _LOCKS:
        path = _FOLDER / name
        try:
            with path.open(encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue
        except BlockingIOError:  # held by the process whose id is in the file
            if path.read_text(encoding="utf-8").strip() == str(os.getpid()):
                return True
    return False


def is_dvc_busy() -> bool:
    """Whether a process holds DVC's lock, for which this one would wait half a second."""
    try:
        with (_FOLDER / _LOCKS[0]).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
