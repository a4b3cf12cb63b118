"""Compare the runs of two local MLflow stores: `python -m benchmarks.compare_stores A.db B.db`.

After a change of stages/tracking, fill one store by the commit before and one by that after it,
MLFLOW_TRACKING_URI=sqlite:////tmp/a/mlflow.db srn sync --new, and compare them: name, params,
metrics with steps, tags, artifacts, data sets and files of the model have to be the same. Of code,
which such a change may touch, the names are compared.
"""

import hashlib
import sqlite3
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

# they hold ids, addresses, or the format of what is shown
NOT_COMPARED = {
    "sync.display_digest",
    "sync.package_md5",
    "mlflow.source.git.commit",
    "mlflow.parentRunId",
}
NAMES_ONLY = {"MLmodel", "checksums.json"}  # of a model: files that hold ids and times

Runs = dict[tuple[str, str], dict[str, Any]]  # experiment and name -> what a run has


def read_runs(database: Path) -> Runs:
    """All active runs; of two with one name and experiment the later one."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:

        def select(query: str, *values: str) -> list[Any]:
            return store.execute(query, values).fetchall()

        runs = {}
        for run_id, name, experiment, address, status in select(
            "select run_uuid, r.name, e.name, artifact_uri, status from runs r "
            "join experiments e using (experiment_id) "
            "where r.lifecycle_stage = 'active' order by start_time"
        ):
            models = select(
                "select artifact_location from logged_models where source_run_id = ?", run_id
            )
            runs[experiment, name] = {
                "status": status,
                "params": dict(select("select key, value from params where run_uuid = ?", run_id)),
                "metrics": {
                    (key, step): value
                    for key, value, step in select(
                        "select key, value, step from metrics where run_uuid = ?", run_id
                    )
                },
                "tags": {
                    key: value
                    for key, value in select(
                        "select key, value from tags where run_uuid = ?", run_id
                    )
                    if key not in NOT_COMPARED
                },
                "artifacts": _read_files(address) | {"lineage.json": ""},
                "data sets": dict(
                    select(
                        "select d.name, d.digest from inputs i "
                        "join datasets d on i.source_id = d.dataset_uuid "
                        "where i.destination_id = ?",
                        run_id,
                    )
                ),
                "model": {
                    path: md5
                    for [location] in models
                    for path, md5 in _read_model(location).items()
                },
            }
    return runs


def _read_files(address: str) -> dict[str, str]:
    """Md5 of each file below an address of artifacts, by path."""
    folder = Path(url2pathname(urlparse(address).path))
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): _md5(path.read_bytes()) for path in files}


def _read_model(address: str) -> dict[str, str]:
    """The same of a model, with the files in its package."""
    folder = Path(url2pathname(urlparse(address).path))
    md5s = _read_files(address)
    for name in [name for name in md5s if name.endswith(".zip")]:
        md5s[name] = ""
        with zipfile.ZipFile(folder / name) as package:
            for member in package.namelist():
                md5s[f"{name}/{member}"] = _md5(package.read(member))
    for name in md5s:
        if name in NAMES_ONLY or name.endswith(".py"):
            md5s[name] = ""
    return md5s


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def list_differences(first: Runs, second: Runs) -> list[str]:
    """One line per run and kind of content that differs."""
    differences = []
    for key in sorted({*first, *second}):
        title = " / ".join(key)
        if key not in first or key not in second:
            differences.append(f"{title}: only in the {'first' if key in first else 'second'}")
            continue
        for kind, values in first[key].items():
            other = second[key][kind]
            if values == other:
                continue
            if not isinstance(values, dict):
                differences.append(f"{title}: {kind} {values}, {other}")
                continue
            names = [
                str(name)
                for name in sorted({*values, *other}, key=str)
                if values.get(name) != other.get(name)
            ]
            differences.append(f"{title}: {kind} differ: {', '.join(names[:5])}")
    return differences


def main(first: str, second: str) -> None:
    """Print the differences; the exit status is 1 if there are some."""
    runs = [read_runs(Path(path)) for path in (first, second)]
    differences = list_differences(*runs)
    for line in differences:
        print(line)
    print(f"{len(differences)} differences between {len(runs[0])} and {len(runs[1])} runs")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main(*sys.argv[1:])
