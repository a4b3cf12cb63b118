import numpy as np
import pytest

from stages.forecasting.observed import CsvSeries, ObservedParams
from stages.forecasting.preprocess import (
    cut_series,
    cut_windows,
    main,
    slide_windows,
    split_series,
)
from stages.forecasting.series import read_series
from stages.forecasting.signals import GeneratedParams
from stages.forecasting.transform import TransformParams
from stages.shared.errors import InputError
from stages.shared.yaml_files import format_yaml
from tests.forecasting.entries import FILE, SINE, make_generated


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


LONG = {
    "points": 800,
    "step": 1.0,
    "starts": {"count": 1, "apart": 0.0},
    "period": 9.0,
    "window": 40,
    "test_points": 40,
}


def test_each_window_is_followed_by_its_target_and_the_test_is_never_seen():
    values = np.arange(800.0)[None]

    params = GeneratedParams.model_validate(LONG)
    windows = cut_series("long", params, values, values).windows

    assert windows.inputs.shape == (720, 40)
    assert np.array_equal(windows.targets[:, 0], windows.inputs[:, -1] + 1)
    assert windows.targets.max() == 759
    assert windows.test.tolist() == list(range(760, 800))


def test_ten_segments_of_fifty_samples_become_ten_pairs_of_forty_nine():
    params = GeneratedParams.model_validate(LONG | {"window": None, "test_points": None})
    values = np.arange(500.0).reshape(10, 50)

    windows = cut_series("segments", params, values, values).windows

    assert windows.inputs.shape == windows.targets.shape == (10, 49)
    assert np.array_equal(windows.inputs[:, 1:], windows.targets[:, :-1])


ENTRY = {"points": 3, "step": 1.0, "starts": {"count": 2, "apart": 5.0}, "period": 9.0}


def prepare(folder, monkeypatch, entry, table):
    """Preprocess the series `s`."""
    monkeypatch.chdir(folder)
    (folder / "params.yaml").write_text(format_yaml(entry))
    (folder / "s.csv").write_text(table)
    main(f"{next(iter(entry))}.s", "s.csv", "out/s.npz")


def test_a_series_without_a_window_keeps_its_segments(tmp_path, monkeypatch):
    table = "segment,t,y\n0,0,0\n0,1,1\n0,2,2\n1,5,5\n1,6,6\n1,7,7\n"

    prepare(tmp_path, monkeypatch, {"generated_series": {"s": ENTRY}}, table)

    windows = read_series(tmp_path / "out/s.npz").windows
    assert windows.inputs.tolist() == [[0, 1], [5, 6]]
    assert windows.times.tolist() == [[1, 2], [6, 7]]


def test_the_params_of_a_series_lie_beside_its_arrays(tmp_path, monkeypatch):
    samples = "y\n" + "1\n2\n" * 20

    prepare(tmp_path, monkeypatch, {"observed_series": {"s": FILE}}, samples)

    assert read_series(tmp_path / "out/s.npz").params == ObservedParams.model_validate(FILE)


def test_a_bad_file_leaves_nothing_behind(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"s\.csv, column y, line 3: 'high' is not a number"):
        prepare(tmp_path, monkeypatch, {"observed_series": {"s": FILE}}, "y\n1\nhigh\n")

    assert not (tmp_path / "out").exists()


def test_an_entry_that_is_in_no_section_of_series_is_rejected(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"sine\.s is not a series: give one of generated_s"):
        prepare(tmp_path, monkeypatch, {"sine": {"s": ENTRY}}, "")


def split(samples, **changes):
    return split_series("mine", make_params(**changes), CsvSeries(samples, samples))


def make_params(**changes):
    return ObservedParams.model_validate(FILE | {"window": 3} | changes)


def test_a_file_is_split_into_training_validation_and_test():
    series = split(np.arange(20.0), test_share=0.2, horizons=[1])

    assert (series.num_train, series.num_validation) == (12, 4)
    assert series.training.tolist() == [*range(12)]


def test_windows_of_a_file_are_standardised_by_the_training_part_alone():
    samples = np.array([1.0, 3, 1, 3, 1, 3, 500, 600, 700, 800])

    series = slide_windows(
        "mine", make_params(), CsvSeries(samples, np.arange(10.0)), 6, 2, TransformParams()
    )

    windows = series.windows
    assert (series.transform.mean, series.transform.std) == (2, 1)
    assert windows.inputs.tolist() == [[-1, 1, -1], [1, -1, 1], [-1, 1, -1]]
    assert windows.targets.tolist() == [[1, -1, 1], [-1, 1, -1], [1, -1, 1]]
    assert windows.times[0].tolist() == [1, 2, 3]
    assert len(windows.test) == 0


def test_windows_of_validation_have_their_targets_in_the_validation_part():
    series = split(np.arange(20.0), test_share=0.2, horizons=[1], transform="none")

    held_back = series.select_validation().windows
    targets = held_back.targets[:, -1] * series.transform.std + series.transform.mean
    np.testing.assert_allclose(targets, [12, 13, 14, 15], rtol=1e-6)
    assert held_back.inputs.shape == held_back.targets.shape == (4, 3)


def test_a_series_that_is_all_training_has_no_windows_of_validation():
    samples = np.arange(9.0)

    series = slide_windows(
        "mine", make_params(), CsvSeries(samples, samples), 9, 0, TransformParams()
    )

    assert len(series.select_validation().windows.inputs) == 0


def test_windows_of_validation_of_a_generated_series_follow_the_signal_after_training():
    series = make_generated(GeneratedParams.model_validate(SINE))
    again = make_generated(GeneratedParams.model_validate(SINE))

    windows = series.select_validation().windows
    assert windows.inputs.shape[1] == series.windows.inputs.shape[1]
    np.testing.assert_array_equal(windows.inputs[:, 1:], windows.targets[:, :-1])
    np.testing.assert_allclose(windows.inputs[:, 0], windows.inputs[:, 6], atol=1e-5)  # a period on
    np.testing.assert_array_equal(windows.inputs, again.windows.validation_inputs)


@pytest.mark.parametrize(
    ("samples", "changes", "reason"),
    [
        (
            np.arange(28.0),
            {"horizons": [9]},
            r"0\.25 of 28 rows gives 7, .*horizon of 9 .* lower horizons to 6, .*share to 0\.36",
        ),
        (np.arange(40.0), {"window": 20}, r"40 rows 20 are left .* no more than the window \(20\)"),
    ],
)
def test_a_file_without_enough_samples_or_variation_is_rejected(samples, changes, reason):
    with pytest.raises(InputError, match=reason) as raised:
        split(samples, **changes)

    assert str(raised.value).startswith("data/series/a.csv: ")
