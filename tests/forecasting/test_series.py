"""Both kinds of series answer the same calls; where they differ, each test says how."""

import numpy as np
import pytest

from stages.forecasting.baselines import make_linear
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.series import (
    GeneratedSeries,
    ObservedSeries,
    read_series,
    write_series,
)
from stages.forecasting.signals import GeneratedParams
from tests.forecasting.entries import SINE, make_generated, make_observed, series_of

SHAPE = {"context": 4, "horizon": 2, "phases": 3, "seed": 0}


def make_waves(**changes):
    return make_generated(GeneratedParams.model_validate(SINE | {"points": 30} | changes))


def make_file(**changes):
    return make_observed(np.sin(np.arange(30.0)) + 7, 16, 7, **{"window": 4, **changes})


KINDS = [
    pytest.param(make_waves(), id="segments"),
    pytest.param(make_waves(window=4, test_points=6), id="windows"),
    pytest.param(make_file(), id="observed"),
]


def test_the_classes_have_the_same_public_members():
    generated, observed = (
        {name for name in dir(kind) if not name.startswith("_")}
        for kind in (GeneratedSeries, ObservedSeries)
    )

    fields = {*ObservedSeries.__dataclass_fields__}
    assert observed - generated - fields == {"training"}  # of a file, in its units
    assert generated <= observed | fields


@pytest.mark.parametrize("series", KINDS)
def test_training_finds_windows_and_as_many_targets_as_a_network_forecasts(series):
    windows = series.windows

    inputs, targets, times = series.select_windows(windows.targets.shape[1])

    assert inputs is windows.inputs
    assert targets.shape == times.shape == windows.targets.shape
    assert windows.inputs.dtype == targets.dtype == np.float32
    assert np.isfinite(series.join_training()).all()


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("series", KINDS)
def test_a_backtest_has_contexts_and_the_targets_after_them(series, split):
    backtest = series.backtest(split, **SHAPE)

    num_forecasts = len(backtest.contexts)
    assert backtest.contexts.shape == (num_forecasts, 4)
    assert backtest.targets.shape == (num_forecasts, 2)
    errors = backtest.measure_steps(2 * backtest.targets)
    np.testing.assert_allclose(errors["mse"], backtest.targets**2)
    assert {values.shape for values in errors.values()} == {backtest.targets.shape}
    forecasts, steps = backtest.examples
    assert backtest.targets[forecasts, steps].size


@pytest.mark.parametrize("series", KINDS)
def test_the_same_backtest_is_drawn_again(series):
    first, again = (series.backtest("test", **SHAPE) for _ in range(2))

    assert np.array_equal(first.contexts, again.contexts)
    assert np.array_equal(first.targets, again.targets)


@pytest.mark.parametrize("series", KINDS)
def test_a_forecaster_that_repeats_the_last_sample_does_so_in_any_units(series):
    history = series.backtest("test", **SHAPE).contexts

    forecasts = wrap_model(series.undo_transform(make_linear([[1.0]])))(history, 2)

    np.testing.assert_allclose(forecasts, history[:, -1:].repeat(2, axis=1))


@pytest.mark.parametrize("series", KINDS)
def test_season_range_and_labels_are_known(series):
    low, high = series.training_range

    assert low < high
    assert series.season > 0
    assert series.spacing is None or series.spacing > 0
    assert series.units.time and series.units.sample and series.units.squared_error
    assert series.own_evaluation.keys() <= {"context", "horizons", "validation_horizons"}


@pytest.mark.parametrize("series", KINDS)
def test_parts_join_to_a_series_in_which_a_backtest_may_have_its_origins(series):
    parts = series.split_parts(1.0)
    origin = series.find_origin("test")

    for times, samples in parts.values():
        assert times.shape == samples.shape
    if origin is not None:
        samples = np.concatenate([samples for _, samples in parts.values()])
        first = series.backtest("test", **SHAPE).targets[0]
        assert np.array_equal(samples[origin : origin + 2], first)


@pytest.mark.parametrize("series", KINDS)
def test_without_its_test_a_series_is_trained_and_validated_alike(series):
    hidden = series.hide_test()

    assert len(hidden.windows.test) == 0
    assert getattr(hidden, "transform", None) == getattr(series, "transform", None)
    assert np.array_equal(hidden.windows.inputs, series.windows.inputs)
    assert hidden.backtest("validation", **SHAPE).contexts.shape[1] == 4


def test_a_search_sees_nothing_of_the_test_of_a_file():
    hidden = make_observed(np.arange(10.0), num_train=6, num_validation=2).hide_test()

    assert hidden.samples.tolist() == [*range(8)]


@pytest.mark.parametrize("series", KINDS)
def test_a_series_is_read_as_it_was_written(series, tmp_path):
    write_series(tmp_path / f"{series.name}.npz", series)

    again = read_series(tmp_path / f"{series.name}.npz")

    assert type(again) is type(series)
    assert (again.name, again.params) == (series.name, series.params)
    assert getattr(again, "transform", None) == getattr(series, "transform", None)
    for name, values in vars(series.windows).items():
        assert np.array_equal(getattr(again.windows, name), values), name
    backtests = [one.backtest("test", **SHAPE) for one in (series, again)]
    assert np.array_equal(backtests[0].targets, backtests[1].targets)


