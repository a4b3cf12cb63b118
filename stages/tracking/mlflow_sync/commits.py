"""What git knows of a lock file: its commit, the branch, and how params differ from those there."""

import json
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
from stages.tracking.mlflow_sync.runs import RunSpec, flatten
from stages.tracking.mlflow_sync.store import find_root

_MOST_CHANGES = 3  # of params in the name of a run


def run_git(*arguments: str) -> str | None:
    """What git prints; None: no git, no repository, or it fails.

    No lock is taken, since DVC may be at work in the same repository.
    """
    command = ["git", "--no-optional-locks", *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def find_commit() -> str | None:
    """The commit that holds this dvc.lock: HEAD, if nothing in this folder has changed since."""
    if run_git("ls-files", "--error-unmatch", "dvc.lock") is None:
        return None
    # other folders may be other projects, and the store is no part of this one
    changes = run_git("status", "--porcelain", ".", ":!mlflow.db*", ":!mlartifacts")
    return run_git("rev-parse", "HEAD") if changes == "" else None


def find_time(commit: str) -> datetime:
    """When a commit was made."""
    return datetime.fromisoformat(run_git("show", "--no-patch", "--format=%cI", commit) or "")


def find_branch() -> str | None:
    """The branch of git that is checked out, if one is."""
    return run_git("symbolic-ref", "--quiet", "--short", "HEAD")


def list_revisions(ranges: list[str], experiments: bool) -> dict[str, str]:
    """Commits with a dvc.lock, each with the name of its experiment of DVC or an empty text.

    Args:
        ranges: as git has them: `HEAD~3..HEAD`, a branch, a commit.
        experiments: whether to add all that `dvc exp run` has kept.

    Raises:
        InputError: git does not know a range.
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
    # of commits with the same dvc.lock the last one, and none with that of the workspace
    locks = {run_git("rev-parse", f"{commit}:./dvc.lock"): commit for commit in named}
    for lock in (None, run_git("hash-object", "dvc.lock")):
        locks.pop(lock, None)
    return {commit: named[commit] for commit in locks.values()}


@contextmanager
def check_out(commit: str) -> Iterator[None]:
    """Work in a temporary folder with a commit, and with what DVC's cache has of its files.

    Raises:
        InputError: a listing in the cache names files outside of its folder.
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
            quietly([*dvc, "checkout", "--allow-missing", "--quiet"])  # a run names what is missing
            yield
        finally:
            os.chdir(root)
            run_git("worktree", "remove", "--force", str(folder))


def find_project_name() -> str:
    """The name of the repository: of its remote, which all clones share, or else of its folder."""
    remote = run_git("config", "--get", "remote.origin.url") or ""
    return Path(remote.rstrip("/").removesuffix(".git")).name or find_root().name


def name_variants(specs: list[RunSpec]) -> list[RunSpec]:
    """The same with runs named by what differs from the committed dvc.lock, or the experiment."""
    committed = split_lock(f"{run_git('show', 'HEAD:./dvc.lock')}\n")
    if not committed:
        return specs
    entries = split_lock(Path("dvc.lock").read_text(encoding="utf-8")) or {}
    named = []
    for spec in specs:
        stages = [stage for stage in spec.stages.values() if stage.lock == "dvc.lock"]
        changed = [of for of in stages if committed.get(of.name) != entries.get(of.name)]
        if spec.has_variants and all(stage.name in committed for stage in stages) and changed:
            variant = _describe_changes(changed, committed)
            spec = replace(spec, variant=variant or os.environ.get("DVC_EXP_NAME", ""))
        named.append(spec)
    return named


def _describe_changes(stages: list[Stage], committed: dict[str, str]) -> str:
    """How the params of stages differ from the committed ones: "rate 0.02, hidden 20"."""
    changes: dict[str, None] = {}
    for stage in stages:
        before = _flatten_params(parse_yaml(committed[stage.name])[stage.name].get("params") or {})
        for name, value in _flatten_params(stage.params).items():
            if before.get(name) != value:
                text = value if isinstance(value, str) else json.dumps(value)
                changes[f"{name.rpartition('.')[2]} {text}"] = None
    listed = [*changes]
    more = f" and {len(listed) - _MOST_CHANGES} more" if len(listed) > _MOST_CHANGES else ""
    return ", ".join(listed[:_MOST_CHANGES]) + more


def _flatten_params(params: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for sections in params.values():
        flat |= flatten(sections, ".")
    return flat
