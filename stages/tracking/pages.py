"""The page of each experiment: a note that says which model is best, and the view below it."""

from collections.abc import Iterator

from stages.tracking.description import say_score
from stages.tracking.metrics import Metrics, read_baselines, read_metrics
from stages.tracking.ranking import RANKINGS, Candidate, list_candidates
from stages.tracking.store import Store
from stages.tracking.views import VIEW_TAG, VIEWS, encode_view

NOTE_TAG = "mlflow.note.content"
TOUR_NOTE = "What recurrent layers take and give, and what is left of the gradient through time."
QUESTIONS = {
    "surnames": "Which language is a surname from?",
    "sine": "How does a series go on?",
}


def prepare_pages(store: Store) -> Iterator[str]:
    """Give each experiment its note and its view; tells which were changed."""
    for name, experiment_id in store.experiments.items():
        wanted = {NOTE_TAG: describe_experiment(name), VIEW_TAG: encode_view(VIEWS[name])}
        there = store.tags[name]
        changed = {tag: text for tag, text in wanted.items() if there.get(tag) != text}
        for tag, text in changed.items():
            store.client.set_experiment_tag(experiment_id, tag, text)
        if changed:
            yield f"{name}: page prepared"


def describe_experiment(name: str) -> str:
    """The note; its first line is always in sight."""
    if name not in RANKINGS:
        return TOUR_NOTE
    candidates = list_candidates(name)
    if not candidates:
        return QUESTIONS[name]
    describe = describe_surnames if name == "surnames" else describe_sine
    return f"{QUESTIONS[name]} {describe(candidates)}"


def describe_surnames(candidates: list[Candidate]) -> str:
    """The best model beside the published one and the baselines.

    Args:
        candidates: the best on validation first.
    """
    best = candidates[0]
    metrics = read_metrics(best.model.name)
    shown = [f"**{best.model.name} {say_score(metrics, 'macro_f1')}** (best on validation)"]
    for candidate in candidates[1:]:
        if candidate.model.kind == "published":
            score = say_score(read_metrics(candidate.model.name), "macro_f1")
            shown.append(f"as published {candidate.model.name} {score}")
    for name, scores in read_baselines("surnames", best.data).items():
        shown.append(f"without a network {name} {say_score(scores, 'macro_f1')}")
    names = f"{metrics['num_test']:,} test names of the {best.data} data"
    return f"Macro F1 on {names}: {', '.join(shown)}."


def describe_sine(candidates: list[Candidate]) -> str:
    """The best network of each series beside the best method without one.

    Args:
        candidates: the best on validation first.
    """
    ranking = RANKINGS["sine"]
    score = ranking.test
    lines = [
        "Best network a series, and best method without one, each chosen on validation:",
        "",
        f"| series | network | {score} | without a network | {score} |",
        "|---|---|---|---|---|",
    ]
    seen = set()
    for candidate in candidates:
        if candidate.data in seen:
            continue
        seen.add(candidate.data)
        own = say_score(read_metrics(candidate.model.name), score)
        cells = [candidate.data, candidate.model.name, own]
        baselines = read_baselines("sine", candidate.data)
        if baselines:
            name = min(baselines, key=lambda name: find_validation(baselines[name]))
            cells += [name, say_score(baselines[name], score)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def find_validation(scores: Metrics) -> float:
    """The error by which forecasters are chosen."""
    _, _, name = RANKINGS["sine"].validation.rpartition("/")
    error: float = scores["validation"][name]
    return error
