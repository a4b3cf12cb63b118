"""Make MLflow agree with dvc.lock: every model, baseline and search has its one run.

Run by DVC as `python stages/run.py tracking.track`, and by hand (`srn sync`) after what changes
data/ without running code: `dvc pull`, `dvc checkout`, a stage that DVC took from its cache. What
MLflow has already is left alone, so that a second call writes nothing. `srn check` never writes; it
lists what is missing or stale.
"""

import subprocess

from stages.shared.command import run_as_command
from stages.shared.errors import InputError, hide_passwords
from stages.tracking.champions import (
    champion_problem,
    has_other_data,
    list_registrations,
    read_champions,
)
from stages.tracking.mlflow_sync.location import find_uri, is_absent, is_default, lock_store
from stages.tracking.mlflow_sync.run_spec import RunSpec
from stages.tracking.mlflow_sync.store import Store, open_store
from stages.tracking.mlflow_sync.sync import (
    find_champion_differences,
    inspect,
    is_marked,
    sync,
    sync_champions,
    sync_pages,
    write_marker,
)
from stages.tracking.pages import list_pages
from stages.tracking.run_specs import check_dvc_listings, list_run_specs


def _update_store(store: Store, specs: list[RunSpec], move_alias: bool) -> list[str]:
    """Bring the store up to date, print what was done, and note that it agrees.

    Args:
        store: to write to.
        specs: of all runs.
        move_alias: whether the alias `champion` moves to the champions of champions.yaml.

    Returns:
        what could not be done.
    """
    commit = find_commit()
    left = sync(store, specs, commit, _print)
    sync_pages(store, list_pages(specs), _print)
    registrations = list_registrations(specs)
    sync_champions(store, registrations, move_alias, _print)
    for leaderboard, champion in read_champions().items():
        problem = champion_problem(leaderboard, champion, specs)
        if problem:
            _print(f"{problem}, so that MLflow's alias stays")
    if not left:
        write_marker(store.uri, _list_digests(specs, commit))
    return left


def _print(line: str) -> None:
    print(line, flush=True)


def list_differences(uri: str, specs: list[RunSpec]) -> list[str]:
    """What a sync would change, or cannot; writes nothing."""
    differences = []
    if is_absent(uri):
        inspection = inspect(None, specs)
        aliases: dict[str, str] = {}
    else:
        with open_store(uri) as store:
            inspection = inspect(store, specs)
            aliases = find_champion_differences(store, list_registrations(specs))
    for run, reason in inspection.leftovers:
        differences.append(f"{run.info.run_name}: {reason}")
    for state in inspection.states:
        parts = [text for text in (state.difference, state.problem) if text]
        if parts:
            differences.append(f"{state.spec.name}: {'; '.join(parts)}")
    notes = [f"{name}: {difference}" for name, difference in aliases.items()]
    if uri.startswith("http"):  # where a promotion under review moves no alias
        print("\n".join(notes), end="\n" if notes else "")
        return differences
    return differences + notes


def _list_champion_problems(specs: list[RunSpec]) -> list[str]:
    """Champions that are none of this dvc.lock; prints those of other data, such as the sample."""
    problems = []
    for leaderboard, champion in read_champions().items():
        problem = champion_problem(leaderboard, champion, specs)
        if problem and has_other_data(champion, specs):
            print(f"{problem}: its data ({champion.data}) are others")
        elif problem:
            problems.append(f"{problem}: `srn promote {leaderboard}`")
    return problems


def is_up_to_date() -> bool:
    """Whether a sync is known to find nothing to do, without opening the store."""
    return is_marked(find_uri(), _list_digests(list_run_specs(), find_commit()))


def _list_digests(specs: list[RunSpec], commit: str | None) -> list[str]:
    """What the store has to hold, as far as a sync writes it."""
    digests = [digest for spec in specs for digest in (spec.key, spec.display_digest)]
    return [*digests, *map(str, list_registrations(specs)), str(bool(commit))]


def find_commit() -> str | None:
    """The commit that holds this dvc.lock: HEAD, if nothing in this folder has changed since."""
    try:
        _ask_git("ls-files", "--error-unmatch", "dvc.lock")
        changes = _ask_git("status", "--porcelain", ".")  # other folders may be other projects
        head = _ask_git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, no repository, no commit
    return None if changes else head


def _ask_git(*arguments: str) -> str:
    """What git answers; no lock is taken, since DVC may be at work in the same repository."""
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
        differences = list_differences(uri, specs) + _list_champion_problems(specs)
    else:
        with lock_store(uri), open_store(uri, True, new or is_default(uri)) as store:
            differences = _update_store(store, specs, champions or store.is_local)
    if differences:
        raise InputError("\n  ".join([f"MLflow at {uri} is behind dvc.lock:", *differences]))
    print(hide_passwords(f"MLflow at {uri}: {len(specs)} runs for this dvc.lock"))


if __name__ == "__main__":
    run_as_command(main)
