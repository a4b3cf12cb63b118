"""Where a model comes from and where it went: `srn lineage MODEL`.

Follows dvc.lock from the scores back to the first data, and on to the run in MLflow.
"""

from stages.cli.text import align
from stages.shared.errors import InputError
from stages.tracking.mlflow_sync.dvc_files import Stage, find_entry
from stages.tracking.mlflow_sync.runs import RunSpec
from stages.tracking.mlflow_sync.store import find_database, find_uri, open_store
from stages.tracking.run_specs import read_lock, read_models

_Row = tuple[str, str, str]  # path, md5, the stage that made it


def trace(model: RunSpec) -> list[_Row]:
    """Data in the order in which it was made."""
    makers = {}
    for stage in read_lock().values():
        for path in stage.outs:
            makers[path] = stage
    last = model.stages.get("evaluate", model.first_stage)
    rows: list[_Row] = []
    _add_origins(last, makers, rows)
    for path, md5 in last.outs.items():
        if path.endswith((".json", ".pt")):
            rows.append((path, md5, last.name))
    return rows


def _add_origins(stage: Stage, makers: dict[str, Stage], rows: list[_Row]) -> None:
    """Add what a stage has read, and before it what that was made from.

    Args:
        stage: whose dependencies are followed.
        makers: path of an out -> the stage that made it.
        rows: what has been found so far.
    """
    for path, md5 in stage.deps.items():
        made = find_entry(path, makers) or path  # a file may be in a folder that is an out
        is_known = any(made == row[0] for row in rows)
        if is_known or not path.startswith("data/"):
            continue
        if made in makers:
            maker = makers[made]
            _add_origins(maker, makers, rows)
            rows.append((made, maker.outs[made], maker.name))
        else:
            rows.append((made, md5, "given"))


def _find_address(model: RunSpec) -> str:
    """Where the run is to be seen."""
    uri = find_uri()
    database = find_database(uri)
    if database and not database.exists():
        return f"is missing: there is no {uri}; run `make sync`"
    with open_store(uri) as store:
        runs = store.find_runs(model.key)
    if not runs:
        return f"is missing in {uri}: run `make sync`"
    run = runs[0].info
    page = f"#/experiments/{run.experiment_id}/runs/{run.run_id}"
    if uri.startswith("http"):
        return f"{uri.rstrip('/')}/{page}"
    return f"{run.run_id} in {uri}; `make ui` shows it at http://127.0.0.1:5000/{page}"


def main(name: str) -> None:
    """Print the lineage of one model.

    Raises:
        InputError: dvc.lock has no such model.
    """
    models = {model.name: model for model in read_models()}
    if name not in models:
        raise InputError(f"dvc.lock has no model {name}: choose one of {', '.join(models)}")
    print(align(trace(models[name])))
    print(f"\nrun {_find_address(models[name])}")
