"""Resolve merge conflicts in dvc.lock and champions.yaml: `srn merge`.

To be run when `git merge` or `git rebase` has stopped. Both files are merged entry by entry (by
stage and by leaderboard); conflicts in params.yaml and dvc.yaml are left to the user. Then the
results of both sides are fetched, and the stages that have to run again are listed. As git's merge
driver, `srn merge --files BASE OURS THEIRS PATH` merges one file: see docs/team.md.
"""

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
from stages.tracking.mlflow_sync.commits import run_git

_BY_HAND = ("params.yaml", "dvc.yaml", "searches/params.yaml", "searches/dvc.yaml")


@dataclass(frozen=True)
class _Merged:
    """A merged file.

    Attributes:
        text: content of the file, with our entry where both sides have changed it.
        taken: names of the entries that come from theirs.
        conflicts: names of the entries that both sides have changed differently.
    """

    text: str
    taken: list[str]
    conflicts: list[str]


def merge_texts(path: str, base: str, ours: str, theirs: str) -> _Merged:
    """Merge a dvc.lock by stage, or champions.yaml by leaderboard.

    Args:
        path: path of the file in the repository.
        base: content in the common ancestor; empty if the file did not exist.
        ours: content on our side.
        theirs: content on their side.

    Raises:
        InputError: if a text was not written by DVC or `srn promote`.
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
    entries, taken, conflicts = _merge_entries(*sides)
    # the first and last stage run after each merge of params anyway
    return _Merged(write(entries), taken, [name for name in conflicts if name not in (FIRST, LAST)])


def _read_side(path: Path) -> str:
    """Read a file that git gives to a merge driver."""
    try:
        return read_file(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}): see docs/team.md for --files") from None


def _parse_champions(text: str) -> dict[str, Any] | None:
    """Return the entries of champions.yaml; None if it is damaged."""
    try:
        entries = parse_yaml(text) or {}
    except ValueError:
        return None
    is_mapping = isinstance(entries, dict) and all(isinstance(name, str) for name in entries)
    return entries if is_mapping else None


def _merge_entries(
    base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
) -> tuple[dict[str, Any], list[str], list[str]]:
    """Take each entry from the side that has changed it.

    Returns:
        The entries, the names of those taken from theirs, and the names of conflicts.
    """
    merged, taken, conflicts = {}, [], []
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
            merged[name] = chosen
    return merged, taken, conflicts


def _merge_index() -> None:
    """Merge the conflicting dvc.lock and champions.yaml of git's index.

    Raises:
        InputError: if one of them cannot be merged, or another file has conflicts.
    """
    unmerged = (run_git("diff", "--name-only", "--relative", "--diff-filter=U") or "").splitlines()
    for path in unmerged:
        if Path(path).name not in ("dvc.lock", CHAMPIONS):
            continue
        sides = [run_git("show", f":{side}:./{path}") for side in (1, 2, 3)]
        merged = merge_texts(path, *(f"{side}\n" if side else "" for side in sides))
        with replacing(Path(path)) as new:
            new.write_text(merged.text, encoding="utf-8")
        run_git("add", path)
        show(f"{path}: {len(merged.taken)} entries come from the other side")
        for name in merged.conflicts:
            advice = "and it runs again if params.yaml is not ours"
            if Path(path).name == CHAMPIONS:
                advice = f"`srn promote {name}` takes the best"
            show(f"{path}: {name} was changed on both sides: ours stays, {advice}")
    by_hand = [path for path in unmerged if path in _BY_HAND]
    if by_hand:
        raise InputError(
            f"{by_hand[0]} has conflict markers: to have the models of both sides keep the entries "
            f"of both and remove the markers, `git add {by_hand[0]}`, then `srn merge` again"
        )


def _find_rerun() -> list[str]:
    """Run the first stage, and list the stages after it that have to run, except tracking.

    Raises:
        InputError: if DVC cannot read its files.
    """
    if not run_module("dvc", "repro", "--quiet", "--single-item", FIRST):
        raise InputError(f"{FIRST} failed: see above")
    pipeline = Pipeline()
    return sorted(pipeline.find_changed(pipeline.graph.keys() - {LAST}))


def main(files: list[Path | str] | None) -> None:
    """Merge, fetch, and list the stages that have to run.

    Args:
        files: base, ours, theirs and the path in the repository, as git gives them to a merge
            driver; ours is overwritten. None merges the files in git's index.

    Raises:
        InputError: if the user has to resolve a conflict.
    """
    if files:
        base, ours, theirs = (_read_side(Path(file)) for file in files[:3])
        merged = merge_texts(str(files[3]), base, ours, theirs)
        with replacing(Path(files[1])) as new:
            new.write_text(merged.text, encoding="utf-8")
        if merged.conflicts:
            names = ", ".join(merged.conflicts)
            raise InputError(f"{files[3]}: both sides have changed {names}: type `srn merge`")
        return
    _merge_index()
    for name in ("dvc.yaml", "params.yaml", "dvc.lock"):
        read_yaml(name)  # an error if it has conflict markers
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
