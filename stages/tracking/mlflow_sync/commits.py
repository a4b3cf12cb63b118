"""What git knows about a lock file: its commit, the branch, and how params differ from HEAD."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from stages.shared.dvc_pipeline import find_objects, split_lock
from stages.shared.errors import InputError
from stages.shared.yaml_files import parse_yaml
from stages.tracking.mlflow_sync.dvc_files import Stage, check_listings, read_folders
from stages.tracking.mlflow_sync.runs import RunSpec, flatten, format_param
from stages.tracking.mlflow_sync.store import find_root

_MOST_CHANGES = 3  # of params in the name of a run


def run_git(*arguments: str) -> str | None:
    """Return the output of git; None if it fails, or there is no git or no repository.

    No lock is taken, since DVC may be running in the same repository.
    """
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.removesuffix("\n")


def find_commit() -> str | None:
    """Return the commit of this dvc.lock: HEAD, if nothing in this folder has changed since."""
    if run_git("ls-files", "--error-unmatch", "dvc.lock") is None:
        return None
    # other folders may be other projects; the store is not part of the project
    changes = run_git("status", "--porcelain", ".", ":!mlflow.db*", ":!mlartifacts")
    return run_git("rev-parse", "HEAD") if changes == "" else None


def find_time(commit: str) -> datetime:
    """Return the time of a commit."""
    return datetime.fromisoformat(run_git("show", "--no-patch", "--format=%cI", commit) or "")


def find_branch() -> str | None:
    """Return the branch that is checked out, None if there is none."""
    return run_git("symbolic-ref", "--quiet", "--short", "HEAD")


def list_revisions(ranges: list[str], experiments: bool) -> dict[str, str]:
    """Return commits with a dvc.lock, each with the name of its DVC experiment or "".

    Args:
        ranges: ranges of git: `HEAD~3..HEAD`, a branch, a commit.
        experiments: whether to add all experiments of `dvc exp run`.

    Raises:
        InputError: if git does not know a range.
    """
    named: dict[str, str] = {}
    for revisions in ranges:
        limit = [] if ".." in revisions else ["--max-count=1"]
        listed = run_git("rev-list", "--reverse", *limit, "--end-of-options", revisions)
        if listed is None:
            raise InputError(f"git knows no commits {revisions}: give a range, as `HEAD~3..HEAD`")
        named |= dict.fromkeys(listed.splitlines(), "")
    if experiments:
        form = "--format=%(objectname) %(refname)"
        for line in (run_git("for-each-ref", form, "refs/exps") or "").splitlines():
            commit, _, name = line.partition(" ")
            if name.count("/") == 4 and "/exec/" not in name:  # refs/exps/<2>/<38>/<name>
                named[commit] = name.rpartition("/")[2]
    # the last commit of each dvc.lock, without that of the workspace
    locks = {run_git("rev-parse", f"{commit}:./dvc.lock"): commit for commit in named}
    for lock in (None, run_git("hash-object", "dvc.lock")):
        locks.pop(lock, None)
    return {commit: named[commit] for commit in locks.values()}


@contextmanager
def check_out(commit: str) -> Iterator[None]:
    """Work in a temporary checkout of a commit, with the files that DVC's cache has of it.

    Raises:
        InputError: if a listing in the cache names files outside of its folder.
    """
    root, inside = Path.cwd(), run_git("rev-parse", "--show-prefix") or ""
    cache = str(find_objects().parents[1].resolve())
    dvc = [sys.executable, "-m", "dvc"]
    quietly = partial(subprocess.run, capture_output=True, check=False)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "commit")
        run_git("worktree", "add", "--detach", str(folder), commit)
        try:
            os.chdir(folder / inside)
            quietly([*dvc, "cache", "dir", "--local", cache])
            locks = [*Path().rglob("dvc.lock"), *Path().rglob("*.dvc")]
            check_listings(read_folders(locks, outside_deps=True))
            quietly([*dvc, "checkout", "--allow-missing", "--quiet"])  # each run reports its own
            yield
        finally:
            os.chdir(root)
            run_git("worktree", "remove", "--force", str(folder))


def find_project_name() -> str:
    """Return the name of the repository: from its remote, which all clones share, or its folder."""
    remote = run_git("config", "--get", "remote.origin.url") or ""
    return Path(remote.rstrip("/").removesuffix(".git")).name or find_root().name


def name_variants(specs: list[RunSpec]) -> list[RunSpec]:
    """Add to each run how it differs from the committed dvc.lock, or the name of the experiment."""
    committed = split_lock(f"{run_git('show', 'HEAD:./dvc.lock')}\n")
    if not committed:
        return specs
    entries = split_lock(Path("dvc.lock").read_text(encoding="utf-8")) or {}
    named = []
    for spec in specs:
        stages = [stage for stage in spec.stages.values() if stage.lock == "dvc.lock"]
        changed = [one for one in stages if committed.get(one.name) != entries.get(one.name)]
        if spec.has_variants and all(stage.name in committed for stage in stages) and changed:
            variant = _describe_changes(changed, committed)
            spec = replace(spec, variant=variant or os.environ.get("DVC_EXP_NAME", ""))
        named.append(spec)
    return named


def _describe_changes(stages: list[Stage], committed: dict[str, str]) -> str:
    """Describe how params differ from the committed ones: "rate 0.02, hidden 20"."""
    changes: dict[str, None] = {}
    for stage in stages:
        before = _flatten_params(parse_yaml(committed[stage.name])[stage.name].get("params") or {})
        for name, value in _flatten_params(stage.params).items():
            if before.get(name) != value:
                changes[f"{name.rpartition('.')[2]} {format_param(value)}"] = None
    listed = [*changes]
    more = f" and {len(listed) - _MOST_CHANGES} more" if len(listed) > _MOST_CHANGES else ""
    return ", ".join(listed[:_MOST_CHANGES]) + more


def _flatten_params(params: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for sections in params.values():
        flat |= flatten(sections, ".")
    return flat
