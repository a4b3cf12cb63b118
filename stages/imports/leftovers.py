"""Find and remove results of stages that do not exist any more: outs and entries in lock files.

`track` depends on whole folders of results, so that leftover files would make dvc.lock differ
from a teammate's. If a model comes back to params.yaml, DVC restores it from its run cache.
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

from stages.shared.command import show
from stages.shared.dvc_pipeline import find_object, find_objects, list_outs, split_lock, write_lock
from stages.shared.yaml_files import read_yaml

_RESULTS = [Path("data", name) for name in ("generated", "preprocessed", "trained", "evaluated")]
_RESULTS.append(Path("data/plotted"))
_PIPELINES = (Path("dvc.yaml"), Path("searches/dvc.yaml"))


@dataclass
class Leftovers:
    """Files and lock entries that belong to no stage of a dvc.yaml.

    Attributes:
        files: files in the folders of results that are also in DVC's cache.
        unsaved: other files there, such as those of a stage that failed.
        entries: names of stages by lock file.
    """

    files: list[Path] = field(default_factory=list)
    unsaved: list[Path] = field(default_factory=list)
    entries: dict[Path, list[str]] = field(default_factory=dict)

    def format(self) -> list[str]:
        """Return one line per folder and per entry."""
        lines = []
        for files, remark in ((self.files, ""), (self.unsaved, ", not in DVC's cache")):
            for folder, group in groupby(files, key=lambda path: path.parent):
                found = [*group]
                what = str(found[0]) if len(found) == 1 else f"{folder}: {len(found)} files"
                lines.append(f"{what}{remark}")
        for lock, names in self.entries.items():
            lines += [f"{lock}: the entry of {name}" for name in names]
        return lines


def find_leftovers() -> Leftovers:
    """Find the leftovers; write nothing."""
    found = Leftovers()
    owned: set[str] = set()
    for pipeline in _PIPELINES:
        if not pipeline.exists():
            continue
        params = pipeline.with_name("params.yaml")
        stages = list_outs(read_yaml(pipeline), read_yaml(params))
        owned.update(path for outs in stages.values() for path in outs)
        lock = pipeline.with_name("dvc.lock")
        entries = split_lock(lock.read_text(encoding="utf-8")) if lock.exists() else None
        gone = [name for name in entries or {} if not _is_among(name, stages)]
        if gone:
            found.entries[lock] = gone
    strays = []
    for path in _list_files():
        is_owned = any(_is_among(str(part), owned) for part in (path, *path.parents))
        if not is_owned and not Path(f"{path}.dvc").exists():  # written by `dvc add`
            strays.append(path)
    objects = find_objects() if strays else Path()
    for path in strays:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        is_saved = find_object(md5, objects).exists()
        (found.files if is_saved else found.unsaved).append(path)
    return found


def remove_leftovers(found: Leftovers, *, unsaved: bool = False) -> None:
    """Remove leftover files and entries, and empty folders.

    Args:
        found: the leftovers.
        unsaved: whether to remove files that are not in DVC's cache, too.
    """
    for path in [*found.files, *(found.unsaved if unsaved else [])]:
        path.unlink(missing_ok=True)
    # also folders that `dvc checkout` has emptied; the deepest first
    folders = [path for path in _list_results() if path.is_dir() and not path.is_symlink()]
    for folder in reversed(folders):
        if not any(folder.iterdir()):
            folder.rmdir()
    for lock, names in found.entries.items():
        entries = split_lock(lock.read_text(encoding="utf-8")) or {}
        kept = {name: entry for name, entry in entries.items() if name not in names}
        if entries:
            write_lock(lock, kept)


def _is_among(name: str, known: Collection[str]) -> bool:
    """Return whether a name is known, or matches a known pattern with `*`."""
    patterns = (pattern for pattern in known if "*" in pattern)
    return name in known or any(fnmatchcase(name, pattern) for pattern in patterns)


def tidy_results() -> None:
    """Remove and print the leftovers that DVC can restore, and warn about the others."""
    found = find_leftovers()
    remove_leftovers(found)
    unsaved, found.unsaved = found.unsaved, []
    for line in found.format():
        show(f"removed, since no stage makes it any more: {line}")
    if unsaved:
        others = f" and {len(unsaved) - 1} more" if len(unsaved) > 1 else ""
        show(
            f"WARNING: no stage makes {unsaved[0]}{others}, so that dvc.lock would differ from a "
            "teammate's: move the files, or type `srn prune`"
        )


def _list_files() -> list[Path]:
    """List the files in the folders of results, without those of editors and file managers."""
    paths = [path for path in _list_results() if path.is_file()]
    return [path for path in paths if not re.match(r"[.#]|.*(~|\.dvc)$", path.name)]


def _list_results() -> list[Path]:
    """List all files and folders in the folders of results, without following links."""
    here = Path.cwd().resolve()
    own = [folder for folder in _RESULTS if folder.resolve() == here / folder]
    return sorted(path for folder in own for path in folder.rglob("*"))
