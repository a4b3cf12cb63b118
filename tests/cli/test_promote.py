"""The best model on validation becomes the champion, unless there is an objection."""

import dataclasses

import pytest

from stages.cli import promote
from stages.shared.errors import InputError
from stages.shared.json_files import read_json, write_json
from stages.tracking.location import find_uri
from stages.tracking.ranking import rank_candidates
from stages.tracking.store import Store
from tests.store import fill, find_champion, sync
from tests.workspace import nest_errors, rescore, take_results


def test_the_model_best_on_validation_becomes_the_champion(workspace, capsys):
    fill(workspace)

    promote.main("surnames", force=False)
    promote.main("integer_starts", force=False)

    assert find_champion("surnames") == "surname_blend"  # the highest macro F1
    assert find_champion("integer_starts") == "carried_rnn"  # the lowest error
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    # validation, test with its interval
    best = rows.index(["surname_blend", "official", "0.6", "0.59", "[0.54,", "0.64]"])
    assert rows.index(["surname_gru", "official", "0.5", "0.49", "[0.44,", "0.54]"]) == best + 1


def test_promoting_twice_makes_one_version(workspace, capsys):
    fill(workspace)
    promote.main("surnames", force=False)

    promote.main("surnames", force=False)

    assert "surname_blend is the champion already (version 1)" in capsys.readouterr().out
    assert len(Store(find_uri()).find_versions("surnames")) == 1


def test_a_better_model_takes_over_and_a_worse_one_needs_force(workspace):
    fill(workspace)
    promote.main("surnames", force=False)
    rescore(workspace, "surname_gru", 0.7)
    sync()
    promote.main("surnames", force=False)
    assert find_champion("surnames") == "surname_gru"

    rescore(workspace, "surname_gru", 0.1)
    sync()
    worse = r"surname_blend .* 0.6\) is worse than the champion surname_gru \(0.7"
    with pytest.raises(InputError, match=worse):
        promote.main("surnames", force=False)
    assert find_champion("surnames") == "surname_gru"
    promote.main("surnames", force=True)

    assert find_champion("surnames") == "surname_blend"
    assert len(Store(find_uri()).find_versions("surnames")) == 2  # its first version came back


@pytest.mark.slow
def test_scores_on_the_sample_do_not_beat_official_ones(workspace):
    fill(workspace)
    promote.main("surnames", force=False)
    rescore(workspace, "surname_blend", 0.99, data="sample")
    sync()

    with pytest.raises(InputError, match=r"scored on the sample, the champion .* official data"):
        promote.main("surnames", force=False)


@pytest.mark.slow
def test_official_scores_replace_those_on_the_sample_even_if_lower(workspace):
    rescore(workspace, "surname_blend", 0.99, data="sample")
    sync()
    promote.main("surnames", force=False)
    before = Store(find_uri()).find_champion("surnames")

    rescore(workspace, "surname_blend", 0.55, data="official")
    sync()
    promote.main("surnames", force=False)

    assert Store(find_uri()).find_champion("surnames").version != before.version


def test_a_champion_that_lacks_the_deciding_score_is_not_replaced_unasked(workspace):
    [best, *_] = rank_candidates("integer_starts")
    champion = promote.Champion("1", "a1b2", "old_rnn", "integer_starts", validation=None)

    objection = promote.find_objection(best, champion)

    assert objection == "the run of the champion old_rnn has no validation/mse_500"


def test_a_champion_that_was_scored_over_another_horizon_is_not_compared(workspace):
    fill(workspace)
    promote.main("integer_starts", force=False)
    [best, *_] = rank_candidates("integer_starts")
    shorter = dataclasses.replace(best, ranking=dataclasses.replace(best.ranking, horizon=200))
    store = Store(find_uri())

    assert promote.read_champion(store, best).validation == 0.2
    assert promote.read_champion(store, shorter).validation is None


def test_scores_that_hide_the_test_promote_nobody(workspace):
    path = workspace / "data/evaluated/details/surnames/surname_blend/scores.json"
    write_json(path, read_json(path) | {"split": "validation"})
    take_results(workspace, "evaluate_blend", "plot_blend")
    sync()

    with pytest.raises(InputError, match=r"evaluate_classifiers\.split: test"):
        promote.main("surnames", force=True)


@pytest.mark.parametrize(
    "file",
    ["trained/surname_gru/weights.pt", "evaluated/details/surnames/surname_blend/scores.json"],
)
def test_a_workspace_that_departs_from_the_lock_is_refused(workspace, file):
    fill(workspace)
    with (workspace / "data" / file).open("a", encoding="utf-8") as text:
        text.write(" ")

    with pytest.raises(InputError, match=f"{file} differs from dvc.lock"):
        promote.main("surnames", force=True)

    assert find_champion("surnames") is None


def test_a_model_without_a_run_cannot_be_promoted(workspace):
    fill(workspace)
    rescore(workspace, "surname_blend", 0.9)
    missing = "surname_blend has no run in MLflow: run `make sync` first"

    with pytest.raises(InputError, match=missing):
        promote.main("surnames", force=False)


def test_the_pages_of_model_and_version_say_what_they_are_and_why(workspace):
    fill(workspace)

    promote.main("surnames", force=False)

    store = Store(find_uri())
    [version] = store.find_versions("surnames")
    assert version.description.startswith("**surname_blend**: best of 4 on validation; ")
    assert "validation/macro_f1 0.6, macro_f1 0.59, data: official" in version.description
    assert version.run_id in version.description
    [model] = store.client.search_registered_models("name = 'surnames'")
    assert model.description == "Which language is a surname from?"


def test_a_model_of_another_series_does_not_compete(workspace):
    path = workspace / "data/evaluated/details/forecasting/windowed_lstm_fast/scores.json"
    write_json(path, {"data": "sunspots", **nest_errors(0.001, 0.001, ratio=0.5)})
    take_results(
        workspace, "evaluate_forecaster@windowed_lstm_fast", "plot_forecaster@windowed_lstm_fast"
    )
    sync()

    promote.main("integer_starts", force=False)
    promote.main("sunspots", force=False)

    assert find_champion("integer_starts") == "carried_rnn"  # with an error of 0.2
    assert find_champion("sunspots") == "windowed_lstm_fast"


def test_what_no_model_is_of_has_no_champion(workspace):
    with pytest.raises(
        InputError, match="no model of forecasting is here: choose of integer_starts, sur"
    ):
        promote.main("forecasting", force=False)
