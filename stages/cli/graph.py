"""The graph of stages as DVC reads it: which have to run, and in which order."""

import logging
from collections.abc import Iterable
from typing import Any

from stages.cli.dvc_internals import params_read_once
from stages.shared.errors import InputError

Graph = dict[str, set[str]]  # stage -> stages that it reads from

_PIPELINE = "dvc.yaml"
FIRST = "follow_imports"  # after it DVC knows which stages an edit of code has changed
LAST = "track"  # reads the outs of all others, so it runs last


class Pipeline:
    """The stages of dvc.yaml, read once by DVC.

    Stages of other files that these read from are included, such as the files of `dvc add`. The
    stages of searches/dvc.yaml are not: `srn search` runs them.

    Attributes:
        graph: the stages with their upstream stages, in the order of dvc.yaml.
    """

    def __init__(self) -> None:
        """Have DVC read dvc.yaml, params.yaml and dvc.lock.

        Raises:
            InputError: if DVC cannot, or another dvc is at work.
        """
        from dvc.exceptions import DvcException  # takes half a second, which `--help` does not need
        from dvc.repo import Repo

        self.graph: Graph = {}
        self._stages: dict[str, Any] = {}
        logging.getLogger("dvc").setLevel(
            logging.CRITICAL
        )  # no progress bars, as with `dvc --quiet`
        try:
            with params_read_once(), Repo() as self._repo, self._repo.lock:
                index = self._repo.index
                found = [stage for stage in index.stages if stage.path_in_repo == _PIPELINE]
                for stage in found:  # the list grows in the loop
                    upstream = list(index.graph[stage])
                    self.graph[stage.addressing] = {above.addressing for above in upstream}
                    self._stages[stage.addressing] = stage
                    found += [above for above in upstream if above.path_in_repo != _PIPELINE]
        except DvcException as error:
            raise InputError(_format(error)) from None

    def find_changed(self, stages: Iterable[str]) -> set[str]:
        """Return which of these stages DVC would run now. None may have run since they were read.

        Raises:
            InputError: if DVC cannot read a file, or another dvc is at work.
        """
        from dvc.exceptions import DvcException

        changed: set[str] = set()
        try:
            with params_read_once(), self._repo, self._repo.lock:
                for stage in stages:  # repo.status would read all files again
                    changed.update(self._stages[stage].status())
        except DvcException as error:
            raise InputError(_format(error)) from None
        return changed

    def find_command(self, stage: str) -> str:
        """Return the command of a stage in dvc.yaml, with its templates filled in."""
        command: str = self._stages[stage].cmd
        return command


def _format(error: Exception) -> str:
    """Format an error of DVC as one line."""
    return f"DVC: {' '.join(str(error).split())}"


def find_stale(graph: Graph, changed: set[str]) -> Graph:
    """Return the part of the graph that may have to run: changed stages and all downstream."""
    stale = find_downstream(changed & graph.keys(), graph)
    stale.discard(LAST)
    return {stage: upstream & stale for stage, upstream in graph.items() if stage in stale}


def find_downstream(stages: set[str], graph: Graph) -> set[str]:
    """Return these stages and all that read from them, directly or not."""
    found = set(stages)
    size = -1
    while size != len(found):  # until nothing is added
        size = len(found)
        for stage, upstream in graph.items():
            if upstream & found:
                found.add(stage)
    return found


def find_chain(stage: str, waiting: Graph, done: set[str]) -> list[str]:
    """Return a stage and those that the same process can run after it, while only one follows.

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
