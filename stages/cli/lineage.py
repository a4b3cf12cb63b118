"""Print where a model comes from, from its data to its run in MLflow: `srn lineage MODEL`."""

from stages.cli.text import align
from stages.shared.command import show
from stages.shared.errors import InputError, hide_secrets, show_address
from stages.tracking.mlflow_sync.dvc_files import Stage, find_entry
from stages.tracking.mlflow_sync.runs import RunSpec
from stages.tracking.mlflow_sync.store import find_database, find_uri, open_store
from stages.tracking.run_specs import read_lock, read_models

_Row = tuple[str, str, str]  # path, md5, the stage that made it


def trace(model: RunSpec) -> list[_Row]:
    """Return the files that a model depends on, in the order in which they were written.

    Raises:
        InputError: if dvc.lock has a cycle.
    """
    makers = {}
    for stage in read_lock().values():
        for path in stage.outs:
            makers[path] = stage
    last = model.stages.get("evaluate", model.first_stage)
    rows: list[_Row] = []
    _add_origins([last], makers, rows)
    for path, md5 in last.outs.items():
        if path.endswith((".json", ".pt")):
            rows.append((path, md5, last.name))
    return rows


def _add_origins(stages: list[Stage], makers: dict[str, Stage], rows: list[_Row]) -> None:
    """Add the files that the last of these stages has read, after the files they depend on.

    Raises:
        InputError: if dvc.lock has a cycle.
    """
    for path, md5 in stages[-1].deps.items():
        made = find_entry(path, makers) or path  # a file may be in a folder that is an out
        is_known = any(made == row[0] for row in rows)
        if is_known or not path.startswith("data/"):
            continue
        if made in makers:
            maker = makers[made]
            if maker in stages:
                raise InputError(f"{maker.lock}: {maker.name} reads what is made from its outs")
            _add_origins([*stages, maker], makers, rows)
            rows.append((made, maker.outs[made], maker.name))
        else:
            rows.append((made, md5, "given"))


def main(name: str) -> None:
    """Print the lineage of one model, and the address of its run.

    Raises:
        InputError: if dvc.lock has no such model.
    """
    models = {model.name: model for model in read_models()}
    if name not in models:
        raise InputError(f"dvc.lock has no model {name}: choose one of {', '.join(models)}")
    rows = trace(models[name])
    # two lines each, to fit a terminal
    made = align([(f"  {md5}", stage) for _, md5, stage in rows]).splitlines()
    for (path, _, _), line in zip(rows, made, strict=True):
        show(f"{path}\n{line}")
    uri = find_uri()
    database = find_database(uri)
    runs = []
    if not database or database.exists():
        with open_store(uri) as store:
            runs = store.find_runs(models[name].key)
    if not runs:
        print(f"\nrun is missing in {show_address(uri)}: run `make sync`")
        return
    run = runs[0].info
    page = f"#/experiments/{run.experiment_id}/runs/{run.run_id}"
    if uri.startswith("http"):
        print(f"\nrun {hide_secrets(uri.rstrip('/'))}/{page}")
    else:
        show(f"\nrun {run.run_id}\n  {show_address(uri)}")
        print(f"  http://127.0.0.1:5000/{page} after `make ui`")
