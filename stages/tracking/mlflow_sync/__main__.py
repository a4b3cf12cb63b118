"""Make MLflow agree with the dvc.lock of any DVC repository.

`python -m stages.tracking.mlflow_sync plan` prints the runs that there would be, `sync` makes them,
`check` lists differences. See docs/any-pipeline.md.
"""

import argparse
import os
import shlex
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    # before the imports, which take a second, so that Ctrl-C gives no traceback
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
if os.name != "posix":  # file locks of Linux and macOS
    sys.exit("error: this runs on Linux and macOS; on Windows use WSL")

from stages.shared.command import run_as_command, show
from stages.shared.errors import InputError, show_address
from stages.tracking.mlflow_sync.commits import (
    check_out,
    find_branch,
    find_commit,
    find_project_name,
    find_time,
    list_revisions,
    name_variants,
    run_git,
)
from stages.tracking.mlflow_sync.infer import infer_specs, read_pipeline
from stages.tracking.mlflow_sync.runs import RunSpec, run_problem
from stages.tracking.mlflow_sync.store import find_database, find_uri, lock_store, open_store
from stages.tracking.mlflow_sync.sync import compare_runs, describe_states, outdated_store, sync


def main(command: str, new: bool = False, exps: bool = False, rev: list[str] | None = None) -> None:
    """Print, compare or make the runs of the repository in the working folder.

    Args:
        command: `plan`, `check` or `sync`.
        new: create the SQLite file of MLFLOW_TRACKING_URI if it does not exist.
        exps: also plan or make the runs of all DVC experiments.
        rev: also plan or make the runs of these ranges of commits.

    Raises:
        InputError: if there is no pipeline, the store cannot be used, or MLflow does not agree.
    """
    _enter_repository()
    pipeline = read_pipeline(_list_pipelines())
    specs = infer_specs(pipeline)
    if not specs:
        raise InputError(
            "no stage in dvc.lock has metrics: list a file under `metrics:` in dvc.yaml, and run "
            "`dvc repro`"
        )
    revisions = list_revisions(rev or [], exps)
    if command == "plan":
        for revision, made in revisions.items():
            with _check_out_specs(revision, made) as (_, earlier):
                _print_plan(earlier)
        _print_plan(specs)
        if pipeline.missing:
            show(_wrap(f"not in dvc.lock, run `dvc repro`: {', '.join(pipeline.missing)}"))
        return
    uri, project = find_uri(), find_project_name()
    database = find_database(uri)
    if command == "sync":
        os.environ.setdefault("DVC_ROOT", str(Path.cwd()))  # for state files in .dvc/tmp
        differences = []
        with lock_store(uri), open_store(uri, True, new, project) as store:
            for revision, made in revisions.items():
                with _check_out_specs(revision, made) as (variant, earlier):
                    kept = sync(store, earlier, revision, is_current=False)
                differences += [f"{variant}: {line}" for line in kept]
            differences += sync(store, name_variants(specs), find_commit(), find_branch())
    elif database and not database.exists():
        differences = describe_states(*compare_runs(None, specs))
    else:
        with open_store(uri, project=project) as store:
            differences = describe_states(*compare_runs(store, specs))
    if differences:
        raise outdated_store(uri, differences)
    num_runs = f"{len(specs)} run{'s' if len(specs) > 1 else ''}"
    show(f"MLflow at {show_address(uri)}: {num_runs} for this dvc.lock")
    if command == "sync" and database:
        show(f"mlflow ui --backend-store-uri {shlex.quote(uri)}  # shows them")


@contextmanager
def _check_out_specs(commit: str, experiment: str) -> Iterator[tuple[str, list[RunSpec]]]:
    """Work in a checkout of a commit; yield the variant in the names of its runs, and their specs.

    Args:
        commit: the commit.
        experiment: its name if it is a DVC experiment, otherwise "".
    """
    if experiment:
        os.environ["DVC_EXP_NAME"] = experiment
    variant = experiment or commit[:7]
    with check_out(commit):
        specs = infer_specs(read_pipeline(_list_pipelines()), made=find_time(commit))
        yield variant, [replace(spec, variant=variant) for spec in specs]
    os.environ.pop("DVC_EXP_NAME", None)


def _enter_repository() -> None:
    """Change to the folder with .dvc, this one or one above."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".dvc").is_dir():
            os.chdir(folder)
            return
    raise InputError(f"{here} is not in a DVC repository: change to one, or run `dvc init`")


def _list_pipelines() -> list[Path]:
    """List all dvc.yaml files that git knows, that of the top folder first."""
    listed = run_git("ls-files", "--cached", "--others", "--exclude-standard", "*dvc.yaml") or ""
    found = {Path(line) for line in listed.splitlines() if Path(line).name == "dvc.yaml"}
    if Path("dvc.yaml").exists() or not found:
        found.add(Path("dvc.yaml"))
    return sorted(found, key=lambda path: (len(path.parts), path))


def _print_plan(specs: list[RunSpec]) -> None:
    """Print the runs that a sync would make, and what is missing for them."""
    for spec in specs:
        lines = [
            f"{spec.experiment} / {spec.title}",
            f"  stages: {', '.join(spec.stages)}",
            f"  params: {', '.join(spec.params) or 'none'}",
            f"  data: {', '.join(spec.data) or 'none that DVC keeps'}",
            f"  found by: {', '.join(spec.results)}",
            f"  shown: {', '.join(spec.shown)}",
        ]
        if problem := run_problem(spec):
            lines.append(f"  cannot be made: {problem}")
        show("\n".join(map(_wrap, lines)))


def _wrap(line: str) -> str:
    """Wrap a line to the width of a terminal, without breaking names."""
    indent = "      "
    return textwrap.fill(
        line, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _read_command_line() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m stages.tracking.mlflow_sync", description=__doc__
    )
    commands = {
        "plan": "print the runs that a sync would make, without a store",
        "check": "list differences between MLflow and dvc.lock, write nothing",
        "sync": "make MLflow agree with dvc.lock",
    }
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, text in commands.items():
        argument = subparsers.add_parser(name, help=text, description=text).add_argument
        if name != "check":
            argument("--exps", action="store_true", help="also the experiments of `dvc exp run`")
            text = "also the runs of earlier commits: HEAD~3..HEAD, or a branch"
            argument("--rev", nargs="+", metavar="RANGE", help=text)
        if name == "sync":
            text = "create the SQLite file of MLFLOW_TRACKING_URI if it is missing"
            argument("--new", action="store_true", help=text)
    main(**vars(parser.parse_args()))


if __name__ == "__main__":
    run_as_command(_read_command_line)
