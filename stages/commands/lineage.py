"""Where a model comes from and where it went: `python -m stages.commands.lineage MODEL`.

Follows dvc.lock from the scores back to the first data, and on to the run in MLflow.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from stages.shared.errors import InputError, exit_on_input_error
from stages.tracking.lockfile import Model, Stage, read_models, read_names, read_stages
from stages.tracking.store import find_uri, is_absent, open_store


def main(name: str) -> None:
    """Print the lineage of one model.

    Raises:
        InputError: dvc.lock has no such model.
    """
    models = {model.name: model for model in read_models()}
    if name not in models:
        raise InputError(f"dvc.lock has no model {name}: choose one of {', '.join(models)}")
    rows = list(trace(models[name]))
    width = max(len(path) for path, _, _ in rows)
    for path, md5, stage in rows:
        print(f"{path:{width}}  {md5:36}  {stage}")
    print(f"\nrun {find_address(models[name])}")


def trace(model: Model) -> Iterator[tuple[str, str, str]]:
    """Data in the order in which it was made: path, md5, the stage that made it."""
    asked = read_names()
    makers = {
        path: stage for name, stage in read_stages().items() if name in asked for path in stage.outs
    }
    seen: set[str] = set()

    def follow(stage: Stage, wanted: list[str]) -> Iterator[tuple[str, str, str]]:
        for path, md5 in stage.deps.items():
            above = [path, *map(str, Path(path).parents)]  # a file may lie in a folder that is out
            made = next((p for p in above if p in makers), path)
            if made in seen or not made.startswith("data/"):
                continue
            seen.add(made)
            if made in makers:
                yield from follow(makers[made], [made])
            else:
                yield path, md5, "given"
        for path in wanted:
            yield path, stage.outs[path], stage.name

    last = model.evaluate or model.train
    yield from follow(last, [path for path in last.outs if path.endswith((".json", ".pt"))])


def find_address(model: Model) -> str:
    """Where the run is to be seen."""
    uri = find_uri()
    if is_absent(uri):
        return f"is missing: there is no {uri}; run `make sync`"
    with open_store(uri) as store:
        runs = store.find_runs(model.key)
        if not runs:
            return f"is missing in {uri}: run `make sync`"
        page = f"#/experiments/{runs[0].info.experiment_id}/runs/{runs[0].info.run_id}"
        if uri.startswith("http"):
            return f"{uri.rstrip('/')}/{page}"
        return f"{runs[0].info.run_id} in {uri}; `make ui` shows it at http://127.0.0.1:5000/{page}"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    return parser.parse_args()


if __name__ == "__main__":
    with exit_on_input_error():
        main(parse_arguments().model)
