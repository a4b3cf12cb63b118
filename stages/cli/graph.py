"""Which stages have to run, and in which order they may: the graph that DVC sees."""

from stages.cli.dvc_internals import params_read_once
from stages.shared.errors import InputError

Graph = dict[str, set[str]]  # stage -> stages that it reads from

_PIPELINE = "dvc.yaml"
FIRST = "follow_imports"  # only after it DVC sees which stages an edit of code has changed
LAST = "track"  # reads what all others write, so it is left to the final `dvc repro`


def read_graph() -> tuple[Graph, set[str]]:
    """The stages with their upstream stages, in the order of dvc.yaml, and the changed ones.

    Those of searches/dvc.yaml are left out: they run when they are asked for.

    Raises:
        InputError: DVC cannot read its files, or another dvc is at work on them.
    """
    from dvc.exceptions import DvcException  # half a second that `--help` need not wait for
    from dvc.repo import Repo

    graph: Graph = {}
    changed = set()
    try:
        with params_read_once(), Repo() as repo, repo.lock:
            for stage in repo.index.stages:  # repo.status would read all files once more
                if stage.path_in_repo == _PIPELINE:
                    upstream = repo.index.graph[stage]
                    graph[stage.addressing] = {above.addressing for above in upstream}
                    changed.update(stage.status())
    except DvcException as error:
        raise InputError(f"DVC: {' '.join(str(error).split())}") from None
    return graph, changed


def find_stale(graph: Graph, changed: set[str]) -> Graph:
    """The part of the graph that may have to run: changed stages and all that reads from them."""
    stale = find_downstream(changed & graph.keys(), graph)
    stale.discard(LAST)
    return {stage: upstream & stale for stage, upstream in graph.items() if stage in stale}


def find_downstream(stages: set[str], graph: Graph) -> set[str]:
    """Stages and all that reads from them, directly or not."""
    found = set(stages)
    size = -1
    while size != len(found):  # until a round finds no more
        size = len(found)
        for stage, upstream in graph.items():
            if upstream & found:
                found.add(stage)
    return found


def find_chain(stage: str, waiting: Graph, done: set[str]) -> list[str]:
    """A stage and those that the same process can run after it, as long as just one follows.

    A dvc process costs a second to start, more than most stages need.
    """
    chain = [stage]
    while True:
        reached = done | set(chain)
        ready = []
        for candidate, upstream in waiting.items():
            if chain[-1] in upstream and upstream <= reached:
                ready.append(candidate)
        if len(ready) != 1:
            return chain
        chain += ready
