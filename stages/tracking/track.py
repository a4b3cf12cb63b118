"""Make MLflow agree with dvc.lock: every model, baseline and search has its one run.

Run by DVC as `python stages/run.py tracking.track`, and by hand (`srn sync`) after what changes
data/ without running code: `dvc pull`, `dvc checkout`, a stage that DVC took from its cache. What
MLflow has already is left alone, so that a second call writes nothing. `srn check` never writes; it
lists what is missing or stale.
"""

import os
import subprocess
import sys
import textwrap
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from stages.shared.command import run_as_command, show
from stages.shared.dvc_pipeline import split_lock
from stages.shared.errors import InputError, show_address
from stages.shared.yaml_files import parse_yaml
from stages.tracking.leaderboards import champion_problem, list_registrations, read_champions
from stages.tracking.mlflow_sync.runs import RunSpec
from stages.tracking.mlflow_sync.store import find_database, find_uri, lock_store, open_store
from stages.tracking.mlflow_sync.sync import (
    find_champion_differences,
    inspect,
    is_marked,
    sync,
    sync_champions,
    write_marker,
)
from stages.tracking.pages import rank_runs, sync_pages
from stages.tracking.run_specs import check_dvc_listings, describe_changes, list_run_specs

_MOST_NAMED = 3  # runs with the same difference, each in a line of its own on a terminal
_WIDTH = 98  # columns of a terminal, but for the indentation
_LEAST_NAMES = 30  # columns for names after a long difference


def group_differences(differences: list[str]) -> list[str]:
    """Make one line of those that differ by their names alone, which are cut to a terminal."""
    alike = defaultdict(list)
    for line in differences:
        alike[line.partition(": ")[2]].append(line)
    grouped = []
    for difference, lines in alike.items():
        if len(lines) > _MOST_NAMED:
            names = ", ".join(line.partition(": ")[0] for line in lines)
            left = max(_WIDTH - len(f"{difference}: "), _LEAST_NAMES)
            names = textwrap.shorten(names, left, placeholder=f" … ({len(lines)} runs)")
            lines = [f"{difference}: {names}"]
        grouped += lines
    return grouped


def _list_differences(uri: str, specs: list[RunSpec]) -> list[str]:
    """What a sync would change, or could not change; writes nothing."""
    database = find_database(uri)
    registrations = list_registrations(specs)
    if database and not database.exists():
        states, leftovers = inspect(None, specs)
        aliases: dict[str, str] = {}
    else:
        with open_store(uri) as store:
            states, leftovers = inspect(store, specs)
            aliases = find_champion_differences(store, registrations)
    differences = [f"{run.info.run_name}: {reason}" for run, reason in leftovers]
    for state in states:
        parts = [text for text in (state.difference, state.problem) if text]
        if parts:
            differences.append(f"{state.spec.name}: {'; '.join(parts)}")
    for name, difference in aliases.items():
        if uri.startswith("http"):  # where a promotion under review moves no alias
            show(f"{name}: {difference}")
        else:
            differences.append(f"{name}: {difference}")
    md5s = {path: md5 for spec in specs for path, md5 in spec.md5s.items()}
    champions = read_champions()
    for one in registrations:
        champion, problem = champions[one.name], champion_problem(one)
        if problem and any(md5s.get(path) != md5 for path, md5 in champion.data_files.items()):
            # such as the sample instead of the official data
            show(f"{problem}: its data ({champion.data}) are others")
        elif problem:
            differences.append(f"{problem}: `srn promote {one.name}`")
    return differences


def is_up_to_date() -> bool:
    """Whether a sync is known to find nothing to do, without opening the store."""
    return is_marked(find_uri(), _list_digests(list_run_specs(), find_commit()))


def _list_digests(specs: list[RunSpec], commit: str | None) -> list[str]:
    """What the store has to hold, as far as a sync writes it."""
    digests = [digest for spec in specs for digest in (spec.key, spec.display_digest)]
    for one in list_registrations(specs):
        digests += [one.name, one.champion, one.spec.key if one.spec else "", one.reason]
    return [*digests, str(bool(commit))]


def find_commit() -> str | None:
    """The commit that holds this dvc.lock: HEAD, if nothing in this folder has changed since."""
    try:
        _run_git("ls-files", "--error-unmatch", "dvc.lock")
        changes = _run_git("status", "--porcelain", ".")  # other folders may be other projects
        head = _run_git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, no repository, no commit
    return None if changes else head


def _find_branch() -> str | None:
    """The branch of git that is checked out, if one is."""
    try:
        return _run_git("symbolic-ref", "--quiet", "--short", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None


def _name_variants(specs: list[RunSpec]) -> list[RunSpec]:
    """The same with models named by what differs from the committed dvc.lock, or the experiment."""
    try:
        committed = split_lock(_run_git("show", "HEAD:./dvc.lock") + "\n") or {}
    except (OSError, subprocess.CalledProcessError):
        return specs
    entries = split_lock(Path("dvc.lock").read_text(encoding="utf-8")) or {}
    named = []
    for spec in specs:
        stages = {stage.name for stage in spec.stages.values()}
        trained = spec.first_stage.name
        if spec.package and trained in committed:
            entry = parse_yaml(committed[trained])[trained]
            variant = describe_changes(spec, entry)
            if not variant and any(committed.get(name) != entries.get(name) for name in stages):
                variant = os.environ.get("DVC_EXP_NAME", "")
            spec = replace(spec, variant=variant)
        named.append(spec)
    return named


def _run_git(*arguments: str) -> str:
    """What git prints; no lock is taken, since DVC may be at work in the same repository."""
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def main(check: bool = False, new: bool = False, champions: bool = False) -> None:
    """Bring the store up to date, or list where it is not.

    Args:
        check: write nothing.
        new: make the store, where the address names a file that does not exist.
        champions: move the alias `champion` on a server too.

    Raises:
        InputError: the store cannot be used, or something of dvc.lock cannot be tracked.
    """
    check_dvc_listings()
    specs = list_run_specs()
    uri = find_uri()
    if check:
        differences = _list_differences(uri, specs)
    else:
        with lock_store(uri), open_store(uri, to_write=True, to_make=new) as store:
            commit = find_commit()
            ranked = rank_runs(_name_variants(specs))
            differences = sync(store, ranked, commit, _find_branch())
            sync_pages(store, specs)
            registrations = list_registrations(specs)
            sync_champions(store, registrations, champions or store.is_local)
            for one in registrations:
                problem = champion_problem(one)
                if problem:
                    show(f"{problem}, so that MLflow's alias stays")
            if not differences:
                write_marker(uri, _list_digests(specs, commit))
    if differences:
        count = f"{len(differences)} difference{'s' if len(differences) > 1 else ''}"
        lines = group_differences(differences) if sys.stderr.isatty() else differences
        raise InputError(
            "\n  ".join([f"MLflow at {show_address(uri)} is behind dvc.lock: {count}", *lines])
        )
    print(f"MLflow at {show_address(uri)}: {len(specs)} runs for this dvc.lock")


if __name__ == "__main__":
    run_as_command(main)
