"""Write the best recipe of a search into params.yaml: `srn adopt sunspots_direct`.

Only values change: comments, order and spacing of params.yaml stay. The entry is listed under
`searched:`, so that `--check` can compare it with the search later.
"""

from typing import Any

from ruamel.yaml import YAML

from stages.searching.outcome import OUTS, Best, read_best
from stages.shared.command import show
from stages.shared.errors import InputError
from stages.shared.files import replacing
from stages.shared.params import PARAMS_FILE, SEARCHES_FILE, read_params
from stages.shared.yaml_files import format_yaml, parse_yaml, read_yaml
from stages.tracking.mlflow_sync.runs import flatten

_ABSENT = "absent"
_CITED = "searched"  # section of params.yaml: entry -> the search that it comes from
_PREFIX = "search_"  # of the section of searches/params.yaml, before the name of the search


def _list_searches() -> str:
    """List the searches of searches/params.yaml, for messages."""
    sections = read_yaml(SEARCHES_FILE)
    return ", ".join(sorted(section.removeprefix(_PREFIX) for section in sections))


def _find_best(search: str) -> Best:
    """Read the best recipe of a search.

    Raises:
        InputError: if there is no such search, or its results are not here.
    """
    if search not in _list_searches().split(", "):
        raise InputError(
            f"{SEARCHES_FILE} has no {_PREFIX}{search}: name one of {_list_searches()}"
        )
    if not (OUTS / search / "best.yaml").exists():
        raise InputError(
            f"{OUTS / search}/best.yaml is missing: run `git checkout {OUTS / search}` or "
            f"`dvc repro searches/dvc.yaml:{_PREFIX}{search}`"
        )
    return read_best(OUTS / search)


def adopt(search: str, best: Best, entry: str) -> list[str]:
    """Write the best recipe of a search into an entry of params.yaml; return the changes.

    Raises:
        InputError: if there is no such entry, or it has a value that the recipe does not have.
    """
    differences = []
    text = PARAMS_FILE.read_text(encoding="utf-8")
    for path, (own, found) in compare(best, entry).items():
        where = f"{best.section}.{entry}.{path}"
        if found == _ABSENT:
            raise InputError(f"{PARAMS_FILE}: {where} is {own}, the recipe has none: remove it")
        text = set_value(text, where.split("."), found)
        differences.append(f"{where}: {own} -> {found}")
    if _CITED in parse_yaml(text):
        text = set_value(text, [_CITED, entry], search)
    else:
        head = f"{_CITED}:  # entry: the search that found its recipe"
        text = f"{text.rstrip()}\n\n{head}\n  {entry}: {search}\n"
    with replacing(PARAMS_FILE) as new:
        new.write_text(text, encoding="utf-8")
    return differences


def compare(best: Best, entry: str) -> dict[str, tuple[Any, Any]]:
    """Compare an entry with the best recipe of a search: path -> own value, value of the recipe.

    The seed is not compared.

    Raises:
        InputError: if there is no such entry.
    """
    found = flatten(best.entry, ".")
    own = flatten(read_params(f"{best.section}.{entry}", dict[str, Any]), ".")
    own.pop("seed", None)
    differing = {}
    for path in found | own:
        values = own.get(path, _ABSENT), found.get(path, _ABSENT)
        if values[0] != values[1]:
            differing[path] = values
    return differing


def set_value(text: str, path: list[str], value: Any) -> str:
    """Change one value of a YAML text and no other character.

    ruamel.yaml can keep comments too, but reformats lists and long lines.

    Raises:
        InputError: if a key of the path, other than the last one, is missing.
    """
    node: Any = YAML(typ="safe", pure=True).compose(text)
    written = format_yaml(value, flow=True).removesuffix("...\n").strip()
    for depth, key in enumerate(path, start=1):
        entries = {name.value: (name, inner) for name, inner in node.value}
        if key in entries:
            node = entries[key][1]
        elif depth == len(path) and entries:
            last = node.value[-1][0].start_mark  # the new entry goes before it
            between = ", " if node.flow_style else "\n" + " " * last.column
            return f"{text[: last.index]}{key}: {written}{between}{text[last.index :]}"
        else:
            raise InputError(f"{PARAMS_FILE} has no {'.'.join(path[:depth])}: add it")
    return text[: node.start_mark.index] + written + text[node.end_mark.index :]


def check() -> None:
    """Print where params.yaml differs from the searches listed under `searched:`.

    Raises:
        InputError: if it differs, or the results of such a search are not here.
    """
    differences = []
    for entry, search in (read_yaml(PARAMS_FILE).get(_CITED) or {}).items():
        best = _find_best(search)
        for path, (own, found) in compare(best, entry).items():
            differences.append(f"{best.section}.{entry}.{path} is {own}, the search found {found}")
    if differences:
        remedy = "adopt again, or take the entry out of `searched:`"
        raise InputError("\n  ".join([f"{PARAMS_FILE} differs, {remedy}:", *differences]))
    print(f"{PARAMS_FILE} agrees with the searches that it cites")


def main(search: str | None, entry: str | None, check_only: bool = False) -> None:
    """Write a recipe into params.yaml, by default into the base of the search, or only check.

    Raises:
        InputError: if there is no such search or entry, or a check found a difference.
    """
    if check_only and not search:
        check()
    elif search and not check_only:
        best = _find_best(search)
        entry = entry or best.base
        for line in adopt(search, best, entry) or [f"{best.section}.{entry} was that already"]:
            show(line)
    else:
        raise InputError(f"name one of {_list_searches()}, or type --check alone")
