"""List what stages that are gone have left, and remove it: `srn prune [--mlflow] [--yes]`.

In data/ and in lock files that is what no dvc.yaml here has; in MLflow, runs and experiments of
stages that neither the workspace nor any branch, tag, experiment or commit of this clone names.
"""

import re
import subprocess
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
from stages.tracking.mlflow_sync.store import Store, find_uri, lock_store, open_store
from stages.tracking.mlflow_sync.sync import Unnamed, drop_unnamed, find_unnamed

_LOCKS = ("dvc.lock", "searches/dvc.lock")


def _list_named_stages() -> set[str]:
    """The stages that the workspace or any commit of this clone has.

    Raises:
        InputError: git cannot tell.
    """
    if _run_git("rev-parse", "--is-shallow-repository").strip() == "true":
        raise InputError("this clone has not all commits: `git fetch --unshallow`, then repeat")
    stages: set[str] = set()
    for lock in map(Path, _LOCKS):
        pipeline = lock.with_name("dvc.yaml")
        if pipeline.exists():
            params = lock.with_name("params.yaml")
            stages |= list_outs(read_yaml(pipeline), read_yaml(params)).keys()
    # each line that some commit of some ref has added
    history = _run_git(
        *("log", "--all", "--format=", "--patch", "--unified=0", "--diff-merges=first-parent"),
        *("--no-color", "--no-ext-diff", "--", *_LOCKS),
    )
    return stages | {*re.findall(r"^\+  (\S+):$", history, re.MULTILINE)}


def _run_git(*arguments: str) -> str:
    """What git prints.

    Raises:
        InputError: it fails.
    """
    try:
        return subprocess.run(
            ["git", *arguments], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise InputError(f"git does not list the commits: {reason.strip()}") from None


def _list_unnamed(unnamed: Unnamed) -> Iterator[str]:
    """One line per run and per experiment."""
    for run in unnamed.runs:
        yield f"MLflow: {run.info.run_name}, run {run.info.run_id}"
    for name in unnamed.experiments:
        yield f"MLflow: the experiment {name}"


@contextmanager
def _open(mlflow: bool) -> Iterator[Store | None]:
    """The store, if it is asked for."""
    if not mlflow:
        yield None
        return
    uri = find_uri()
    with lock_store(uri), open_store(uri, to_write=True) as store:
        yield store


def _is_confirmed() -> bool:
    """Ask the person at the terminal.

    Raises:
        InputError: there is none.
    """
    if not sys.stdin.isatty():
        raise InputError("nothing is removed: `srn prune --yes` removes these without asking")
    return input("Remove these? [y/N] ").strip().lower() in ("y", "yes")


def main(mlflow: bool, yes: bool) -> None:
    """List, ask, remove.

    Args:
        mlflow: also in MLflow.
        yes: do not ask.

    Raises:
        InputError: nothing may be removed, or something could not be.
    """
    with lock_workspace(), _open(mlflow) as store:
        found = find_leftovers()
        unnamed = find_unnamed(store, _list_named_stages()) if store else Unnamed([], [])
        lines = [*found.format(), *_list_unnamed(unnamed)]
        if not lines:
            print("nothing to remove: a stage of this dvc.yaml made all that is here")
            return
        show("\n".join(lines))
        if not yes and not _is_confirmed():
            return
        remove_leftovers(found, unsaved=True)
        kept = drop_unnamed(store, unnamed) if store else []
    if kept:
        raise InputError("\n  ".join(["MLflow keeps some:", *kept]))
    print("removed. `make repro` brings dvc.lock and MLflow up to date")
