"""Which stages have to run, and in which order they may: the graph that DVC sees."""

import logging
from collections.abc import Iterable
from typing import Any

from stages.cli.dvc_internals import params_read_once
from stages.shared.errors import InputError

Graph = dict[str, set[str]]  # stage -> stages that it reads from

_PIPELINE = "dvc.yaml"
FIRST = "follow_imports"  # only after it DVC sees which stages an edit of code has changed
LAST = "track"  # reads what all others write, so it runs once they have


class Pipeline:
    """The stages of dvc.yaml as DVC has read them, once; whether they have changed is asked anew.

    With those of other files that they read from, such as the data of a `dvc add`. The other stages
    of searches/dvc.yaml are left out: they run when they are asked for.

    Attributes:
        graph: the stages with their upstream stages, in the order of dvc.yaml.
    """

    def __init__(self) -> None:
        """Have DVC read dvc.yaml, params.yaml and dvc.lock.

        Raises:
            InputError: DVC cannot, or another dvc is at work.
        """
        from dvc.exceptions import DvcException  # half a second that `--help` need not wait for
        from dvc.repo import Repo

        self.graph: Graph = {}
        self._stages: dict[str, Any] = {}
        logging.getLogger("dvc").setLevel(logging.CRITICAL)  # no bars, as under `dvc --quiet`
        try:
            with params_read_once(), Repo() as self._repo, self._repo.lock:
                index = self._repo.index
                found = [stage for stage in index.stages if stage.path_in_repo == _PIPELINE]
                for stage in found:  # which grows
                    upstream = list(index.graph[stage])
                    self.graph[stage.addressing] = {above.addressing for above in upstream}
                    self._stages[stage.addressing] = stage
                    found += [above for above in upstream if above.path_in_repo != _PIPELINE]
        except DvcException as error:
            raise InputError(_format(error)) from None

    def find_changed(self, stages: Iterable[str]) -> set[str]:
        """Those of some stages that DVC would run now, none of which has run since it was read.

        Raises:
            InputError: DVC cannot read a file, or another dvc is at work.
        """
        from dvc.exceptions import DvcException

        changed: set[str] = set()
        try:
            with params_read_once(), self._repo, self._repo.lock:
                for stage in stages:  # repo.status would read all files once more
                    changed.update(self._stages[stage].status())
        except DvcException as error:
            raise InputError(_format(error)) from None
        return changed

    def find_command(self, stage: str) -> str:
        """The command of a stage by dvc.yaml, its templates filled in."""
        command: str = self._stages[stage].cmd
        return command


def _format(error: Exception) -> str:
    """What DVC says, in one line."""
    return f"DVC: {' '.join(str(error).split())}"


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
