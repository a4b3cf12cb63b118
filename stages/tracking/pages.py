"""The page of each experiment: a note that says which model is best, and the view below it."""

from collections.abc import Iterator

from stages.shared.verdicts import judge
from stages.tracking.checksums import find_departure, find_missing
from stages.tracking.description import say_score
from stages.tracking.lockfile import read_searches
from stages.tracking.metrics import Scores, find_scores, read_baselines, read_scores
from stages.tracking.ranking import TASKS, Candidate, list_candidates
from stages.tracking.store import VIEW_TAG, Store
from stages.tracking.subjects import Model, Search, Subject, is_of_baselines, keep_models
from stages.tracking.trials import list_drawn, name_metric
from stages.tracking.views import (
    VIEWS,
    Parallel,
    View,
    add_parallels,
    encode_view,
)

NOTE_TAG = "mlflow.note.content"
OTHER_NOTES = {
    "layers": "What recurrent layers take and give, what is left of the gradient through time.",
    "searches": "Which recipe is best on validation? Trials have runs below that of their search.",
}
SURNAME_SCORES = ("accuracy", "macro_f1", "macro_f1_adjusted")
QUESTIONS = {
    "surnames": "Which language is a surname from?",
    "forecasting": "How does a series go on?",
}


def prepare_pages(store: Store, subjects: list[Subject]) -> Iterator[str]:
    """Give each experiment its note and its view; yields which were changed or left alone.

    A page compares all models of its experiment: in a clone that lacks files of some it stays.
    """
    models = keep_models(subjects)
    for name, experiment_id in store.experiments.items():
        problem = find_page_problem(name, models)
        if problem:
            yield f"{name}: page left as it is, {problem}"
            continue
        view = encode_view(choose_view(name, subjects))
        wanted = {NOTE_TAG: describe_experiment(name, models), VIEW_TAG: view}
        there = store.tags[name]
        changed = {tag: text for tag, text in wanted.items() if there.get(tag) != text}
        store.place = f"experiment {name}"
        for tag, text in changed.items():
            store.client.set_experiment_tag(experiment_id, tag, text)
        if changed:
            yield f"{name}: page prepared"


def find_page_problem(name: str, models: list[Model]) -> str | None:
    """Why the page of an experiment cannot be written here, or None.

    Args:
        name: of the experiment.
        models: of dvc.lock.
    """
    if name == "searches":
        return find_missing(path for search in read_searches() for path in search.outs)
    for model in models:
        if model.experiment == name:
            scores = [path for path in model.md5s if is_of_baselines(path)]
            read = [f"data/trained/{model.name}/config.json", str(find_scores(model))]
            problem = find_missing(read + scores) or find_departure(read + scores, model.md5s)
            if problem:
                return problem
    return None


def choose_view(name: str, subjects: list[Subject]) -> View:
    """The view of an experiment; that of the searches has a chart of each that lies here."""
    parallels = []
    for subject in subjects:
        if isinstance(subject, Search) and name == subject.experiment:
            parallels.append(Parallel(tuple(list_drawn(subject)), name_metric(subject)))
    return add_parallels(VIEWS[name], parallels)


def describe_experiment(name: str, models: list[Model]) -> str:
    """The note; its first line is always in sight."""
    if name not in TASKS:
        return OTHER_NOTES[name]
    candidates = list_candidates(name, models)
    if not candidates:
        return QUESTIONS[name]
    return describe_surnames(candidates) if name == "surnames" else describe_forecasting(candidates)


def describe_surnames(candidates: list[Candidate]) -> str:
    """The best model beside the published one and the baselines.

    Args:
        candidates: the best on validation first.
    """
    best = candidates[0]
    baselines = read_baselines("surnames", best.data)
    scored = {found.model.name: read_scores(found.model) for found in candidates}
    own = scored[best.model.name]
    parts = [f"**{best.model.name} {own['macro_f1']:.3f}**, best on validation"]
    for candidate in candidates[1:]:
        if candidate.model.kind == "walk-through":
            parts.append(f"{candidate.model.name} {candidate.test:.3f} as published")
    for name, scores in baselines.items():
        parts.append(f"{name} {scores['macro_f1']:.3f}")
    lines = [
        f"Macro F1 on {own['num_test']:,} {best.data} test names: {', '.join(parts)}.",
        "",
        f"{QUESTIONS['surnames']} {say_improvement(best.model.name, own, 'macro_f1_adjusted')}",
        "",
        f"| test score [95 % interval] | {' | '.join(SURNAME_SCORES)} |",
        f"|---|{'---|' * len(SURNAME_SCORES)}",
    ]
    for name, scores in (scored | baselines).items():
        cells = [say_score(scores, score) for score in SURNAME_SCORES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def describe_forecasting(candidates: list[Candidate]) -> str:
    """The best network of each series beside the best method without one.

    Args:
        candidates: the best on validation first.
    """
    best: dict[str, Candidate] = {}  # by series
    for candidate in candidates:
        best.setdefault(candidate.data, candidate)
    ahead = []
    rows = []
    for series, candidate in best.items():
        model, score = candidate.model.name, candidate.ranking.test
        scores = read_scores(candidate.model)
        cells = [series, score, model, say_score(scores, score)]
        improvement = scores.get("improvement", {}).get(score)
        if improvement:
            name = improvement["baseline"]
            baseline = read_baselines("forecasting", series)[name]
            cells += [name, say_score(baseline, score), judge(improvement)]
            if improvement["low"] > 0:
                ahead.append(f"**{model}** ({series})")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(
        [
            "Over long free runs these networks are ahead of the best method without one: "
            f"{', '.join(ahead) or 'none'}.",
            "",
            f"{QUESTIONS['forecasting']} Runs are sorted by ratio_to_baseline on validation: the "
            "error over the long horizon, divided by that of the best method without a network; "
            "below 1 is better. Errors [95 % intervals; of series from files, whose forecasts "
            "overlap, narrower ones] of the best on validation:",
            "",
            "| series | score | network | error | without a network | error | the network is |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def say_improvement(name: str, scores: Scores, score: str) -> str:
    """The improvement over the baseline that is best on validation."""
    improvement = scores.get("improvement", {}).get(score)
    if not improvement:
        return ""
    interval = f"[{improvement['low']:+.3f}, {improvement['high']:+.3f}]"
    return f"In {score} {name} is {judge(improvement)} of {improvement['baseline']}: {interval}."
