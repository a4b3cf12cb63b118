"""What decides which model is best."""

import pytest

from stages.tracking.leaderboards import (
    Champion,
    Ranking,
    find_ranking,
    read_champions,
    read_leaderboard,
    write_champion,
)
from stages.tracking.run_specs import read_models
from tests.shell import file_size_limited
from tests.workspace import BASELINE_ERROR, SCORES


def test_forecasters_are_compared_by_the_error_over_the_long_horizon_of_validation():
    validation = {"one_step_mse": 0.1, "mse_5": 0.2, "mse_11": 0.3}
    scores = {"horizon_long": 11, "mse_11": 0.4, "mse_22": 0.5, "validation": validation}

    ranking = find_ranking("forecasting", scores)

    assert ranking == Ranking("validation/mse_11", "mse_11", -1, 11)


def test_surnames_are_compared_by_macro_f1():
    ranking = find_ranking("surnames", {})

    assert ranking == Ranking("validation/macro_f1", "macro_f1", 1)


def test_the_best_baseline_of_a_series_is_ranked_beside_its_networks(workspace):
    ranked = read_leaderboard("integer_starts", read_models())

    errors = {found.spec.name: found.validation for found in ranked}
    networks = {name: SCORES[name] for name in ("carried_rnn", "windowed_lstm_fast")}
    assert errors == networks | {"integer_starts_baseline": BASELINE_ERROR}
    assert [found.is_network for found in ranked] == [True, True, False]


def make_champion(reason: str) -> Champion:
    files = {"data/trained/a/weights.pt": "0" * 32}
    return Champion(
        model="a",
        date="2026-01-01",
        reason=reason,
        scores={"mse_11": 0.5},
        data="series",
        data_files=files,
        files=files,
    )


def test_a_champion_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_champion("waves", make_champion("first"))

    with file_size_limited(1000), pytest.raises(OSError, match="too large"):
        write_champion("waves", make_champion("second " * 1000))

    assert read_champions() == {"waves": make_champion("first")}


def test_a_champion_is_not_written_through_a_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "champions.yaml").symlink_to("elsewhere")

    write_champion("waves", make_champion("first"))

    assert [path.name for path in tmp_path.iterdir()] == ["champions.yaml"]
