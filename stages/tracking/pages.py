"""The page of each experiment: a note that says which model is best, and the view below it."""

from collections.abc import Iterator

from stages.shared.verdicts import judge
from stages.tracking.checksums import find_departure, find_missing
from stages.tracking.description import say_score
from stages.tracking.lockfile import read_searches
from stages.tracking.metrics import Metrics, find_metrics, read_baselines, read_metrics
from stages.tracking.ranking import COMPARED, TASKS, Candidate, list_candidates
from stages.tracking.store import VIEW_TAG, Store
from stages.tracking.subjects import BASELINES, Model, Search, Subject, keep_models
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
SURNAME_SCORES = ("accuracy", "macro_f1", "macro_f1_corrected")
QUESTIONS = {
    "surnames": "Which language is a surname from?",
    "sine": "How does a series go on?",
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
            scores = [path for path in model.md5s if path.startswith(BASELINES)]
            read = [f"data/trained/{model.name}/config.json", str(find_metrics(model.name))]
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
    return describe_surnames(candidates) if name == "surnames" else describe_sine(candidates)


def describe_surnames(candidates: list[Candidate]) -> str:
    """The best model beside the published one and the baselines.

    Args:
        candidates: the best on validation first.
    """
    best = candidates[0]
    baselines = read_baselines("surnames", best.data)
    scored = {found.model.name: read_metrics(found.model.name) for found in candidates}
    metrics = scored[best.model.name]
    parts = [f"**{best.model.name} {metrics['macro_f1']:.3f}**, best on validation"]
    for candidate in candidates[1:]:
        if candidate.model.kind == "walk-through":
            parts.append(f"{candidate.model.name} {candidate.test:.3f} as published")
    for name, scores in baselines.items():
        parts.append(f"{name} {scores['macro_f1']:.3f}")
    lines = [
        f"Macro F1 on {metrics['num_test']:,} {best.data} test names: {', '.join(parts)}.",
        "",
        f"{QUESTIONS['surnames']} {say_lead(best.model.name, metrics, 'macro_f1_corrected')}",
        "",
        f"| test score [95 % interval] | {' | '.join(SURNAME_SCORES)} |",
        f"|---|{'---|' * len(SURNAME_SCORES)}",
    ]
    for name, scores in (scored | baselines).items():
        cells = [say_score(scores, score) for score in SURNAME_SCORES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def describe_sine(candidates: list[Candidate]) -> str:
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
        metrics = read_metrics(model)
        cells = [series, score, model, say_score(metrics, score)]
        lead = metrics.get("lead", {}).get(score)
        if lead:
            rival = read_baselines("sine", series)[lead["over"]]
            cells += [lead["over"], say_score(rival, score), judge(lead)]
            if lead["low"] > 0:
                ahead.append(f"**{model}** ({series})")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(
        [
            "Over long free runs these networks are ahead of the best method without one: "
            f"{', '.join(ahead) or 'none'}.",
            "",
            f"{QUESTIONS['sine']} Runs are sorted by {COMPARED}: 1 says that the error is ten "
            "times that of the best method without a network, and below 0 it is smaller. Errors "
            "[95 % intervals; of series from files, whose forecasts overlap, narrower ones] of the "
            "best on validation:",
            "",
            "| series | score | network | error | without a network | error | the network is |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def say_lead(name: str, metrics: Metrics, score: str) -> str:
    """By how much a model is ahead of the baseline that is best on validation."""
    lead = metrics.get("lead", {}).get(score)
    if not lead:
        return ""
    interval = f"[{lead['low']:+.3f}, {lead['high']:+.3f}]"
    return f"In {score} {name} is {judge(lead)} of {lead['over']}: {interval}."
