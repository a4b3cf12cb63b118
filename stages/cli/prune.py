"""List and remove results of stages that do not exist any more: `srn prune [--mlflow] [--yes]`.

In data/ and in lock files these belong to no stage of a dvc.yaml. In MLflow they are runs and
experiments of stages that are neither in the workspace nor in any commit of this clone.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.cli.repro import lock_workspace
from stages.imports.leftovers import find_leftovers, remove_leftovers
from stages.shared.command import show
from stages.shared.dvc_pipeline import list_outs
from stages.shared.errors import InputError
from stages.shared.yaml_files import read_yaml
from stages.tracking.mlflow_sync.commits import run_git
from stages.tracking.mlflow_sync.store import Store, find_uri, lock_store, open_store
from stages.tracking.mlflow_sync.sync import Unnamed, drop_unnamed, find_unnamed

_LOCKS = ("dvc.lock", "searches/dvc.lock")


def _list_named_stages() -> set[str]:
    """Return the stages of the workspace and of all commits of this clone.

    Raises:
        InputError: if git cannot list all commits.
    """
    if run_git("rev-parse", "--is-shallow-repository") == "true":
        raise InputError("this clone is shallow: `git fetch --unshallow`, then repeat")
    stages: set[str] = set()
    for lock in map(Path, _LOCKS):
        pipeline = lock.with_name("dvc.yaml")
        if pipeline.exists():
            params = lock.with_name("params.yaml")
            stages |= list_outs(read_yaml(pipeline), read_yaml(params)).keys()
    # all lines that the commits of all refs have added
    history = run_git(
        *("log", "--all", "--format=", "--patch", "--unified=0", "--diff-merges=first-parent"),
        *("--no-color", "--no-ext-diff", "--", *_LOCKS),
    )
    if history is None:
        raise InputError("git cannot list the commits here: repeat in a clone with its history")
    return stages | {*re.findall(r"^\+  (\S+):$", history, re.MULTILINE)}


@contextmanager
def _open_store_if(mlflow: bool) -> Iterator[Store | None]:
    """Open the store to write, or yield None."""
    if not mlflow:
        yield None
        return
    uri = find_uri()
    with lock_store(uri), open_store(uri, to_write=True) as store:
        yield store


def main(mlflow: bool, yes: bool) -> None:
    """List the leftovers, ask, and remove them.

    Args:
        mlflow: whether to look in MLflow, too.
        yes: whether to remove them without asking.

    Raises:
        InputError: if there is no terminal to ask, or something could not be removed.
    """
    with lock_workspace(), _open_store_if(mlflow) as store:
        found = find_leftovers()
        unnamed = find_unnamed(store, _list_named_stages()) if store else Unnamed([], [])
        lines = found.format()
        lines += [f"MLflow: {run.info.run_name}, run {run.info.run_id}" for run in unnamed.runs]
        lines += [f"MLflow: the experiment {name}" for name in unnamed.experiments]
        if not lines:
            print("nothing to remove: stages of this dvc.yaml made all files here")
            return
        show("\n".join(lines))
        if not yes:
            if not sys.stdin.isatty():
                raise InputError("nothing is removed: `srn prune --yes` removes these")
            if input("Remove these? [y/N] ").strip().lower() not in ("y", "yes"):
                return
        remove_leftovers(found, unsaved=True)
        kept = drop_unnamed(store, unnamed) if store else []
    if kept:
        raise InputError("\n  ".join(["these could not be removed from MLflow:", *kept]))
    print("removed. `make repro` brings dvc.lock and MLflow up to date")
