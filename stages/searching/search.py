"""Random search: draw recipes, train each with every seed, score on validation, keep the best."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.searching.outcome import FAILURE, LABELS, SCORE, Best, is_error, write_best
from stages.searching.spaces import SearchParams, change_entry, draw_recipes, find_value
from stages.searching.trials import (
    Identity,
    Result,
    Trial,
    find_result_path,
    read_result,
    write_result,
)
from stages.searching.workers import run_in_workers
from stages.shared.errors import InputError
from stages.shared.params import SEARCHES_FILE, check_params, read_value
from stages.shared.tables import write_table


@dataclass(frozen=True)
class Task:
    """A search task: the models of surnames or of forecasting."""

    section: str  # section of searches/params.yaml
    entries: str  # section of params.yaml with the base
    schema: Any  # `Params` class of an entry
    scores: list[str]  # names of the validation scores of a trial
    data: str  # official, sample, custom, or the name of the series
    attempt: Callable[[Any], Result]  # train and score, possibly in another process


def _attempt_trial(attempt: Callable[[Any], Result], trial: Trial) -> Result:
    """Run a trial; a failure, such as a diverging loss, is a result too."""
    try:
        return attempt(trial.params)
    except InputError as error:
        return Result(failure=str(error))


def list_trials(task: Task, params: SearchParams) -> list[Trial]:
    """List every recipe with every seed, sorted by recipe and seed.

    Raises:
        InputError: if the params of a recipe are invalid, or there is no such score.
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


def _finish_trials(
    task: Task, params: SearchParams, trials: list[Trial], inputs: Identity
) -> list[Result]:
    """Read the results of earlier trials; run the missing trials and write their results."""
    paths = [find_result_path(trial, inputs) for trial in trials]
    results = [read_result(path) for path in paths]
    missing = [number for number, result in enumerate(results) if result is None]
    calls = [partial(_attempt_trial, task.attempt, trials[number]) for number in missing]
    num_kept = len(trials) - len(missing)
    print(f"{task.section}: {len(trials)} trials, {num_kept} of them done before", flush=True)
    with tqdm(total=len(trials), initial=num_kept, desc=task.section, disable=None) as bar:
        _show_best(bar, params, results)
        try:
            for call, result in run_in_workers(calls, trials[0].params.device):
                write_result(paths[missing[call]], result)
                results[missing[call]] = result
                bar.update()
                _show_best(bar, params, results)
        except KeyboardInterrupt:
            raise InputError(
                "stopped: finished trials are kept, repeat the command to continue"
            ) from None
    return [result for result in results if result is not None]


def _show_best(bar: Any, params: SearchParams, results: Iterable[Result | None]) -> None:
    """Show the best score so far next to the progress bar."""
    values = [r.scores[params.score] for r in results if r and not r.failure]
    if values:
        best = min(values) if is_error(params.score) else max(values)
        bar.set_postfix({f"best {params.score}": f"{best:.4g}"})


def _find_best(
    task: Task, params: SearchParams, trials: list[Trial], results: list[Result]
) -> Best:
    """Return the recipe with the best mean score over the seeds, the first one if equal."""
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
        section=task.entries,
        base=params.base,
        data=task.data,
        recipe=best,
        changes=changes,
        entry=entry,
        score=params.score,
        value=means[best],
        value_of_base=means.get(0),
    )


def search(task: Task, params: SearchParams, inputs: Identity, out: Path) -> None:
    """Run a search and write its results; the same params, data and code give the same bytes.

    Args:
        task: the search task.
        params: section of searches/params.yaml.
        inputs: data, code and packages, returned by `describe_inputs`.
        out: folder of the results.
    """
    trials = list_trials(task, params)
    results = _finish_trials(task, params, trials, inputs)
    best = _find_best(task, params, trials, results)
    rows: list[list[Any]] = []
    losses: list[list[Any]] = []
    for trial, result in zip(trials, results, strict=True):
        labels = [trial.recipe, trial.params.seed]
        entry = trial.params.model_dump()
        drawn = [find_value(entry, path) for path in params.space]
        scores = [result.scores.get(score) for score in task.scores]
        rows.append([*labels, *drawn, *scores, result.failure])
        for iteration, loss in zip(result.iterations, result.losses, strict=True):
            losses.append([*labels, iteration, loss])
    score_columns = [f"{SCORE}{score}" for score in task.scores]
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "trials.csv", [*LABELS, *params.space, *score_columns, FAILURE], rows)
    write_table(out / "curves.csv", [*LABELS, "iteration", "loss"], losses)
    write_best(out, best)
    base = "failed" if best.value_of_base is None else f"{best.value_of_base:.4g}"
    changes = best.changes or "as it is"
    print(f"best: recipe {best.recipe}, {best.score} {best.value:.4g} (base: {base}): {changes}")
