"""The page of each experiment: a note that names the best model, and the view below it."""

from dataclasses import replace
from pathlib import Path

from stages.searching.outcome import SCORE
from stages.shared.intervals import describe_difference
from stages.surnames.names import read_report
from stages.tracking.leaderboards import (
    QUESTIONS,
    Candidate,
    find_scores,
    format_score,
    has_logarithm,
    list_candidates,
    list_scores,
    read_baseline_scores,
    read_best_baseline,
    read_champions,
    read_scores,
)
from stages.tracking.mlflow_sync.dvc_files import workspace_problem
from stages.tracking.mlflow_sync.mlflow_internals import VIEW_TAG, Parallel, View, format_view
from stages.tracking.mlflow_sync.runs import (
    BRANCH_TAG,
    CURRENT_TAG,
    EXPERIMENT_TAG,
    NOTE_TAG,
    RANK_TAG,
    RunSpec,
)
from stages.tracking.mlflow_sync.store import Store
from stages.tracking.mlflow_sync.sync import set_tags
from stages.tracking.run_specs import read_search_section, read_searches

_OTHER_NOTES = {
    "layers": "Shapes of recurrent layers, and how the gradient vanishes or explodes through time.",
    "searches": "Which recipe is best on validation? Trials are child runs of their search.",
}
_NAMES = Path("data/preprocessed/surnames")
_SURNAME_SCORES = ("accuracy", "macro_f1", "macro_f1_adjusted")
_RANK = f"tags.`{RANK_TAG}`"
_ORIGIN = {  # columns about the origin of a run, at the right
    f"tags.`{CURRENT_TAG}`": 70,
    "tags.`kind`": 95,
    f"tags.`{EXPERIMENT_TAG}`": 110,
    "attributes.`Version`": 80,  # the commit
    f"tags.`{BRANCH_TAG}`": 100,
    "attributes.`Duration`": 80,
}
VIEWS = {
    "surnames": View(
        "Best on validation first",
        _RANK,
        ascending=True,
        columns={
            _RANK: 100,
            "metrics.`validation/macro_f1`": 140,
            "metrics.`test/macro_f1`": 105,
            "metrics.`test/accuracy`": 105,
            "tags.`verdict`": 140,
            **_ORIGIN,
            "tags.`data`": 80,
        },
        bars=("validation/macro_f1", "test/macro_f1", "test/accuracy"),
        lines=("curves/loss", "curves/validation_loss", "curves/gradient_norm"),
    ),
    "forecasting": View(
        "Best forecasters of each series",
        _RANK,
        ascending=True,
        filter=f"{_RANK} LIKE '%'",
        columns={
            _RANK: 190,
            "metrics.`validation/ratio_to_baseline`": 170,
            "metrics.`test/ratio_to_baseline`": 135,
            "tags.`verdict`": 110,
            **_ORIGIN,
            "tags.`data`": 110,
        },
        bars=("validation/log10_ratio_to_baseline", "test/log10_ratio_to_baseline"),
        lines=("curves/loss", "curves/validation_loss", "curves/gradient_norm"),
    ),
    "searches": View(  # sorted by a metric, or the page would collapse child runs
        "Best trials first",
        "metrics.`rank`",
        ascending=True,
        columns={"metrics.`rank`": 60, "tags.`kind`": 80, "tags.`data`": 120},
        lines=("loss",),
        per_row=1,  # parallel coordinates need room for the names of axes
    ),
    "layers": View(
        "The tour",
        "attributes.start_time",
        ascending=False,
        columns={"metrics.`largest_difference`": 150, "attributes.`Duration`": 80},
    ),
}


def sync_pages(store: Store, specs: list[RunSpec]) -> None:
    """Write the note and the view of each experiment whose files are all here."""
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
    """Return the tag with the view of an experiment."""
    view = VIEWS[name]
    for spec in specs:
        # a chart for each search with local results
        if spec.kind == "search" and name == spec.experiment:
            section = read_search_section(spec.first_stage)
            score = section["score"]
            metric = f"{SCORE}log10_{score}" if has_logarithm(score) else f"{SCORE}{score}"
            parallel = Parallel(tuple(section["space"]), metric)
            columns = view.columns | {f"metrics.`{metric}`": 150}
            view = replace(view, parallels=(*view.parallels, parallel), columns=columns)
    return format_view(view)


