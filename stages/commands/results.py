"""Print what came out, as far as it is here: `python -m stages.commands.results`.

The scores of every model beside its baselines, what each classifier answers to the names that the
walk-through asks about, and what each recurrent layer takes and gives.
"""

from collections.abc import Sequence
from pathlib import Path

from stages.commands.text import align
from stages.shared.errors import exit_on_input_error
from stages.shared.tables import Rows, read_table
from stages.tracking.metrics import Metrics, read_metrics
from stages.tracking.ranking import list_scored
from stages.tracking.subjects import TOUR

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


def print_scores() -> None:
    """Print two tables, mean squared errors and shares."""
    for task, columns, digits in (("sine", SINE, ".2g"), ("surnames", SURNAMES, ".3f")):
        models = {model.name: read_metrics(model.name) for model in list_scored(task)}
        rows = list_rows(models, columns, digits)
        if rows:
            header = ("data", "kind", "model", *columns)
            print(f"\n{task}\n{align([header, *rows])}")


def print_answers() -> None:
    """Print the language that each classifier answers to each name."""
    answers = {}
    for model in list_scored("surnames"):
        path = Path("data/evaluated", model.name, "asked.csv")
        if path.exists():
            answers[model.name] = read_table(path)
    if answers:
        title = "asked: the likeliest language and its log-probability"
        print(f"\n{title}\n{align(list_answers(answers))}")


def list_answers(answers: dict[str, Rows]) -> list[Row]:
    """A header and one row a query.

    Args:
        answers: asked.csv by the name of the model.
    """
    best: dict[str, dict[str, str]] = {}  # query -> model -> cell
    for model, rows in answers.items():
        for row in rows:
            if row["rank"] == "1":
                cell = f"{row['language']} {float(row['log_probability']):.2f}"
                best.setdefault(row["query"], {})[model] = cell
    table: list[Row] = [("query", *answers)]
    for query, cells in best.items():
        table.append((query, *(cells.get(model, "-") for model in answers)))
    return table


def print_tour() -> None:
    """Print what each recurrent layer takes and gives."""
    path = Path(TOUR, "layers.csv")
    if path.exists():
        rows: list[Row] = [("module", "input", "output", "final states")]
        for row in read_table(path):
            shapes = (row["input_shape"], row["output_shape"], row["state_shapes"])
            rows.append((row["module"], *shapes))
        print(f"\nlayers\n{align(rows)}")


def main() -> None:
    """Print all that is here."""
    print_scores()
    print_answers()
    print_tour()


if __name__ == "__main__":
    with exit_on_input_error():
        main()
