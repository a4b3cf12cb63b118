"""Make MLflow agree with dvc.lock: one run for every model, baseline and search.

DVC runs it as `python stages/run.py tracking.track`. Run it by hand (`srn sync`) after commands
that change data/ without running stages: `dvc pull`, `dvc checkout`. Existing runs are left
alone, so a second call writes nothing. `srn check` never writes; it lists differences.
"""

from stages.shared.command import run_as_command, show
from stages.shared.errors import show_address
from stages.tracking.leaderboards import champion_problem, list_registrations, read_champions
from stages.tracking.mlflow_sync.commits import find_branch, find_commit, name_variants
from stages.tracking.mlflow_sync.runs import RunSpec
from stages.tracking.mlflow_sync.store import find_database, find_uri, lock_store, open_store
from stages.tracking.mlflow_sync.sync import (
    compare_runs,
    describe_states,
    find_champion_differences,
    note_agreement,
    outdated_store,
    still_agrees,
    sync,
    sync_champions,
)
from stages.tracking.pages import rank_runs, sync_pages
from stages.tracking.run_specs import check_dvc_listings, list_run_specs


def _list_differences(uri: str, specs: list[RunSpec]) -> list[str]:
    """List what a sync would change, or could not change; writes nothing."""
    database = find_database(uri)
    registrations = list_registrations(specs)
    if database and not database.exists():
        states, leftovers = compare_runs(None, specs)
        aliases: dict[str, str] = {}
    else:
        with open_store(uri) as store:
            states, leftovers = compare_runs(store, specs)
            aliases = find_champion_differences(store, registrations)
    differences = describe_states(states, leftovers)
    for name, difference in aliases.items():
        if uri.startswith("http"):  # where a promotion under review does not move the alias
            show(f"{name}: {difference}")
        else:
            differences.append(f"{name}: {difference}")
    md5s = {path: md5 for spec in specs for path, md5 in spec.md5s.items()}
    champions = read_champions()
    for one in registrations:
        champion, problem = champions[one.name], champion_problem(one)
        if problem and any(md5s.get(path) != md5 for path, md5 in champion.data_files.items()):
            # for example the sample instead of the official data
            show(f"{problem}: it was chosen on other data ({champion.data})")
        elif problem:
            differences.append(f"{problem}: `srn promote {one.name}`")
    return differences


def is_up_to_date() -> bool:
    """Return whether a sync would do nothing, as far as is known without opening the store."""
    return still_agrees(find_uri(), _list_digests(list_run_specs(), find_commit()))


def _list_digests(specs: list[RunSpec], commit: str | None) -> list[str]:
    """List digests of everything that a sync writes."""
    digests = [digest for spec in specs for digest in (spec.key, spec.display_digest)]
    for one in list_registrations(specs):
        digests += [one.name, one.champion, one.spec.key if one.spec else "", one.reason]
    return [*digests, str(bool(commit))]


def main(check: bool = False, new: bool = False, champions: bool = False) -> None:
    """Bring the store up to date, or list where it is not.

    Args:
        check: only list differences.
        new: create the SQLite file of the address if it does not exist.
        champions: also move the alias `champion` on a server.

    Raises:
        InputError: if the store cannot be used, or something of dvc.lock cannot be tracked.
    """
    check_dvc_listings()
    specs = list_run_specs()
    uri = find_uri()
    if check:
        differences = _list_differences(uri, specs)
    else:
        with lock_store(uri), open_store(uri, to_write=True, to_make=new) as store:
            commit = find_commit()
            ranked = rank_runs(name_variants(specs))
            differences = sync(store, ranked, commit, find_branch())
            sync_pages(store, specs)
            registrations = list_registrations(specs)
            sync_champions(store, registrations, champions or store.is_local)
            for one in registrations:
                problem = champion_problem(one)
                if problem:
                    show(f"{problem}, so that MLflow's alias stays")
            if not differences:
                note_agreement(uri, _list_digests(specs, commit))
    if differences:
        raise outdated_store(uri, differences)
    print(f"MLflow at {show_address(uri)}: {len(specs)} runs for this dvc.lock")


if __name__ == "__main__":
    run_as_command(main)
