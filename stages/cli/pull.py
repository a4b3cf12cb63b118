"""Download the results of dvc.lock from the team's remote: `make pull`.

`dvc pull` writes to any path that a folder's listing on the remote names. So the listings are
fetched first, and compared with dvc.lock before anything else is fetched or written. DVC compares
the contents of files only if the remote has `verify true`, so they are compared at the end.
"""

from stages.cli.dvc_internals import add_to_cache, read_remote_object, warn_of_another_dvc
from stages.cli.jobs import run_module
from stages.cli.repro import lock_workspace
from stages.shared.dvc_pipeline import find_object, find_objects
from stages.shared.errors import InputError, summarize
from stages.shared.json_files import read_json
from stages.tracking.mlflow_sync.dvc_files import Md5s, listing_problem, workspace_problem
from stages.tracking.run_specs import check_dvc_listings, read_dvc_folders, read_lock


def fetch_listings(folders: Md5s) -> None:
    """Fetch the listings of folders that are not in DVC's cache, and check their md5s.

    Raises:
        InputError: if the remote cannot be read, or a listing differs from dvc.lock.
    """
    from dvc.repo import Repo

    objects = find_objects()
    with Repo() as repo:
        for folder, md5 in folders.items():
            path = find_object(md5, objects)
            if path.exists():
                continue
            try:
                listing = read_remote_object(repo, md5)
            except FileNotFoundError:
                continue  # `dvc fetch` reports all missing files
            except Exception as error:  # each kind of remote has errors of its own
                raise InputError(f"the remote cannot be read: {summarize(error)}") from None
            problem = listing_problem(listing, md5)
            if problem:
                raise InputError(
                    f"the remote's listing of {folder} ({md5}) {problem}: it was changed or "
                    "damaged there; delete it, and `dvc push` where the results are"
                )
            add_to_cache(repo, md5, listing, path)


def _list_missing() -> list[str]:
    """List the files and folders of dvc.lock that are missing or incomplete in DVC's cache."""
    objects = find_objects()
    missing = []
    for stage in read_lock().values():
        for path, md5 in stage.outs.items():
            found = find_object(md5, objects)
            md5s = [md5]
            if md5.endswith(".dir") and found.exists():
                md5s += [entry["md5"] for entry in read_json(found)]
            if not all(find_object(md5, objects).exists() for md5 in md5s):
                missing.append(path)
    return missing


def main() -> None:
    """Fetch the listings and check them, then fetch, check out and compare the files.

    Raises:
        InputError: if a file cannot be fetched or written, or differs from dvc.lock.
    """
    check_dvc_listings()
    warn_of_another_dvc()
    with lock_workspace():
        folders = read_dvc_folders()
        fetch_listings(folders)
        for command in (["fetch"], ["checkout", "--summary"]):
            if not run_module("dvc", *command):
                missing = _list_missing()
                if missing:
                    more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
                    raise InputError(
                        f"{missing[0]}{more} missing or damaged on the remote: ask a teammate "
                        "who has it to `dvc push`, or make it by `make repro`"
                    )
                raise InputError(f"dvc {command[0]} failed: see above")
            check_dvc_listings()
        outs = dict(folders)
        for stage in read_lock().values():
            outs |= stage.outs
        problem = workspace_problem(outs, outs, may_be_missing=True)
        if problem:
            raise InputError(
                f"{problem}; if it is damaged on the remote, delete it there and push it again"
            )
