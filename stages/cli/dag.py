"""Draw the stages in README.md, one box for all models of a kind.

`python stages/run.py cli.dag`, what `make dag` calls. `dvc dag` draws one box per model, some
fifty; GitHub renders the block that is written here.
"""

from pathlib import Path

from dvc.repo import Repo

from stages.cli.graph import PIPELINE
from stages.shared.command import run_as_command
from stages.shared.errors import InputError

README = Path("README.md")
FENCE = "```"

Graph = dict[str, set[str]]  # kind of stage -> kinds that it reads from


def read_kinds() -> Graph:
    """The stages of dvc.yaml by kind: `train_forecaster` for every `train_forecaster@<model>`."""
    kinds: Graph = {}
    with Repo() as repo:
        for stage in repo.stage.collect(PIPELINE):
            upstream = kinds.setdefault(find_kind(stage.addressing), set())
            for other in repo.index.graph[stage]:
                upstream.add(find_kind(other.addressing))
    return kinds


def find_kind(stage: str) -> str:
    """Name of a stage without its model."""
    return stage.partition("@")[0]


def list_arrows(kinds: Graph) -> list[tuple[str, str]]:
    """From what is read to who reads it, without arrows that a longer way implies."""
    arrows = []
    for kind, upstream in sorted(kinds.items()):
        implied: set[str] = set()
        for other in upstream:
            implied |= find_ancestors(other, kinds)
        for other in sorted(upstream - implied):
            arrows.append((other, kind))
    return arrows


def find_ancestors(kind: str, kinds: Graph) -> set[str]:
    """All that a kind of stage reads from, directly or not."""
    found: set[str] = set()
    waiting = list(kinds[kind])
    while waiting:
        other = waiting.pop()
        found.add(other)
        waiting.extend(kinds[other])
    return found


def draw_mermaid(kinds: Graph) -> str:
    """The lines between the fences of a mermaid block."""
    lines = ["flowchart LR"]
    for source, reader in list_arrows(kinds):
        lines.append(f"    {source} --> {reader}")
    return "\n".join(lines) + "\n"


def replace_drawing(text: str, drawing: str) -> str:
    """The text with another drawing in its mermaid block.

    Raises:
        InputError: it has no such block.
    """
    before, opening, rest = text.partition(f"{FENCE}mermaid\n")
    _, closing, after = rest.partition(FENCE)
    if not closing:
        raise InputError(f"{README} has no {FENCE}mermaid block to draw in: add an empty one")
    return before + opening + drawing + closing + after


def main() -> None:
    """Write the drawing into README.md."""
    text = README.read_text(encoding="utf-8")
    README.write_text(replace_drawing(text, draw_mermaid(read_kinds())), encoding="utf-8")


if __name__ == "__main__":
    run_as_command(main)
