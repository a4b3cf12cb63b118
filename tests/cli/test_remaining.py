"""How far it is, and how long it still takes."""

from datetime import UTC, datetime, timedelta

import pytest

from stages.cli.jobs import count_stages, estimate_seconds, format_remaining, read_seconds
from stages.shared.model_config import write_times

SECONDS = {
    "train_forecaster@short": 10.0,
    "train_forecaster@long": 60.0,
    "train_classifier@gru": 90.0,
}


def test_jobs_share_what_is_left():
    left = estimate_seconds(
        ["train_forecaster@long", "train_classifier@gru"], {}, SECONDS, num_jobs=1
    )

    assert left == 150.0


def test_no_number_of_jobs_ends_the_longest_training_sooner():
    left = estimate_seconds(
        ["train_forecaster@short", "train_classifier@gru"], {}, SECONDS, num_jobs=8
    )

    assert left == 90.0


def test_a_training_that_runs_has_less_left_but_never_less_than_nothing():
    running = {"train_forecaster@short": 30.0, "train_forecaster@long": 25.0}

    assert estimate_seconds(["train_classifier@gru"], running, SECONDS, num_jobs=1) == 125.0


def test_a_training_that_never_ended_here_leaves_the_time_unknown():
    assert (
        estimate_seconds(["train_forecaster@short", "train_forecaster@new"], {}, SECONDS, 2) is None
    )


def test_without_trainings_nothing_is_left():
    assert estimate_seconds(["plot_forecaster@long", "evaluate_blend"], {}, SECONDS, 2) == 0.0


def test_what_a_training_took_is_read_where_it_is_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for model in ("known", "damaged"):
        (tmp_path / "data/trained" / model).mkdir(parents=True)
    write_times(tmp_path / "data/trained/known", datetime.now(UTC) - timedelta(seconds=40), "any")
    (tmp_path / "data/trained/damaged/times.json").write_text("{", encoding="utf-8")
    stages = [
        "train_forecaster@known",
        "train_forecaster@damaged",
        "train_forecaster@new",
        "plot_forecaster@known",
    ]

    seconds = read_seconds(stages)

    assert list(seconds) == ["train_forecaster@known"]
    assert seconds["train_forecaster@known"] == pytest.approx(40, abs=1)


def test_the_count_keeps_its_width():
    assert [count_stages(3, 48), count_stages(48, 48)] == ["[ 3/48]", "[48/48]"]


@pytest.mark.parametrize(
    ("num_unchanged", "seconds", "said"),
    [
        (0, None, "[3/8] stages done"),
        (0, 0.0, "[3/8] stages done"),
        (0, 20.0, "[3/8] stages done, less than a minute of training left"),
        (0, 185.0, "[3/8] stages done, about 3 min of training left"),
        (2, None, "[3/8] stages done, 2 of them unchanged"),
        (2, 185.0, "[3/8] stages done, 2 of them unchanged, about 3 min of training left"),
    ],
)
def test_the_remaining_minutes_are_printed_if_they_are_known(num_unchanged, seconds, said):
    assert format_remaining("[3/8]", num_unchanged, seconds) == said
