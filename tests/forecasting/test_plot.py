import json
from dataclasses import replace

import matplotlib
import numpy as np
import pytest

from stages.forecasting.plot import (
    draw_sin_plots,
    draw_snapshots,
    draw_walkthrough_test,
    draw_window,
    main,
)
from stages.forecasting.series import write_series
from stages.forecasting.signals import GeneratedParams
from stages.shared.figures import CONTEXT_COLOR, FORECAST_COLOR, TARGET_COLOR
from stages.shared.json_files import write_baselines
from stages.shared.model_config import ModelConfig, write_config
from stages.shared.tables import Curves, write_curves
from tests.forecasting.entries import SINE, make_generated, split_file

DETAILS = {f"details/{name}" for name in ("loss", "loss_linear", "window", "snapshots")}
ALWAYS = {"forecast", "baselines", "details/walkthrough", *DETAILS}
STEPS = 60  # of the closed-loop forecasts


def make_series(window):
    cut = {"window": window, "test_points": 6} if window else {}
    params = SINE | {"points": 30, "period": 2 * np.pi} | cut
    return make_generated(GeneratedParams.model_validate(params))


def write_files(folder, window=None, norms=(0.9, None)):
    trained, evaluated = folder / "trained" / "tiny", folder / "evaluated" / "tiny"
    trained.mkdir(parents=True)
    evaluated.mkdir(parents=True)
    series = make_series(window)
    windows = series.windows
    write_series(folder / "windows.npz", series)
    write_config(trained, ModelConfig("forecasting", "window_forecaster", {"cell": "lstm"}))
    write_curves(trained / "curves.csv", Curves([1, 2], [0.5, 0.25], [None, 0.375], list(norms)))
    np.savez(
        trained / "snapshots.npz",
        iterations=[0],
        times=windows.times[:1],
        inputs=windows.inputs[:1],
        targets=windows.targets[:1],
        predictions=windows.targets[:1],
    )
    free = np.sin(np.arange(2.0 * STEPS)).reshape(2, STEPS)
    np.savez(
        evaluated / "forecasts.npz",
        walkthrough_times=np.arange(23.0, 30.0)[None],
        walkthrough_targets=np.sin(np.arange(23.0, 30.0))[None],
        walkthrough_forecasts=np.zeros((1, 6)),
        walkthrough_drawn=0,
        test_contexts=free[:, :5],
        test_targets=free,
        test_forecasts=-free,
        step=1.0,
    )
    scores = {"one_step_mse": 0.1, "mse_49": 0.5}
    exact = {"walkthrough_mse": 1e-30, "one_step_mse": 1e-30, "mse_49": 0.0, "order": 8}
    beside = {"hold_last": {"walkthrough_mse": 0.7, **scores}, "ar_best": exact}
    own = {"data": "short", "walkthrough_mse": 0.5, **scores}
    (evaluated / "scores.json").write_text(json.dumps(own), encoding="utf-8")
    forecast_info = {"prediction_intervals": {"80": {"half_width": [0.1], "coverage": 0.75}}}
    (evaluated / "forecast_info.json").write_text(json.dumps(forecast_info), encoding="utf-8")
    write_baselines(folder / "baselines", "short", beside)
    np.savez(folder / "baselines/forecasts.npz", ar_best=free)
    params = {"figures": {"dpi": 40}, "forecasters": {"tiny": {"clip_norm": 10.0, "rate": 0.1}}}
    (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML


def plot(folder, monkeypatch, out="plotted"):
    monkeypatch.chdir(folder)
    main("trained/tiny", "evaluated/tiny", "windows.npz", "baselines", out)
    figures = {}
    for path in (folder / out).rglob("*.png"):
        figures[path.relative_to(folder / out).with_suffix("").as_posix()] = path.read_bytes()
    return figures


def test_windows_that_were_slid_have_their_series_and_split_drawn(tmp_path, monkeypatch):
    write_files(tmp_path, window=4)

    figures = plot(tmp_path, monkeypatch)

    published = {f"details/published_{name}" for name in ("series", "split", "test")}
    others = {"details/gradient_norm", "details/series", "details/split"}
    assert set(figures) == ALWAYS | others | published


def test_gradient_norms_that_nobody_recorded_are_not_drawn(tmp_path, monkeypatch):
    write_files(tmp_path, norms=(None, None))

    figures = plot(tmp_path, monkeypatch)

    assert set(figures) == ALWAYS


def test_a_model_that_was_fitted_without_updates_has_its_one_loss_drawn(tmp_path, monkeypatch):
    write_files(tmp_path)
    write_curves(tmp_path / "trained/tiny/curves.csv", Curves([1], [0.5], [None], [None]))
    params = {"figures": {"dpi": 40}, "forecasters": {"tiny": {"fit_readout": {"penalty": 0.1}}}}
    (tmp_path / "params.yaml").write_text(json.dumps(params), encoding="utf-8")

    figures = plot(tmp_path, monkeypatch)

    assert set(figures) == ALWAYS


def test_same_files_give_same_bytes_whatever_the_readers_matplotlibrc(tmp_path, monkeypatch):
    write_files(tmp_path, window=4)
    first = plot(tmp_path, monkeypatch, "first")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(matplotlib.rcParams, "font.size", 30)
        second = plot(tmp_path, monkeypatch, "second")

    assert first == second
    assert b"Software" not in b"".join(first.values())


def test_of_a_file_its_parts_and_forecasts_from_origins_are_drawn(tmp_path, monkeypatch):
    write_files(tmp_path)
    samples = 20 + 5 * np.sin(np.arange(60.0))
    write_series(tmp_path / "windows.npz", split_file(samples, window=9, horizons=[3]))
    np.savez(
        tmp_path / "evaluated/tiny/forecasts.npz",
        test_contexts=samples[None, 37:45],
        test_targets=samples[None, 45:50],
        test_forecasts=np.full((1, 5), 20.0),
        test_half_widths=np.ones((1, 5)),
        step=1.0,
    )
    np.savez(tmp_path / "baselines/forecasts.npz", ar_best=np.full((1, 5), 20.0))
    scores = {"data": "short", "one_step_mse": 0.1, "mse_49": 0.5}  # no walk-through is about it
    (tmp_path / "evaluated/tiny/scores.json").write_text(json.dumps(scores), encoding="utf-8")

    figures = plot(tmp_path, monkeypatch)

    drawn = ALWAYS - {"details/walkthrough"} | {"details/gradient_norm", "details/split"}
    assert set(figures) == drawn


def test_slid_windows_join_to_the_series_they_were_cut_from():
    times, values = make_series(4).split_parts(1.0)["training"]

    np.testing.assert_array_equal(times, np.arange(24))
    np.testing.assert_allclose(values, np.sin(np.arange(24)), atol=1e-6)


def test_windows_of_a_second_segment_are_not_joined_to_the_first():
    series = make_series(4)
    windows = series.windows
    twice = replace(
        windows,
        inputs=np.concatenate([windows.inputs] * 2),
        targets=np.concatenate([windows.targets] * 2),
        times=np.concatenate([windows.times] * 2),
    )

    times, _ = replace(series, windows=twice).split_parts(1.0)["training"]

    np.testing.assert_array_equal(times, np.arange(24))


def test_input_and_target_of_a_segment_share_an_abscissa():
    figure = draw_window(make_series(None), 1.0, "model")

    given, target = figure.axes[0].lines
    np.testing.assert_array_equal(given.get_xdata(), target.get_xdata())
    assert (given.get_color(), target.get_color()) == (CONTEXT_COLOR, TARGET_COLOR)


@pytest.mark.parametrize("num_targets", [2, 4])
def test_targets_after_a_window_are_drawn_after_it_however_many_they_are(num_targets):
    snapshots = {
        "iterations": np.array([0]),
        "times": np.arange(10.0, 10.0 + num_targets)[None],
        "inputs": np.zeros((1, 4)),
        "targets": np.ones((1, num_targets)),
        "predictions": np.ones((1, num_targets)),
    }

    figure = draw_snapshots(snapshots, 1.0, make_series(4).units, "model", follow=True)

    _, given, _ = figure.axes[0].lines
    assert given.get_xdata().tolist() == [6, 7, 8, 9]


def test_a_snapshot_shows_input_target_and_prediction_in_the_colors_of_all_figures():
    segments = {"points": 10, "starts": {"count": 2, "apart": 10.0}}
    series = make_generated(GeneratedParams.model_validate(SINE | segments))
    windows = series.windows
    shown = {name: getattr(windows, name)[:2] for name in ("times", "inputs", "targets")}
    snapshots = {**shown, "predictions": -shown["targets"], "iterations": np.array([0, 25])}

    figure = draw_snapshots(snapshots, 1.0, series.units, "model")

    target, given, predicted = figure.axes[1].lines
    colors = [line.get_color() for line in (given, target, predicted)]
    assert colors == [CONTEXT_COLOR, TARGET_COLOR, FORECAST_COLOR]
    np.testing.assert_array_equal(predicted.get_ydata(), -windows.targets[1])
    assert figure.axes[1].get_title() == "iteration 25"


def test_the_figures_of_sliding_windows_are_drawn_as_published():
    times, samples = np.arange(800.0), np.sin(np.arange(800.0))
    parts = {"training": (times[:760], samples[:760]), "test": (times[760:], samples[760:])}
    forecasts = {
        "walkthrough_times": times[None, 759:],
        "walkthrough_forecasts": np.zeros((1, 40)),
    }

    figures = draw_sin_plots(forecasts, parts)

    limits = {"series": (-10, 801), "split": (-10, 801), "test": (700, 801)}
    for name, limit in limits.items():
        axes = figures[f"published_{name}"].axes[0]
        assert tuple(axes.figure.get_size_inches()) == (12, 4)
        assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("Sin plot", "x", "sin")
        assert axes.get_xlim() == limit
        colors = [line.get_color() for line in axes.lines]
        assert colors == ["#8000ff", "#ff8000"][: len(axes.lines)]
    counts = [len(figure.axes[0].lines) for figure in figures.values()]
    assert counts == [1, 2, 2]
    assert figures["published_test"].axes[0].lines[1].get_xdata().tolist() == [*range(760, 800)]


def test_all_starts_are_in_the_closing_picture_and_the_published_one_is_marked():
    forecasts = {
        "walkthrough_times": np.arange(5.0) + np.arange(3.0)[:, None],
        "walkthrough_targets": np.ones((3, 5)),
        "walkthrough_forecasts": np.zeros((3, 4)) + np.arange(3.0)[:, None],
        "walkthrough_drawn": np.array(1),
    }

    figure = draw_walkthrough_test(forecasts, {}, make_series(None).units, "model")

    titles = [axes.get_title().splitlines() for axes in figure.axes]
    assert [title[0] for title in titles] == ["start 0", "as published: start 1", "start 2"]
    assert titles[2][1] == "mean squared error 1 over 4 steps"
    assert [axes.title.get_fontweight() for axes in figure.axes] == ["normal", "bold", "normal"]