def _page_problem(name: str, specs: list[RunSpec]) -> str | None:
    """Return why the page of an experiment cannot be written, or None.

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


def rank_runs(specs: list[RunSpec]) -> list[RunSpec]:
    """Add to each spec the tags with its rank among the models on the same data.

    For each series the champion, the best two on validation, the best network and models that have
    changed since the last commit have a rank; for the surnames all models and baselines. If files
    are missing in the workspace, runs keep the tags that they have.
    """
    ranks = {
        "forecasting": _rank_forecasters(specs),
        "surnames": _rank_classifiers(specs),
    }
    ranked = []
    for spec in specs:
        of_task = ranks.get(spec.experiment)
        if of_task is not None:
            rank = of_task.get(spec.name)
            spec = replace(spec, rank_tags={RANK_TAG: rank} if rank else {})
        ranked.append(spec)
    return ranked


def _rank_forecasters(specs: list[RunSpec]) -> dict[str, str] | None:
    """Return for each run its series, its rank and why it is displayed; None: files are missing."""
    if _page_problem("forecasting", specs):
        return None
    champions = {champion.model for champion in read_champions().values()}
    ranks = {}
    for series, candidates in _group_by_series(specs).items():
        networks = [candidate for candidate in candidates if candidate.is_network]
        width = len(str(len(candidates)))
        for number, candidate in enumerate(candidates, start=1):
            if candidate.spec.name in champions:
                role = "champion"
            elif number <= 2:
                role = ("best", "runner-up")[number - 1]
            elif candidate in networks[:1]:
                role = "best network"
            elif candidate.spec.variant:
                role = "variant"
            else:
                continue
            ranks[candidate.spec.name] = f"{series} {number:0{width}} {role}"
    return ranks


def _rank_classifiers(specs: list[RunSpec]) -> dict[str, str] | None:
    """Return the rank of each run among models and baselines; None: files are missing."""
    if _page_problem("surnames", specs):
        return None
    candidates = list_candidates("surnames", specs)
    if not candidates:
        return None
    best, ranking = candidates[0], candidates[0].ranking
    scores = {candidate.spec.name: candidate.validation for candidate in candidates}
    for name, baseline in read_baseline_scores("surnames", best.data).items():
        scores[name] = list_scores(baseline)[ranking.validation]
    champions = {champion.model for champion in read_champions().values()}
    width = len(str(len(scores)))
    ranks = {}
    for number, name in enumerate(sorted(scores, key=lambda name: -scores[name]), start=1):
        role = "champion" if name in champions else "best" if number == 1 else ""
        ranks[name] = f"{number:0{width}} {role}".strip()
    return ranks


def describe_experiment(name: str, specs: list[RunSpec]) -> str:
    """Return the note of an experiment; its first line is always visible and fits 1280 pixels."""
    if name in _OTHER_NOTES:
        return _OTHER_NOTES[name]
    if not list_candidates(name, [spec for spec in specs if spec.package]):
        return QUESTIONS[name]
    return _describe_surnames(specs) if name == "surnames" else _describe_forecasting(specs)


def _describe_surnames(specs: list[RunSpec]) -> str:
    """Compare the best classifier with the best baseline and the published network."""
    candidates = list_candidates("surnames", specs)
    best = candidates[0]
    name = best.spec.name
    baselines = read_baseline_scores("surnames", best.data)
    scored = {found.spec.name: read_scores("surnames", found.spec.name) for found in candidates}
    own = scored[name]
    first = f"**{name}** is best on validation: macro F1 {best.test:.3f} on test"
    for baseline, its_scores in read_best_baseline("surnames", own).items():
        difference = best.test - its_scores["macro_f1"]
        first += f", {difference:+.3f} over the best baseline ({baseline})"
    lines = [f"{first}.", ""]
    published = [found for found in candidates if found.spec.kind == "walk-through"]
    for candidate in published:
        lines.append(f"{candidate.spec.name}, as published, has {candidate.test:.3f}.")
    for score, improvement in own.get("improvement", {}).items():
        lines.append(
            f"In {score} {name} is {describe_difference(improvement)} of {improvement['baseline']}:"
            f" difference [{improvement['low']:+.3f}, {improvement['high']:+.3f}]."
        )
    lines += [
        f"All on {own['num_test']:,} {best.data} test names. Runs are sorted by macro F1 on "
        "validation.",
        "",
        f"| test score [95 % interval] | {' | '.join(_SURNAME_SCORES)} |",
        f"|---|{'---|' * len(_SURNAME_SCORES)}",
    ]
    for title, scores in (scored | baselines).items():
        cells = [format_score(scores, score) for score in _SURNAME_SCORES]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    if (_NAMES / "report.json").exists():
        report = read_report(_NAMES).list_lines()
        lines += ["", "What preprocessing did to the names:", "", *(f"- {line}" for line in report)]
    return "\n".join(lines)


def _group_by_series(specs: list[RunSpec]) -> dict[str, list[Candidate]]:
    """List the forecasters of each series, the best on validation first."""
    by_series: dict[str, list[Candidate]] = {}
    for candidate in list_candidates("forecasting", [spec for spec in specs if spec.package]):
        by_series.setdefault(candidate.data, []).append(candidate)
    return dict(sorted(by_series.items()))


def _describe_forecasting(specs: list[RunSpec]) -> str:
    """Make a table of the best forecaster of each series, the runner-up and the best network."""
    ahead, others, rows = [], [], []
    for series, ranked in _group_by_series(specs).items():
        score = ranked[0].ranking.test
        best = read_scores("forecasting", ranked[0].spec.name)
        name = best.get("baseline", ranked[0].spec.name)
        cells = [series, score, name, format_score(best, score), ""]
        for second in ranked[1:2]:
            runner_up = format_score(read_scores("forecasting", second.spec.name), score)
            cells[-1] = f"{second.spec.name}: {runner_up}"
        for network in [found for found in ranked if found.is_network][:1]:
            scores = read_scores("forecasting", network.spec.name)
            cells += [network.spec.name, format_score(scores, score)]
            improvement = scores.get("improvement", {}).get(score)
            if improvement:
                verdict = describe_difference(improvement)
                cells.append(f"{verdict} (against {improvement['baseline']})")
            if improvement and improvement["low"] > 0:
                ratio = f" ({scores['ratio_to_baseline']:.2g} × its error)"
                ahead.append(f"**{network.spec.name}**{ratio}")
            else:
                others.append(series)
        rows.append(f"| {' | '.join(cells)} |")
    first = f"Networks ahead of the best baseline of their series: {', '.join(ahead) or 'none'}"
    if ahead and others:
        first += f"; on {len(others)} other series none is"
    lines = [f"{first}.", ""]
    if others:
        lines += [f"None is ahead on {', '.join(others)}.", ""]
    lines += [
        "For each series the table of runs shows the champion, the best two on validation and the "
        "best network. For all models of a series type `tags.data = 'sunspots'` into the search "
        "box; clear it for all runs. ratio_to_baseline is the error over the long horizon divided "
        "by the error of the best baseline: below 1 is better. Errors on test [95 % intervals]:",
        "",
        "| series | score | best | error | runner-up | best network | error | the network is |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + rows)
