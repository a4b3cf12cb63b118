"""The note on the page of a run, in Markdown."""

from stages.searching.outcome import Best
from stages.shared.tables import Rows
from stages.tracking.scores import Scores, list_labels, name_interval

SEARCH = "recipes drawn at random, trained, and scored on validation alone"


def describe_model(
    name: str, description: str, architecture: str, scores: Scores, baselines: dict[str, Scores]
) -> str:
    """What system it is, on which data, and how it compares with baselines."""
    lines = [f"**{name}** ({architecture}): {description}", ""]
    for label, value in list_labels(scores).items():
        lines.append(f"- {label}: {value}")
    lines.append("")
    lines += _tabulate_scores({name: scores} | baselines)
    return "\n".join(lines)


def describe_baseline(name: str, description: str, method: str, scores: Scores) -> str:
    """What is done without a network, on which data, and how well."""
    lines = [f"**{name}**: {description}", "", f"- data: {scores['data']}", ""]
    lines += _tabulate_scores({method: scores})
    return "\n".join(lines)


def describe_search(name: str, best: Best) -> str:
    """What was searched, and what is best beside the base."""
    base = "failed" if best.value_of_base is None else f"{best.value_of_base:.4g}"
    lines = [
        f"**{name}**: {SEARCH}, on top of {best.base} ({best.data}).",
        "",
        f"Recipe {best.recipe} is best: {best.score} {best.value:.4g} (the base: {base}).",
        "",
    ]
    for path, value in best.changes.items():
        lines.append(f"- {path}: {value}")
    return "\n".join(lines)


def describe_tour(description: str, norms: Rows, difference: float) -> str:
    """What is toured, how equal cells and layers are, and what is left of each gradient.

    Args:
        description: of the tour.
        norms: gradients.csv, by distance within each case and layer.
        difference: largest one between cells and layers of equal weights.
    """
    last = {(norm["case"], norm["layer"]): norm for norm in norms}
    lines = [
        f"**layer_tour**: {description}",
        "",
        f"Cells and layers of equal weights differ by {difference:.1e} at most.",
        "",
        "| case | layer | distance | spectral norm |",
        "|---|---|---|---|",
    ]
    for norm in last.values():
        value = float(norm["spectral_norm"])
        lines.append(f"| {norm['case']} | {norm['layer']} | {norm['distance']} | {value:.2g} |")
    return "\n".join(lines)


def _tabulate_scores(scored: dict[str, Scores]) -> list[str]:
    """Lines of a table: the test scores that have an interval, a column each.

    Args:
        scored: scores by the name of a model or baseline; those of the first one are listed.
    """
    first = next(iter(scored.values()))
    lines = [
        f"| test score [{name_interval(first)}] | {' | '.join(scored)} |",
        f"|---|{'---|' * len(scored)}",
    ]
    for name in first["intervals"]:
        cells = [format_score(scores, name) for scores in scored.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def format_score(scores: Scores, name: str) -> str:
    """A score with its interval; nothing, if there is none."""
    if name not in scores:
        return ""
    interval = scores.get("intervals", {}).get(name)
    if not interval:
        return f"{scores[name]:.3g}"
    return f"{scores[name]:.3g} [{interval['low']:.3g}, {interval['high']:.3g}]"
