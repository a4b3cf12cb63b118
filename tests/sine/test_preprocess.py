import numpy as np
import pandas as pd
import pytest
import yaml

from stages.shared.errors import InputError
from stages.sine.preprocess import WindowParams, cut_windows, main, pair_series, shift_segments
from stages.sine.windows import read_windows


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
    entry = {"preprocess_sine": {"ghost": {"window": 3, "test_points": 0}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(entry))

    with pytest.raises(InputError, match="ghost"):
        main("generated", "out")

    assert not (tmp_path / "out").exists()


def test_a_series_that_is_not_named_keeps_its_segments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("preprocess_sine: {}")
    (tmp_path / "generated").mkdir()
    table = pd.DataFrame(
        {"segment": [0, 0, 0, 1, 1, 1], "t": [0, 1, 2, 5, 6, 7], "y": [0, 1, 2, 5, 6, 7]}
    )
    table.to_csv(tmp_path / "generated/s.csv", index=False)

    main("generated", "out")

    windows = read_windows(tmp_path / "out/s.npz")
    assert windows.inputs.tolist() == [[0, 1], [5, 6]]
    assert windows.times.tolist() == [[1, 2], [6, 7]]
