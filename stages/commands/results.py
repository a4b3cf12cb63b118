"""Print the scores of every model beside its baselines: `python -m stages.commands.results`."""

from collections.abc import Sequence

from stages.commands.text import align
from stages.shared.errors import exit_on_input_error
from stages.tracking.metrics import Metrics, read_metrics
from stages.tracking.ranking import list_scored

SINE = ("document_mse", "one_step_mse", "free_run_mse_49", "free_run_mse_500", "free_run_mse_5000")
SURNAMES = (
    "accuracy",
    "top3_accuracy",
    "balanced_accuracy",
    "macro_f1",
    "accuracy_corrected",
    "macro_f1_corrected",
    "nll",
    "ece",
)

Row = tuple[str, ...]


def list_rows(models: dict[str, Metrics], columns: Sequence[str], digits: str) -> list[Row]:
    """For each data set its baselines, once, and then the networks.

    Args:
        models: metrics by the name of the model.
        columns: scores to show.
        digits: format of a number.
    """
    rows = set()
    for model, metrics in models.items():
        data = metrics["data"]
        rows.add(make_row([data, "network", model], metrics, columns, digits))
        for baseline, scores in metrics["baselines"].items():
            rows.add(make_row([data, "baseline", baseline], scores, columns, digits))
    return sorted(rows)


def make_row(cells: list[str], scores: Metrics, columns: Sequence[str], digits: str) -> Row:
    """One cell more a column, a dash where there is no such score."""
    for column in columns:
        cells.append(format(scores[column], digits) if column in scores else "-")
    return tuple(cells)


def main() -> None:
    """Print two tables, mean squared errors and shares."""
    for task, columns, digits in (("sine", SINE, ".2g"), ("surnames", SURNAMES, ".3f")):
        models = {model.name: read_metrics(model.name) for model in list_scored(task)}
        rows = list_rows(models, columns, digits)
        if rows:
            header = ("data", "kind", "model", *columns)
            print(f"\n{task}\n{align([header, *rows])}")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
