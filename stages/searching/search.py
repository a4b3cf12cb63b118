"""A search: draw recipes, train each with every seed, score them on validation, keep the best."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.searching.outcome import (
    FAILURE,
    LABELS,
    SCORE,
    Best,
    is_error,
    write_best,
    write_losses,
    write_trials,
)
from stages.searching.spaces import (
    Changes,
    SearchParams,
    change_entry,
    draw_recipes,
    find_value,
)
from stages.searching.trials import Identity, Result, Trial, find_place, keep_result, read_result
from stages.searching.workers import run_side_by_side
from stages.shared.errors import InputError
from stages.shared.params import SEARCHES_FILE, check_params, read_value
from stages.shared.training_loop import FitParams


@dataclass(frozen=True)
class Task:
    """What differs between the searches.

    Args:
        section: of searches/params.yaml.
        entries: section of params.yaml that has the base.
        schema: of an entry.
        scores: on validation, that a trial gives.
        data: official, sample, custom, or the series.
        attempt: trains and scores; a pure function that another process can call.
    """

    section: str
    entries: str
    schema: type[FitParams]
    scores: list[str]
    data: str
    attempt: Callable[[Any], Result]


def attempt_trial(attempt: Callable[[Any], Result], trial: Trial) -> Result:
    """The result of a trial, also of one that failed: a loss that blew up is an answer too."""
    try:
        return attempt(trial.params)
    except InputError as error:
        return Result(failure=str(error))


def list_trials(task: Task, params: SearchParams) -> list[Trial]:
    """Every recipe with every seed, by recipe and seed.

    Raises:
        InputError: a recipe that cannot be trained, or a score that there is not.
    """
    where = f"params.yaml: {task.entries}.{params.base}"
    base = read_value(f"{task.entries}.{params.base}")
    section = f"{SEARCHES_FILE}: {task.section}"
    for key, value in (("architecture", params.architecture), ("series", params.series)):
        if base.get(key) != value:
            raise InputError(f"{section}.{key} is {value}, {where} has {base.get(key)}: correct it")
    if params.score not in task.scores:
        raise InputError(f"{section}.score: choose one of {', '.join(task.scores)}")
    trials = []
    for number, changes in enumerate(draw_recipes(params)):
        for seed in sorted(params.seeds):
            entry = change_entry(base, changes | {"seed": seed}, f"{section}.space")
            trials.append(Trial(number, check_params(entry, task.schema, where)))
    return trials


def finish_trials(
    task: Task, params: SearchParams, trials: list[Trial], surroundings: Identity
) -> list[Result]:
    """The results of all trials: those that are kept, and those that are made now.

    Raises:
        InputError: Ctrl-C, or there are no workers.
    """
    places = [find_place(trial, surroundings) for trial in trials]
    results = [read_result(place) for place in places]
    missing = [number for number, result in enumerate(results) if result is None]
    calls = [partial(attempt_trial, task.attempt, trials[number]) for number in missing]
    num_kept = len(trials) - len(missing)
    print(f"{task.section}: {len(trials)} trials, {num_kept} of them done before", flush=True)
    with tqdm(total=len(trials), initial=num_kept, desc=task.section, disable=None) as bar:
        show_best(bar, params, results)
        try:
            for call, result in run_side_by_side(calls, trials[0].params.device):
                keep_result(places[missing[call]], result)
                results[missing[call]] = result
                bar.update()
                show_best(bar, params, results)
        except KeyboardInterrupt:
            raise InputError("stopped; what is done is kept, the same command goes on") from None
    return [result for result in results if result is not None]


def show_best(bar: Any, params: SearchParams, results: Iterable[Result | None]) -> None:
    """Put the best score of a trial so far behind the bar."""
    values = [r.scores[params.score] for r in results if r and not r.failure]
    if values:
        best = min(values) if is_error(params.score) else max(values)
        bar.set_postfix({f"best {params.score}": f"{best:.4g}"})


def find_best(task: Task, params: SearchParams, trials: list[Trial], results: list[Result]) -> Best:
    """The recipe with the best mean over the seeds; the first of equals.

    Raises:
        InputError: none was trained with all seeds.
    """
    values: dict[int, list[float]] = {}
    for trial, result in zip(trials, results, strict=True):
        if not result.failure:
            values.setdefault(trial.recipe, []).append(result.scores[params.score])
    means = {}
    for recipe, scores in values.items():
        if len(scores) == len(params.seeds):
            means[recipe] = sum(scores) / len(scores)
    if not means:
        raise InputError(f"no recipe could be trained with all seeds: {results[-1].failure}")
    sign = 1 if is_error(params.score) else -1
    best = min(means, key=lambda recipe: sign * means[recipe])
    changes = draw_recipes(params)[best]
    entry = change_entry(read_value(f"{task.entries}.{params.base}"), changes, task.section)
    del entry["seed"]
    return Best(
        params.base, task.data, best, changes, entry, params.score, means[best], means.get(0)
    )


def tabulate_trials(
    task: Task, space: Iterable[str], trials: list[Trial], results: list[Result]
) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of trials.csv: the params that are drawn, the scores, why there are none."""
    paths = list(space)
    scores = [f"{SCORE}{score}" for score in task.scores]
    rows = []
    for trial, result in zip(trials, results, strict=True):
        entry = trial.params.model_dump()
        row: list[Any] = [trial.recipe, trial.params.seed]
        row += [find_value(entry, path) for path in paths]
        row += [result.scores.get(score) for score in task.scores]
        rows.append([*row, result.failure])
    return [*LABELS, *paths, *scores, FAILURE], rows


def tabulate_losses(trials: list[Trial], results: list[Result]) -> list[list[Any]]:
    """Rows of curves.csv."""
    rows: list[list[Any]] = []
    for trial, result in zip(trials, results, strict=True):
        for iteration, loss in zip(result.iterations, result.losses, strict=True):
            rows.append([trial.recipe, trial.params.seed, iteration, loss])
    return rows


def say_best(best: Best) -> str:
    """One line."""
    base = "failed" if best.value_of_base is None else f"{best.value_of_base:.4g}"
    changes: Changes | str = best.changes or "as it is"
    return f"best: recipe {best.recipe}, {best.score} {best.value:.4g} (base: {base}): {changes}"


def search(task: Task, params: SearchParams, surroundings: Identity, out: Path) -> None:
    """Write what a search found; the same params, data and code give the same bytes.

    Args:
        task: what is tried.
        params: how.
        surroundings: what all trials depend on beside their recipe.
        out: folder.
    """
    trials = list_trials(task, params)
    results = finish_trials(task, params, trials, surroundings)
    best = find_best(task, params, trials, results)
    out.mkdir(parents=True, exist_ok=True)
    write_trials(out, *tabulate_trials(task, params.space, trials, results))
    write_losses(out, tabulate_losses(trials, results))
    write_best(out, best)
    print(say_best(best))
