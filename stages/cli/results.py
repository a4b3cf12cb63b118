"""Print the results of the workspace: `srn results`.

First the scores of all models, the best on validation first, with the best baseline of their data.
Then the answers of each classifier to the queries of the walk-through, and the input, output and
weight shapes of each recurrent layer. All tables fit 100 columns.
"""

from pathlib import Path

from stages.cli.text import align
from stages.shared.command import show
from stages.shared.errors import InputError
from stages.shared.tables import Rows, read_table
from stages.tracking.leaderboards import (
    Ranking,
    Scores,
    find_ranking,
    find_scores,
    list_scored,
    list_scores,
    read_baseline_scores,
    read_scores,
)
from stages.tracking.mlflow_sync.runs import RunSpec
from stages.tracking.run_specs import TOUR, format_modules, read_models

# score in scores.json -> the two header lines of its column
_Columns = dict[str, tuple[str, str]]
FORECASTER_COLUMNS: _Columns = {
    "validation/mse_500": ("validation", "500 steps"),
    "mse_500": ("test", "500"),
    "mse_49": ("test", "49"),
    "mse_5000": ("test", "5000"),
    "walkthrough_mse": ("walk-", "through"),  # of one forecast, without interval
}
CLASSIFIER_COLUMNS: _Columns = {
    "validation/macro_f1": ("validation", "macro F1"),
    "macro_f1": ("test", "macro F1"),
    "macro_f1_adjusted": ("", "adjusted"),
    "accuracy": ("", "accuracy"),
    "top3_accuracy": ("", "top 3"),
}
_TABLES = {  # task -> title, columns, format of a score and of half its interval
    "forecasting": ("mean squared errors", FORECASTER_COLUMNS, (".2g", ".1g")),
    "surnames": ("shares of names", CLASSIFIER_COLUMNS, (".3f", ".3f")),
}

_COVERAGE = "interval_coverage"  # only of series from files

_Row = tuple[str, ...]
_Digits = tuple[str, str]


def rank(models: dict[str, Scores], score: str, sign: int) -> list[str]:
    """Sort the names of models by a score, the best first, those without it last.

    A sign of 1 means that more is better, -1 that less is.
    """
    keys = {}
    for name, scores in models.items():
        numbers = list_scores(scores)
        keys[name] = (score not in numbers, -sign * numbers.get(score, 0.0))
    return sorted(models, key=keys.__getitem__)


def list_rows(
    models: dict[str, Scores],
    beside: dict[str, dict[str, Scores]],
    ranking: Ranking,
    columns: _Columns,
    digits: _Digits,
) -> list[_Row]:
    """Make the rows of a table: the models of each data set, ranked, then the best baseline.

    Args:
        models: name -> scores.
        beside: data set -> baseline -> scores; none if the best baseline is one of the models.
        ranking: the score that ranks models; the best is marked.
        columns: scores to show.
        digits: formats of a score and of half its interval.
    """
    by_data: dict[str, dict[str, Scores]] = {}
    for name, scores in models.items():
        by_data.setdefault(scores["data"], {})[name] = scores
    rows = []
    for data, found in by_data.items():
        for number, name in enumerate(rank(found, ranking.validation, ranking.sign)):
            mark = " " if number else "*"
            method = found[name].get("baseline")
            title = f"{mark} {method} ({data})" if method else f"{mark} {name}"
            rows.append(_make_row(title, found[name], columns, digits))
        baselines = beside.get(data, {})
        for best in rank(baselines, ranking.validation, ranking.sign)[:1]:
            rows.append(_make_row(f"   {data}: {best}", baselines[best], columns, digits))
    return rows


def _make_row(title: str, scores: Scores, columns: _Columns, digits: _Digits) -> _Row:
    """Make a row: the title, and one cell per column, a dash if there is no such score."""
    numbers = list_scores(scores)
    intervals = scores.get("intervals", {})
    cells = [title]
    for column in columns:
        cell = format(numbers[column], digits[0]) if column in numbers else "-"
        if column in intervals:
            half = (intervals[column]["high"] - intervals[column]["low"]) / 2
            cell += f" ±{format(half, digits[1])}"
        cells.append(cell)
    return tuple(cells)