@pytest.mark.parametrize("series", KINDS)
def test_training_and_figures_do_without_the_params(series, tmp_path):
    write_series(tmp_path / f"{series.name}.npz", series)
    (tmp_path / f"{series.name}.json").unlink()

    again = read_series(tmp_path / f"{series.name}.npz", with_params=False)

    width = series.windows.targets.shape[1]
    assert np.array_equal(again.select_windows(width)[1], series.select_windows(width)[1])
    assert again.split_parts(1.0).keys() == series.split_parts(1.0).keys()
    assert again.units == series.units


@pytest.mark.parametrize("series", KINDS)
def test_methods_that_need_missing_params_raise_an_error(series, tmp_path):
    write_series(tmp_path / f"{series.name}.npz", series)

    again = read_series(tmp_path / f"{series.name}.npz", with_params=False)

    with pytest.raises(ValueError, match=rf"series {series.name} was read without its params"):
        _ = again.season


def test_walk_throughs_are_about_generated_series_alone():
    for model, kind, num_tests in (
        ("carried_rnn", "one_point", 3),
        ("lagged_rnn", "continuation", 1),
        ("windowed_lstm", "recursive", 1),
    ):
        tests = series_of(model).walkthrough_tests(kind, steps=5, context=7)
        assert len(tests) == num_tests
        assert {test.past.shape for test in tests} == {(7,)}
        np.testing.assert_allclose(tests[0].past[-1], tests[0].history[-1], atol=1e-6)

    assert make_file().walkthrough_tests("one_point", steps=5, context=7) == []


def test_a_network_that_forecasts_one_sample_is_trained_on_the_last_target_of_a_file_alone():
    _, targets, times = make_file().select_windows(1)

    assert targets.shape == (12, 1)
    assert times[:, 0].tolist() == [*range(4, 16)]
    assert make_waves().select_windows(1)[1].shape == (1, 29)  # which no such network fits


def test_of_a_file_several_samples_after_each_window_can_be_targets():
    series = make_observed(np.arange(30.0), 9, 7, window=4)  # trained on 0 to 8
    windows = series.windows

    inputs, targets, times = series.select_windows(3, ahead=3)

    assert series.most_ahead == len(windows.inputs) == 5
    assert times.tolist() == [[4, 5, 6], [5, 6, 7], [6, 7, 8]]
    assert np.array_equal(inputs, windows.inputs[:3])
    assert np.array_equal(targets[0], windows.targets[:3, -1])
    assert make_waves().most_ahead == make_waves(window=4, test_points=6).most_ahead == 1


TEN = make_observed(np.arange(10.0), num_train=4, num_validation=3)
ANY = {"phases": 1, "seed": 0}  # an observed series has no phases


def test_origins_roll_as_far_as_the_horizon_fits_into_their_part():
    backtest = TEN.backtest("validation", context=2, horizon=2, **ANY)

    assert backtest.contexts.tolist() == [[2, 3], [3, 4]]  # of training too: known by then
    assert backtest.targets.tolist() == [[4, 5], [5, 6]]  # never of the test
    assert backtest.block == 2


def test_the_last_origin_of_the_test_ends_with_the_file():
    backtest = TEN.backtest("test", context=3, horizon=1, **ANY)

    assert backtest.contexts.tolist() == [[4, 5, 6], [5, 6, 7], [6, 7, 8]]
    assert backtest.targets.tolist() == [[7], [8], [9]]


def test_a_forecaster_of_transformed_samples_takes_and_gives_the_units_of_the_file():
    series = make_observed([8, 12, 8, 12, 0, 0], num_train=4, num_validation=1)  # 10 ± 2
    half_of_last = make_linear([[0.5]])

    forecast = wrap_model(series.undo_transform(half_of_last))

    assert forecast(np.array([[8.0, 14.0]]), 1).tolist() == [[12]]  # 14 is +2, of which half is +1


def test_a_series_without_differences_keeps_its_logarithm_or_not():
    samples = np.exp(np.arange(12.0))
    series = make_observed(samples, 8, 2, transform={"log": True, "difference": [1, 2]})

    plain, logarithmic = series.drop_differences(False), series.drop_differences(True)

    assert series.transform.describe() == "log, difference [1, 2]"
    assert plain.transform.describe() == "none"
    assert logarithmic.transform.describe() == "log"
    assert logarithmic.transform.mean == pytest.approx(3.5)  # of 0 to 7


def test_a_network_sees_a_whole_window_after_the_differences():
    samples = np.arange(40.0) ** 2
    series = make_observed(samples, 20, 10, window=4, transform={"difference": [1, 3]})

    backtest = series.backtest("test", **{**SHAPE, **{"context": series.own_evaluation["context"]}})

    assert series.own_evaluation["context"] == 8
    assert [len(series.transform.apply(row)) for row in backtest.contexts[:1]] == [4]
