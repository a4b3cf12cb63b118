"""The tables of the section `spread`: one row per baseline, classifier or forecaster."""

from collections.abc import Sequence
from typing import Any, TypeVar

from benchmarks import forecasting_spread, surname_spread
from benchmarks.data import Division
from benchmarks.improvements import Improvement, format_improvement
from benchmarks.surname_spread import CHECKPOINTS, STARTS
from benchmarks.table import NOTHING, format_spread, render_grid
from stages.forecasting.assessment import ForecastingEvaluationParams
from stages.shared.params import read_params, read_value
from stages.surnames.assessment import IMPROVED

SCORES = ("accuracy", "macro_f1", "macro_f1_adjusted")  # of the surnames

Result = TypeVar("Result", surname_spread.Result, forecasting_spread.Result)


def tabulate_classifiers(results: list[surname_spread.Result], divisions: list[Division]) -> str:
    """Baselines, then classifiers with their improvements."""
    groups = group_by_name(results)
    baselines = take_out(groups, read_value("surname_baselines.names"))
    take_out(groups, [CHECKPOINTS, STARTS])
    rows = []
    for name, found in baselines.items():
        rows.append([f"*{name}*", *format_scores(found), *[NOTHING] * len(IMPROVED)])
    for name, found in groups.items():
        improvements = surname_spread.measure_improvements(found, baselines, divisions)
        rows.append(
            [f"`{name}`", *format_scores(found), *format_improvements(improvements, IMPROVED)]
        )
    columns = ["classifier", "trainings", *SCORES]
    columns.extend(f"{score}: difference" for score in IMPROVED)
    return render_grid(columns, rows)


def tabulate_rnn(results: list[surname_spread.Result]) -> str:
    """How far surname_rnn moves by itself."""
    groups = group_by_name(results)
    rows = []
    for name in (CHECKPOINTS, STARTS):
        rows.append([name, *format_scores(groups[name])])
    return render_grid(["classifier", "trainings", *SCORES], rows)


def format_scores(results: list[surname_spread.Result]) -> list[str]:
    """Number of trainings, and the spread of each score."""
    scores = [result.scores for result in results]
    return [str(len(results)), *format_spreads(scores, SCORES)]


def tabulate_forecasters(results: list[forecasting_spread.Result]) -> str:
    """Below each series its baselines and its networks."""
    params = read_params("evaluate_forecasters", ForecastingEvaluationParams)
    scores = [f"mse_{horizon}" for horizon in params.horizons]
    validated = [f"mse_{horizon}" for horizon in params.validation_horizons]
    by_series: dict[str, list[forecasting_spread.Result]] = {}
    for result in results:
        by_series.setdefault(result.series, []).append(result)
    rows = []
    for series, found in by_series.items():
        rows.append([f"**{series}**"])
        rows.extend(tabulate_series(found, scores, validated))
    columns = ["forecaster", "scored", *scores]
    columns.extend(f"validation: {score}" for score in validated)
    columns.extend(f"{score}: difference" for score in validated)
    return render_grid(columns, rows)


def tabulate_series(
    results: list[forecasting_spread.Result], scores: list[str], validated: list[str]
) -> list[list[str]]:
    """Baselines, then networks with their improvements.

    Args:
        results: of one series.
        scores: on test.
        validated: scores that validation has too.
    """
    groups = group_by_name(results)
    names = read_value("forecasting_baselines")
    baselines = take_out(groups, [*names["names"], *names["periodic_names"]])
    rows = []
    for name, found in baselines.items():
        rows.append(
            [f"*{name}*", *format_errors(found, scores, validated), *[NOTHING] * len(validated)]
        )
    for name, found in groups.items():
        improvements = forecasting_spread.measure_improvements(found, baselines)
        cells = format_errors(found, scores, validated)
        rows.append([f"`{name}`", *cells, *format_improvements(improvements, validated)])
    return rows


def format_errors(
    results: list[forecasting_spread.Result], scores: list[str], validated: list[str]
) -> list[str]:
    """Number of trainings and draws, and the spread of each error on test and validation."""
    on_test, on_validation = [], []
    for result in results:
        on_test.append(result.scores)
        on_validation.append(result.scores["validation"])
    spreads = format_spreads(on_test, scores) + format_spreads(on_validation, validated)
    return [str(len(results)), *spreads]


def group_by_name(results: list[Result]) -> dict[str, list[Result]]:
    """The results of each name, in their order."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.name, []).append(result)
    return groups


def take_out(groups: dict[str, list[Result]], names: list[str]) -> dict[str, list[Result]]:
    """Remove some names and give them, in their order."""
    taken = {}
    for name in names:
        if name in groups:
            taken[name] = groups.pop(name)
    return taken


def format_spreads(results: list[dict[str, Any]], scores: Sequence[str]) -> list[str]:
    """Median and range of each score."""
    cells = []
    for score in scores:
        cells.append(format_spread([of_one[score] for of_one in results]))
    return cells


def format_improvements(improvements: dict[str, Improvement], scores: Sequence[str]) -> list[str]:
    """The improvement in each score."""
    return [format_improvement(improvements[score]) for score in scores]