def _print_scores(models: list[RunSpec]) -> None:
    """Print one table per task, and one per series from a file, since horizons differ."""
    for task, (title, columns, digits) in _TABLES.items():
        common: dict[str, Scores] = {}
        observed: dict[str, dict[str, Scores]] = {}  # by series
        for model in list_scored(task, models):
            scores = read_scores(task, model.name)
            if _COVERAGE in scores:
                # intervals of these only, to stay within 100 columns
                shown = ("mase_", "owa")
                kept = {
                    name: of for name, of in scores["intervals"].items() if name.startswith(shown)
                }
                of_series = observed.setdefault(scores["data"], {})
                of_series[model.name] = scores | {"intervals": kept}
            else:
                common[model.name] = scores
        if common:
            _print_table(task, f"{task}: {title}", common, columns, digits)
        for series, scored in observed.items():
            is_panel = "num_series" in next(iter(scored.values()))
            title = f"{series}: MASE and {'sMAPE' if is_panel else 'squared errors'}"
            _print_table(task, title, scored, list_columns(scored), (",.4g", ",.4g"))


def _print_table(
    task: str, title: str, scored: dict[str, Scores], columns: _Columns, digits: _Digits
) -> None:
    """Print one table of scores."""
    ranking = find_ranking(task, next(iter(scored.values())))
    top, bottom = zip(*columns.values(), strict=True)
    # the best baseline of a series is itself a model
    data = {scores["data"] for scores in scored.values()} if task == "surnames" else set()
    header = [("model", *top), ("   data: best baseline" if data else "", *bottom)]
    beside = {name: read_baseline_scores(task, name) for name in data}
    rows = list_rows(scored, beside, ranking, columns, digits)
    show(f"\n{title} ± half of the 95 % interval; best by {ranking.validation} first")
    show(align([*header, *rows]))


def list_columns(scored: dict[str, Scores]) -> _Columns:
    """Return the columns for a series from a file, the longest horizon first."""
    scores = next(iter(scored.values()))
    ranking = find_ranking("forecasting", scores)
    longest = ranking.horizon
    columns = {
        ranking.validation: ("validation", f"MASE {longest}"),
        ranking.test: ("test", f"MASE {longest}"),
    }
    for score in scores:
        kind, _, horizon = score.rpartition("_")
        if kind in ("mse", "smape"):
            columns[score] = ("", f"{'MSE' if kind == 'mse' else 'sMAPE'} {horizon}")
    if "owa" in scores:
        columns["owa"] = ("", "OWA")
    columns[_COVERAGE] = ("interval", "coverage")
    count = "num_series" if "num_series" in scores else "origins"
    columns[count] = ("from", count.removeprefix("num_"))
    return columns


def list_answers(answers: dict[str, Rows]) -> list[_Row]:
    """Make a header and one row per model and rank, from the rows of queries.csv by model."""
    queries = list(dict.fromkeys(row["query"] for rows in answers.values() for row in rows))
    table: list[_Row] = [("model", *queries)]
    for model, rows in answers.items():
        cells: dict[str, dict[str, str]] = {"1": {}}  # rank -> query -> cell
        for row in rows:
            cell = f"{row['language']} {float(row['log_probability']):.2f}"
            cells.setdefault(row["rank"], {})[row["query"]] = cell
        for rank, of_rank in cells.items():
            title = model if rank == "1" else ""
            table.append((title, *(of_rank.get(query, "-") for query in queries)))
    return table


def main() -> None:
    """Print all results.

    Raises:
        InputError: if there are none.
    """
    models = read_models()
    layers = Path(TOUR, "layers.csv")
    has_scores = any(list_scored(task, models) for task in _TABLES)
    if not has_scores and not layers.exists():
        raise InputError(
            "there are no results yet: `make repro` makes them in minutes, or `make pull` fetches "
            "them if `dvc remote list` names a remote"
        )
    _print_scores(models)
    answers = {}
    for model in list_scored("surnames", models):
        path = find_scores("surnames", model.name).with_name("queries.csv")
        if path.exists():
            answers[model.name] = read_table(path)
    if answers:
        title = "queries: the likeliest languages and their log-probabilities"
        show(f"\n{title}\n{align(list_answers(answers))}")
    if layers.exists():
        rows = read_table(layers)
        table: list[_Row] = [("count module", "input", "output", "final states")]
        for row in rows:
            shapes = (row["input_shape"], row["output_shape"], row["state_shapes"])
            table.append((f"{row['parameters']:>5} {format_modules(row)}", *shapes))
        title, *lines = align(table).splitlines()
        heading = (
            "layers, each after its number of parameters, and below it the shapes of its weights"
        )
        show(f"\n{heading}\n{title}")
        for line, row in zip(lines, rows, strict=True):
            show(f"{line}\n    {row['weight_shapes']}")
