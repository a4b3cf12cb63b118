from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml
from stages.sine.preprocess import (
    WindowParams,
    cut_windows,
    main,
    pair_file,
    pair_recording,
    pair_series,
    shift_segments,
    split_recording,
)
from stages.sine.recordings import FileParams
from stages.sine.windows import Recording, hide_test, read_windows, write_windows
from tests.sine.entries import FILE


def test_letters_a_to_e_with_a_window_of_two():
    inputs, targets = cut_windows(np.array([list("ABCDE")]), 2)

    pairs = ["".join(window) + nxt[0] for window, nxt in zip(inputs, targets, strict=True)]
    assert pairs == ["ABC", "BCD", "CDE"]


def test_twelve_points_with_a_window_of_three_give_nine_pairs():
    inputs, targets = cut_windows(np.arange(1, 13)[None], 3)

    assert inputs.shape == (9, 3) and targets.shape == (9, 1)
    assert inputs[0].tolist() == [1, 2, 3] and targets[0] == 4
    assert inputs[1].tolist() == [2, 3, 4] and targets[1] == 5


def test_windows_never_reach_over_the_end_of_a_segment():
    inputs, _ = cut_windows(np.array([[1, 2, 3], [7, 8, 9]]), 2)

    assert inputs.tolist() == [[1, 2], [7, 8]]


def test_ten_clips_of_fifty_frames_become_ten_pairs_of_forty_nine():
    inputs, targets = shift_segments(np.arange(500).reshape(10, 50))

    assert inputs.shape == targets.shape == (10, 49)
    assert np.array_equal(inputs[:, 1:], targets[:, :-1])


def test_each_window_is_followed_by_its_target_and_the_test_is_never_seen():
    values = np.arange(800.0)[None]

    windows = pair_series(values, values, WindowParams(window=40, test_points=40))

    assert windows.inputs.shape == (720, 40)
    assert np.array_equal(windows.targets[:, 0], windows.inputs[:, -1] + 1)
    assert windows.targets.max() == 759
    assert windows.test.tolist() == list(range(760, 800))


@pytest.mark.parametrize(
    "params", [{"window": 50, "test_points": 0}, {"window": 1, "test_points": 49}]
)
def test_a_window_longer_than_the_series_is_refused(params):
    values = np.zeros((1, 50))

    with pytest.raises(InputError, match=r"segments of 50 samples: lower them in preprocess_sine"):
        pair_series(values, values, WindowParams(**params))


def test_a_series_that_nobody_generates_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cut = {"ghost": {"window": 3, "test_points": 0}}
    entry = {"generate_sine": {}, "preprocess_sine": cut}
    (tmp_path / "params.yaml").write_text(format_yaml(entry))

    with pytest.raises(InputError, match="ghost"):
        main("generated", "files", "out")

    assert not (tmp_path / "out").exists()


def test_a_series_that_is_not_named_keeps_its_segments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {"points": 3, "step": 1.0, "starts": {"count": 2, "apart": 5.0}, "period": 9.0}
    sections = {"generate_sine": {"s": entry}, "preprocess_sine": {}}
    (tmp_path / "params.yaml").write_text(format_yaml(sections))
    (tmp_path / "generated").mkdir()
    table = pd.DataFrame(
        {"segment": [0, 0, 0, 1, 1, 1], "t": [0, 1, 2, 5, 6, 7], "y": [0, 1, 2, 5, 6, 7]}
    )
    table.to_csv(tmp_path / "generated/s.csv", index=False)

    main("generated", "files", "out")

    windows = read_windows(tmp_path / "out/s.npz")
    assert windows.inputs.tolist() == [[0, 1], [5, 6]]
    assert windows.times.tolist() == [[1, 2], [6, 7]]


def make_file(**changes):
    return FileParams.model_validate(FILE | {"window": 3} | changes)


def test_a_file_is_split_into_training_validation_and_test():
    samples = np.arange(20.0)

    recording = split_recording(samples, samples, make_file(test_share=0.2, horizons=[1]))

    assert (recording.num_train, recording.num_validation) == (12, 4)
    assert recording.training.tolist() == [*range(12)]


def test_windows_of_a_file_are_standardised_by_the_training_part_alone():
    samples = np.array([1.0, 3, 1, 3, 1, 3, 500, 600, 700, 800])
    recording = Recording(samples, np.arange(10.0), num_train=6, num_validation=2)

    windows = pair_recording(recording, window=3)

    assert (windows.scaling.mean, windows.scaling.std) == (2, 1)
    assert windows.inputs.tolist() == [[-1, 1, -1], [1, -1, 1], [-1, 1, -1]]
    assert windows.targets.tolist() == [[1, -1, 1], [-1, 1, -1], [1, -1, 1]]
    assert windows.times[0].tolist() == [1, 2, 3]
    assert len(windows.test) == 0


@pytest.mark.parametrize(
    ("samples", "changes", "reason"),
    [
        (np.arange(28.0), {}, r"0\.25\) of 28 rows are 7, fewer than 4 times the .*horizon \(2\)"),
        (np.arange(40.0), {"window": 20}, r"40 rows 20 are left .* no more than the window \(20\)"),
        (np.full(40, 0.1), {}, r"the first 20 rows, which are trained on, are all 0\.1: there is"),
    ],
)
def test_a_file_that_nothing_can_be_learned_from_is_refused(samples, changes, reason):
    with pytest.raises(InputError, match=reason) as raised:
        split_recording(samples, samples, make_file(**changes))

    assert str(raised.value).startswith("data/series/a.csv: ")


@pytest.mark.parametrize("path", ["other/a.csv", "data/series/../a.csv", "/tmp/a.csv"])
def test_a_file_that_dvc_does_not_watch_is_refused(path):
    with pytest.raises(InputError, match="must lie in data/series/: DVC watches that folder"):
        pair_file("mine", make_file(path=path), Path("data/series"))


def test_windows_of_a_file_come_back_as_they_were(tmp_path):
    samples = np.arange(10.0)
    windows = pair_recording(Recording(samples, samples, num_train=6, num_validation=2), window=3)

    write_windows(tmp_path / "w.npz", windows)
    again = read_windows(tmp_path / "w.npz")

    assert again.recording.samples.tolist() == samples.tolist()
    assert (again.recording.num_train, again.recording.num_validation) == (6, 2)
    assert again.inputs.tolist() == windows.inputs.tolist()


def test_a_search_sees_nothing_of_the_test():
    samples = np.arange(10.0)
    windows = pair_recording(Recording(samples, samples, num_train=6, num_validation=2), window=3)

    hidden = hide_test(windows)

    assert hidden.recording.samples.tolist() == [*range(8)]
    assert hidden.scaling == windows.scaling
