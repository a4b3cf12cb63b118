"""The command `srn` and its subcommands; also `python -m stages.cli`.

It works in any folder of the repository. Files given as arguments are relative to that folder.
"""

import argparse
import gc
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from stages.run import put_repository_last

ROOT = Path(__file__).parents[2]

_MOST_DIGITS = 9  # of a number


class _Parser(argparse.ArgumentParser):
    """A parser with short error messages, whatever was typed."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with status 2."""
        from stages.shared.errors import clean_message

        super().error(clean_message(message))


def _count(text: str) -> int:
    """Parse a positive integer."""
    if len(text) > _MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"must have at most {_MOST_DIGITS} digits, got {text}")
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return int(text)


def _port(text: str) -> int:
    """Parse a TCP port."""
    if len(text) > _MOST_DIGITS or not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"must be from 1 to 65535, got {text}")
    return int(text)


def _share(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return share


def _file(text: str) -> Path:
    """Parse a path, relative to the folder in which the command was typed."""
    return Path(text).absolute()


def _new_csv(text: str) -> Path:
    """Parse the path of a CSV file to write."""
    path = _file(text)
    if path.suffix != ".csv":
        raise argparse.ArgumentTypeError(f"{text} must be a .csv file")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder: name a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent} is not a folder: create it first")
    return path


