"""Unite the two sides of a merge in dvc.lock and champions.yaml, which nobody writes by hand.

`srn merge`, where `git merge` or `git rebase` has stopped: entries that only one side has changed
are taken from there, by stage and by leaderboard. params.yaml and dvc.yaml are left to the person.
Then the results of both sides are fetched, and what has to run again is listed. As git's merge
driver, `srn merge --files BASE OURS THEIRS PATH` unites one file: see docs/team.md.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.cli import pull
from stages.cli.graph import FIRST, LAST, Pipeline
from stages.cli.jobs import run_module
from stages.cli.repro import lock_workspace
from stages.shared.command import show
from stages.shared.dvc_pipeline import join_lock, read_dvc_config, split_lock
from stages.shared.errors import InputError
from stages.shared.files import read_file, replacing
from stages.shared.yaml_files import parse_yaml, read_yaml
from stages.tracking.leaderboards import CHAMPIONS, format_champions

_BY_HAND = ("params.yaml", "dvc.yaml", "searches/params.yaml", "searches/dvc.yaml")


@dataclass(frozen=True)
class _United:
    """A file of both sides.

    Attributes:
        text: of the file; of an entry that both sides have changed it has ours.
        taken: names of the entries that were taken from theirs.
        conflicts: names of the entries that both sides have changed, each in its way.
    """

    text: str
    taken: list[str]
    conflicts: list[str]


def unite_file(path: str, base: str, ours: str, theirs: str) -> _United:
    """Unite a dvc.lock by stage, or champions.yaml by leaderboard.

    Args:
        path: of the file in the repository.
        base: its text in the commit from which both sides come; empty, if it was not there.
        ours: its text on this side.
        theirs: its text on the other side.

    Raises:
        InputError: a text is none that DVC or `srn promote` has written.
    """
    parse: Callable[[str], dict[str, Any] | None]
    parse, write = split_lock, join_lock
    if Path(path).name == CHAMPIONS:
        parse, write = _parse_champions, format_champions
    sides = []
    for text in (base, ours, theirs):
        entries = parse(text) if text else {}
        if entries is None:
            raise InputError(f"{path} was edited by hand on one side: resolve it in an editor")
        sides.append(entries)
    entries, taken, conflicts = _unite(*sides)
    # these two run after each merge of params anyway
    return _United(write(entries), taken, [name for name in conflicts if name not in (FIRST, LAST)])


def _read_side(path: Path) -> str:
    """The text of a file on one side.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return read_file(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}): see docs/team.md for --files") from None


def _parse_champions(text: str) -> dict[str, Any] | None:
    """The entries of champions.yaml; None, if it is damaged."""
    try:
        entries = parse_yaml(text) or {}
    except ValueError:
        return None
    is_mapping = isinstance(entries, dict) and all(isinstance(name, str) for name in entries)
    return entries if is_mapping else None


def _unite(
    base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
) -> tuple[dict[str, Any], list[str], list[str]]:
    """Take each entry from the side that has changed it; returns those taken and conflicts too."""
    united, taken, conflicts = {}, [], []
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        before, mine, other = base.get(name), ours.get(name), theirs.get(name)
        chosen = mine
        if mine == before and other != before:
            chosen = other
            taken.append(name)
        elif other not in (mine, before):
            conflicts.append(name)
            chosen = mine or other
        if chosen is not None:
            united[name] = chosen
    return united, taken, conflicts


def _run_git(*arguments: str) -> str:
    """What git prints; empty, where it fails."""
    command = ["git", *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8").stdout


def _unite_index() -> None:
    """Unite the files that git's index has in three versions.

    Raises:
        InputError: one of them cannot be united.
    """
    unmerged = _run_git("diff", "--name-only", "--relative", "--diff-filter=U").splitlines()
    for path in unmerged:
        if Path(path).name not in ("dvc.lock", CHAMPIONS):
            continue
        base, ours, theirs = (_run_git("show", f":{side}:./{path}") for side in (1, 2, 3))
        united = unite_file(path, base, ours, theirs)
        with replacing(Path(path)) as new:
            new.write_text(united.text, encoding="utf-8")
        _run_git("add", path)
        show(f"{path}: {len(united.taken)} entries are those of the other side")
        for name in united.conflicts:
            show(f"{path}: {name} was changed on both sides: ours stays, {_advise(path, name)}")
    by_hand = [path for path in unmerged if path in _BY_HAND]
    if by_hand:
        raise InputError(
            f"{by_hand[0]} has conflict markers: to have the models of both sides keep the entries "
            f"of both and remove the markers, `git add {by_hand[0]}`, then `srn merge` again"
        )


def _advise(path: str, name: str) -> str:
    if Path(path).name == CHAMPIONS:
        return f"`srn promote {name}` takes the best"
    return "and it runs again if params.yaml is not ours"


def _find_rerun() -> list[str]:
    """Stages that have to run, but for tracking; the first one has run then.

    Raises:
        InputError: DVC cannot read its files.
    """
    if not run_module("dvc", "repro", "--quiet", "--single-item", FIRST):
        raise InputError(f"{FIRST} failed: see above")
    pipeline = Pipeline()
    return sorted(pipeline.find_changed(pipeline.graph.keys() - {LAST}))


def main(files: list[Path | str] | None) -> None:
    """Unite, fetch, and list what has to run.

    Args:
        files: base, ours, theirs and the path in the repository, as git gives them to a merge
            driver; ours is written. None: the files of git's index.

    Raises:
        InputError: a file is left to the person.
    """
    if files:
        base, ours, theirs = (_read_side(Path(file)) for file in files[:3])
        united = unite_file(str(files[3]), base, ours, theirs)
        with replacing(Path(files[1])) as new:
            new.write_text(united.text, encoding="utf-8")
        if united.conflicts:
            names = ", ".join(united.conflicts)
            raise InputError(f"{files[3]}: both sides have changed {names}: type `srn merge`")
        return
    _unite_index()
    for name in ("dvc.yaml", "params.yaml", "dvc.lock"):
        read_yaml(name)  # without conflict markers
    if read_dvc_config()["core"].get("remote"):
        pull.main()
    else:
        run_module("dvc", "checkout", "--quiet", "--allow-missing")
    with lock_workspace():
        rerun = _find_rerun()
    if rerun:
        show(f"{len(rerun)} stages and what reads them have to run: {', '.join(rerun)}")
    else:
        print(f"nothing but {LAST} has to run")
    print("Next: `make repro`, then `git add --update` and `git commit`")
