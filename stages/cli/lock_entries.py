"""dvc.lock, written an entry at a time, by the dvc processes that `make repro` starts.

After every stage DVC parses and writes the whole file in pure Python: a second at 66 stages. Here
its own serializer writes the entry of that stage, which takes the place of the one before: the
same bytes, and never half of them.
"""

import re
from pathlib import Path
from typing import Any

from stages.tracking.mlflow_sync.dvc_files import read_yaml

HEAD = "schema: '2.0'\nstages:\n"
ENTRY = re.compile(r"  (\S+):\n(?:    .*\n)+")
NEW = Path(".dvc/tmp/dvc.lock.new")


def write_entries_alone() -> None:
    """Have DVC do so in this process."""
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


def drop_unknown_entries() -> None:
    """Drop what lock files have of stages that their dvc.yaml does not know, such as of old names.

    Entries of models that left params.yaml stay: their stage is known.
    """
    for folder in (Path(), Path("searches")):
        path, pipeline = folder / "dvc.lock", folder / "dvc.yaml"
        if not path.exists() or not pipeline.exists():
            continue
        entries = split_entries(path.read_text(encoding="utf-8")) or {}
        known = read_yaml(str(pipeline))["stages"]
        kept = [text for name, text in entries.items() if name.partition("@")[0] in known]
        if len(kept) < len(entries):
            write_whole(path, HEAD + "".join(kept))


def write_whole(path: Path, text: str) -> None:
    """Write dvc.lock so that nobody ever sees a part of it."""
    NEW.write_text(text, encoding="utf-8")
    NEW.replace(path)


def split_entries(text: str) -> dict[str, str] | None:
    """The lines of each stage by its name; None, if DVC has not written this."""
    entries = {}
    for entry in ENTRY.finditer(text):
        entries[entry[1]] = entry[0]
    return entries if text == HEAD + "".join(entries.values()) else None


def write_entry(stage: Any, **options: Any) -> str:
    """The lines of one stage, as DVC writes them."""
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import dumps_yaml

    lines: str = dumps_yaml({"stages": to_lockfile(stage, **options)})
    return lines.removeprefix("stages:\n")