def _make_parser() -> argparse.ArgumentParser:
    """Make the parser; its result has the module of a subcommand and the arguments of `main`."""
    parser = _Parser("srn", description="Small recurrent networks with DVC, MLflow")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, module: str, text: str) -> Callable[..., argparse.Action]:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(module=module)
        return command.add_argument

    jobs = {"dest": "num_jobs", "type": _count, "default": os.cpu_count(), "metavar": "N"}

    argument = add("repro", "cli.repro", "run what changed, track it, print the results")
    argument("--jobs", help="stages at a time (default: all cores)", **jobs)

    add("pull", "cli.pull", "download the results of dvc.lock from the remote, checked")

    argument = add("sync", "tracking.track", "make MLflow agree with dvc.lock")
    argument("--new", action="store_true", help="make the SQLite file if it is missing")
    argument("--champions", action="store_true", help="move the alias champion on a server too")

    add("check", "tracking.track", "list differences between MLflow and dvc.lock, write nothing")
    commands.choices["check"].set_defaults(check=True)

    add("results", "cli.results", "print the scores, the best first")

    argument = add("ui", "cli.ui", "show the runs in MLflow, the best first")
    argument("--port", type=_port, default=5000, help="default: 5000")

    from_mlflow = "take the champion's weights from MLflow, checked by the md5s of champions.yaml"
    argument = add("promote", "cli.promote", "make the best model on validation the champion")
    argument("leaderboard", metavar="surnames|SERIES")
    argument("--force", action="store_true", help="even if the champion is better")

    argument = add(
        "predict", "cli.predict", "predict the languages of surnames, or your own labels"
    )
    argument("names", nargs="*", metavar="NAME")
    text = "table with a column `name`; writes CSV_predicted.csv beside it, or --out"
    argument("--file", type=_file, metavar="CSV", help=text)
    argument("--out", type=_new_csv, help="CSV file to write")
    text = "mark predictions with a lower probability than P"
    argument("--unsure", type=_share, default=0.0, metavar="P", help=text)
    choice = commands.choices["predict"].add_mutually_exclusive_group()
    choice.add_argument(
        "--model", help="a model of dvc.lock (default: the champion, or else the best)"
    )
    choice.add_argument("--from-mlflow", action="store_true", help=from_mlflow)
    argument("--top", type=_count, default=3, help="languages per name (default: 3)")
    shown = commands.choices["predict"].add_mutually_exclusive_group()
    text = "the network's log-probabilities"
    shown.add_argument("--log", dest="as_log", action="store_true", help=text)
    text = "print JSON, a list with one object per name"
    shown.add_argument("--json", dest="as_json", action="store_true", help=text)
    text = (
        "as published: log-probabilities of surname_rnn; default names: those of the walk-through"
    )
    shown.add_argument("--walkthrough", dest="as_published", action="store_true", help=text)

    argument = add("forecast", "cli.forecast", "forecast one or many series of a CSV file")
    text = "history (default: the file of the series in params.yaml)"
    argument("source", type=_file, metavar="CSV", nargs="?", help=text)
    argument("--from-mlflow", action="store_true", help=from_mlflow)
    choice = commands.choices["forecast"].add_mutually_exclusive_group()
    choice.add_argument("--series", help="the champion of this series, or its best model")
    choice.add_argument("--model", help="a model of dvc.lock")
    argument("--column", help="column of samples (default: from params.yaml)")
    argument("--time", help="column of times (default: from params.yaml)")
    argument("--out", type=_new_csv, help="CSV file to write (default: beside the input)")
    argument(
        "--horizon", type=_count, help="steps ahead (default: as many as have prediction intervals)"
    )
    argument(
        "--level",
        dest="levels",
        nargs="+",
        type=int,
        choices=(50, 60, 70, 80, 90, 95, 99),
        help="levels of prediction intervals, in percent (default: 80)",
    )
    argument("--as-scored", action="store_true", help="do not fit the model to the whole file")
    argument(
        "--force",
        action="store_true",
        help="even if the history differs from what the model was scored on",
    )

    argument = add("lineage", "cli.lineage", "follow a model from its data to its run")
    argument("name", metavar="MODEL")

    argument = add("merge", "cli.merge", "merge dvc.lock and champions.yaml in a git merge")
    text = "files that git passes to a merge driver"
    argument("--files", nargs=4, metavar=("BASE", "OURS", "THEIRS", "PATH"), help=text)

    argument = add(
        "prune", "cli.prune", "list files that removed models have left, and delete them"
    )
    text = "also runs and experiments of models that no branch or commit has"
    argument("--mlflow", action="store_true", help=text)
    argument("--yes", action="store_true", help="do not ask")

    argument = add(
        "verify", "cli.verify", "train the models of dvc.lock again and compare the bytes"
    )
    argument("names", nargs="*", metavar="MODEL", help="default: all")
    argument("--jobs", help="trainings at a time (default: all cores)", **jobs)

    argument = add(
        "search", "cli.search", "search for recipes, as described in searches/params.yaml"
    )
    argument("--jobs", help="trials at a time (default: all cores)", **jobs)

    argument = add("adopt", "cli.adopt", "take the best recipe of a search into params.yaml")
    argument(
        "search", nargs="?", help="name of the search in searches/params.yaml, without search_"
    )
    argument("entry", nargs="?", help="entry of params.yaml (default: the base of the search)")
    argument("--check", dest="check_only", action="store_true", help="write nothing")
    return parser


def _call_subcommand() -> None:
    """Call the `main` of a subcommand's module, with the repository as working folder."""
    call = vars(_make_parser().parse_args())
    from stages.cli.jobs import exit_on_signals  # not needed for --help or wrong arguments
    from stages.shared.die_with_parent import die_with_starter

    module = call.pop("module")
    if os.environ.get("SURNAMES_ZIP"):
        os.environ["SURNAMES_ZIP"] = str(_file(os.environ["SURNAMES_ZIP"]))
    if call.get("files"):  # the last is a name in the repository
        call["files"][:3] = map(_file, call["files"][:3])
    os.chdir(ROOT)
    exit_on_signals()
    # started by hand, with nohup, it may outlive the shell
    if module == "cli.repro" and "MAKELEVEL" in os.environ:
        die_with_starter()
    importlib.import_module(f"stages.{module}").main(**call)


def main() -> None:
    """Run the command; an InputError is printed as one line."""
    put_repository_last()
    from stages.shared.command import run_as_command

    run_as_command(_call_subcommand)
    gc.freeze()  # skips the search for garbage in PyTorch at exit: 0.4 s


if __name__ == "__main__":
    main()
