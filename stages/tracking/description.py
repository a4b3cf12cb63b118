"""The note on the page of a run, in Markdown."""

import ast
from pathlib import Path

from stages.tracking.content import Content
from stages.tracking.metrics import Metrics, list_labels


def describe(name: str, content: Content) -> str:
    """Say what system it is, on which data, and how it compares with baselines."""
    architecture = content.config.architecture
    lines = [f"**{name}** ({architecture}): {read_summary(architecture)}", ""]
    for label, value in list_labels(content.metrics).items():
        lines.append(f"- {label}: {value}")
    lines.append("")
    lines += tabulate_baselines(content.metrics)
    return "\n".join(lines)


def read_summary(architecture: str) -> str:
    """The first paragraph of the docstring of an architecture's module."""
    source = Path(f"stages/models/{architecture}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or architecture
    return docstring.split("\n\n")[0]


def tabulate_baselines(metrics: Metrics) -> list[str]:
    """Lines of a table: each test score that a baseline has too."""
    baselines = metrics["baselines"]
    lines = [
        f"| score | model | {' | '.join(baselines)} |",
        f"|---|---|{'---|' * len(baselines)}",
    ]
    for name, score in metrics.items():
        beside = [scores.get(name) for scores in baselines.values()]
        if any(value is not None for value in beside):
            cells = [_say_score(value) for value in [score, *beside]]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _say_score(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
