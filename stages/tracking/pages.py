"""The page of each experiment: a note that names the best model, and the view below it."""

from dataclasses import replace

from stages.searching.outcome import SCORE
from stages.shared.intervals import describe_difference
from stages.tracking.leaderboards import (
    QUESTIONS,
    Candidate,
    find_scores,
    format_score,
    has_logarithm,
    list_candidates,
    read_baseline_scores,
    read_scores,
)
from stages.tracking.mlflow_sync.dvc_files import workspace_problem
from stages.tracking.mlflow_sync.mlflow_internals import VIEW_TAG, Parallel, View, format_view
from stages.tracking.mlflow_sync.runs import BRANCH_TAG, CURRENT_TAG, NOTE_TAG, RunSpec
from stages.tracking.mlflow_sync.store import Store
from stages.tracking.mlflow_sync.sync import set_tags
from stages.tracking.run_specs import read_search_section, read_searches

_OTHER_NOTES = {
    "layers": "What recurrent layers take and give, what is left of the gradient through time.",
    "searches": "Which recipe is best on validation? Trials have runs below that of their search.",
}
_SURNAME_SCORES = ("accuracy", "macro_f1", "macro_f1_adjusted")
_ORIGIN = (
    f"tags.`{CURRENT_TAG}`",
    "tags.`kind`",
    "tags.`data`",
    "tags.`dvc.experiment`",
    "attributes.`Version`",  # the commit
    f"tags.`{BRANCH_TAG}`",
    "attributes.`Duration`",
)
VIEWS = {
    "surnames": View(
        "Best on validation first",
        "metrics.`validation/macro_f1`",
        ascending=False,
        columns=(
            "metrics.`validation/macro_f1`",
            "metrics.`macro_f1`",
            "metrics.`accuracy`",
            *_ORIGIN,
        ),
        bars=("validation/macro_f1", "macro_f1", "accuracy", "macro_f1_adjusted"),
        lines=("loss", "gradient_norm"),
    ),
    "forecasting": View(
        "Best beside the baselines first",
        "metrics.`validation/ratio_to_baseline`",
        ascending=True,
        columns=(
            "metrics.`validation/ratio_to_baseline`",
            "metrics.`ratio_to_baseline`",
            "metrics.`mse_long`",
            *_ORIGIN,
        ),
        bars=("log10_ratio_to_baseline", "log10_mse_long"),
        lines=("loss", "gradient_norm"),
    ),
    "searches": View(  # sorted by a metric, since the page folds the runs below a run otherwise
        "Best trials first",
        "metrics.`rank`",
        ascending=True,
        columns=("metrics.`rank`", "tags.`kind`", "tags.`data`"),
        lines=("loss",),
        per_row=1,  # the axes of parallel coordinates need room for their names
    ),
    "layers": View(
        "The tour",
        "attributes.start_time",
        ascending=False,
        columns=("metrics.`largest_difference`", "attributes.`Duration`"),
    ),
}


def sync_pages(store: Store, specs: list[RunSpec]) -> None:
    """Give the page of each experiment its note and its view, where all files for it are here."""
    for name in VIEWS:
        if name not in store.experiments:
            continue
        problem = _page_problem(name, specs)
        if problem:
            print(f"{name}: page left as it is, {problem}", flush=True)
        else:
            note = describe_experiment(name, specs)
            set_tags(store, name, {NOTE_TAG: note, VIEW_TAG: _format_view(name, specs)})


def _format_view(name: str, specs: list[RunSpec]) -> str:
    """The tag with the view of an experiment."""
    view = VIEWS[name]
    for spec in specs:
        # a chart of each search whose results are here
        if spec.kind == "search" and name == spec.experiment:
            section = read_search_section(spec.first_stage)
            score = section["score"]
            metric = f"{SCORE}log10_{score}" if has_logarithm(score) else f"{SCORE}{score}"
            parallel = Parallel(tuple(section["space"]), metric)
            columns = dict.fromkeys((*view.columns, f"metrics.`{metric}`"))  # each of them once
            view = replace(view, parallels=(*view.parallels, parallel), columns=(*columns,))
    return format_view(view)


