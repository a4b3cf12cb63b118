"""The note on the page of a run, in Markdown."""

from stages.shared.tables import Rows
from stages.tracking.metrics import Metrics, list_labels
from stages.tracking.subjects import Model, Subject


def describe_model(model: Model, architecture: str, metrics: Metrics) -> str:
    """Say what system it is, on which data, and how it compares with baselines."""
    lines = [f"**{model.name}** ({architecture}): {model.description}", ""]
    for label, value in list_labels(metrics).items():
        lines.append(f"- {label}: {value}")
    lines.append("")
    lines += tabulate_baselines(metrics)
    return "\n".join(lines)


def describe_tour(tour: Subject, norms: Rows, difference: float) -> str:
    """Say what is toured, how equal cells and layers are, and what is left of each gradient.

    Args:
        tour: whose note it is.
        norms: gradients.csv, by distance within each case and layer.
        difference: largest one between cells and layers of equal weights.
    """
    last = {(norm["case"], norm["layer"]): norm for norm in norms}
    lines = [
        f"**{tour.name}**: {tour.description}",
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