def _page_problem(name: str, specs: list[RunSpec]) -> str | None:
    """Why the page of an experiment cannot be written here, or None.

    A page compares all models of its experiment: it needs the files of all of them.
    """
    if name == "searches":
        return workspace_problem((path for search in read_searches() for path in search.outs), {})
    for spec in specs:
        if spec.package and spec.experiment == name:
            read = [f"data/trained/{spec.name}/config.json", str(find_scores(name, spec.name))]
            problem = workspace_problem([*read, *spec.compared], spec.md5s)
            if problem:
                return problem
    return None


def describe_experiment(name: str, specs: list[RunSpec]) -> str:
    """The note; its first line is always in sight."""
    if name in _OTHER_NOTES:
        return _OTHER_NOTES[name]
    candidates = list_candidates(name, [spec for spec in specs if spec.package])
    if not candidates:
        return QUESTIONS[name]
    return (
        _describe_surnames(candidates) if name == "surnames" else _describe_forecasting(candidates)
    )


def _describe_surnames(candidates: list[Candidate]) -> str:
    """The best model beside the published one and the baselines; the best one comes first."""
    best = candidates[0]
    name = best.model.name
    baselines = read_baseline_scores("surnames", best.data)
    scored = {found.model.name: read_scores("surnames", found.model.name) for found in candidates}
    own = scored[name]
    parts = [f"**{name} {own['macro_f1']:.3f}**, best on validation"]
    for candidate in candidates[1:]:
        if candidate.model.kind == "walk-through":
            parts.append(f"{candidate.model.name} {candidate.test:.3f} as published")
    for baseline, scores in baselines.items():
        parts.append(f"{baseline} {scores['macro_f1']:.3f}")
    # over the baseline that is best on validation
    improvement = own.get("improvement", {}).get("macro_f1_adjusted")
    comparison = ""
    if improvement:
        comparison = (
            f"In macro_f1_adjusted {name} is {describe_difference(improvement)} of "
            f"{improvement['baseline']}: [{improvement['low']:+.3f}, {improvement['high']:+.3f}]."
        )
    lines = [
        f"Macro F1 on {own['num_test']:,} {best.data} test names: {', '.join(parts)}.",
        "",
        f"{QUESTIONS['surnames']} {comparison}",
        "",
        f"| test score [95 % interval] | {' | '.join(_SURNAME_SCORES)} |",
        f"|---|{'---|' * len(_SURNAME_SCORES)}",
    ]
    for title, scores in (scored | baselines).items():
        cells = [format_score(scores, score) for score in _SURNAME_SCORES]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _describe_forecasting(candidates: list[Candidate]) -> str:
    """The best forecaster of each series on validation, the runner-up and the best network."""
    by_series: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_series.setdefault(candidate.data, []).append(candidate)
    ahead, rows = [], []
    for series, ranked in by_series.items():
        score = ranked[0].ranking.test
        best = read_scores("forecasting", ranked[0].model.name)
        name = best.get("baseline", ranked[0].model.name)
        cells = [series, score, name, format_score(best, score), ""]
        for second in ranked[1:2]:
            runner_up = format_score(read_scores("forecasting", second.model.name), score)
            cells[-1] = f"{second.model.name}: {runner_up}"
        for network in [found for found in ranked if found.is_network][:1]:
            scores = read_scores("forecasting", network.model.name)
            cells += [network.model.name, format_score(scores, score)]
            improvement = scores.get("improvement", {}).get(score)
            if improvement:
                verdict = describe_difference(improvement)
                cells.append(f"{verdict} (against {improvement['baseline']})")
                if improvement["low"] > 0:
                    ahead.append(f"**{network.model.name}** ({series})")
        rows.append(f"| {' | '.join(cells)} |")
    lines = [
        "Over long forecasts these networks are ahead of the best baseline: "
        f"{', '.join(ahead) or 'none'}.",
        "",
        f"{QUESTIONS['forecasting']} Runs are sorted by ratio_to_baseline on validation: the "
        "error over the long horizon, divided by that of the best baseline; "
        "below 1 is better. Errors [95 % intervals] of the best forecaster on validation, the "
        "runner-up and the best network:",
        "",
        "| series | score | best | error | runner-up | best network | error | the network is |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + rows)
