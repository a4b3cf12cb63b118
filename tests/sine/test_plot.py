import csv
import json

import matplotlib
import numpy as np
import pytest

from stages.shared.errors import InputError
from stages.shared.params import check_params
from stages.sine.plot import PlotSineParams, draw_window, is_windowed, join_windows, main
from stages.sine.preprocess import WindowParams, pair_series

COLORS = (
    "loss_color mean_color norm_color input_color target_color prediction_color truth_color "
    "forecast_color test_color"
)
SECTION = {"dpi": 40, "width": 4.0, "height": 3.0, "bar_colors": ["blue", "gray"]}
SECTION |= dict.fromkeys(COLORS.split(), "blue") | {"input_color": "red"}
ALWAYS = {"loss", "document", "free_run", "baselines"}


def make_windows(window):
    times = np.arange(30.0)[None]
    params = WindowParams(window=window, test_points=6 if window else 0)
    return pair_series(times, np.sin(times), params)


def write_curves(path, norms=True):
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["iteration", "loss", "mean_loss", "gradient_norm"])
        table.writerows([[1, 0.5, "", 0.9 if norms else ""], [2, 0.25, 0.375, ""]])


def write_files(folder, window=None, snapshots=0, norms=True, horizon=60):
    trained, evaluated = folder / "trained" / "tiny", folder / "evaluated" / "tiny"
    trained.mkdir(parents=True)
    evaluated.mkdir(parents=True)
    windows = make_windows(window)
    np.savez(folder / "windows.npz", **windows)
    write_curves(trained / "curves.csv", norms)
    shown = {name: windows[name][:snapshots] for name in ("times", "inputs", "targets")}
    iterations = np.arange(snapshots)
    np.savez(
        trained / "snapshots.npz", iterations=iterations, predictions=shown["targets"], **shown
    )
    free = np.sin(np.arange(2 * horizon, dtype=float)).reshape(2, horizon)
    np.savez(
        evaluated / "forecasts.npz",
        document_times=np.arange(23.0, 30.0),
        document_truth=np.sin(np.arange(23.0, 30.0)),
        document_forecast=np.zeros(6),
        free_context=free[:, :5],
        free_truth=free,
        free_forecast=-free,
        step=1.0,
    )
    (evaluated / "baselines.csv").write_text(
        "forecaster,one_step_mse,free_run_mse_49\ntiny,0.1,0.5\nar,1e-30,0.0\n", encoding="utf-8"
    )
    metrics = {"data": "short", "document_mse": 0.5}
    (evaluated / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    params = {"plot_sine": SECTION, "sine": {"tiny": {"clip_norm": 10.0, "rate": 0.1}}}
    (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")  # JSON is YAML


def plot(folder, monkeypatch, out="plotted", windows="windows.npz"):
    monkeypatch.chdir(folder)
    main("trained/tiny", "evaluated/tiny", out, windows)
    return {path.stem: path.read_bytes() for path in (folder / out).iterdir()}


def test_windowed_data_have_their_series_and_split_drawn(tmp_path, monkeypatch):
    write_files(tmp_path, window=4)

    figures = plot(tmp_path, monkeypatch)

    assert set(figures) == ALWAYS | {"gradient_norm", "window", "series", "split"}


def test_snapshots_are_drawn_where_there_are_any(tmp_path, monkeypatch):
    write_files(tmp_path, snapshots=1)

    figures = plot(tmp_path, monkeypatch)

    assert set(figures) == ALWAYS | {"gradient_norm", "window", "snapshots"}


def test_without_windows_or_gradient_norms_their_figures_are_left_out(tmp_path, monkeypatch):
    write_files(tmp_path, norms=False, horizon=20)

    figures = plot(tmp_path, monkeypatch, windows=None)

    assert set(figures) == ALWAYS


def test_same_files_give_same_bytes_whatever_the_readers_matplotlibrc(tmp_path, monkeypatch):
    write_files(tmp_path, window=4)
    first = plot(tmp_path, monkeypatch, "first")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(matplotlib.rcParams, "font.size", 30)
        second = plot(tmp_path, monkeypatch, "second")

    assert first == second
    assert b"Software" not in b"".join(first.values())


def test_windows_join_to_the_series_they_were_cut_from():
    windows = make_windows(4)

    times, values = join_windows(windows, 1.0)

    assert is_windowed(windows)
    np.testing.assert_array_equal(times, np.arange(24))
    np.testing.assert_allclose(values, np.sin(np.arange(24)), atol=1e-6)


def test_windows_of_a_second_segment_are_not_joined_to_the_first():
    windows = make_windows(4)
    twice = {name: np.concatenate([windows[name]] * 2) for name in ("inputs", "targets", "times")}

    times, _ = join_windows(twice, 1.0)

    np.testing.assert_array_equal(times, np.arange(24))


def test_input_and_target_of_a_segment_share_an_abscissa():
    figure = draw_window(make_windows(None), 1.0, "model", PlotSineParams(**SECTION))

    given, target = figure.axes[0].lines
    np.testing.assert_array_equal(given.get_xdata(), target.get_xdata())
    assert (given.get_color(), target.get_color()) == ("red", "blue")


def test_a_colour_that_is_none_is_refused_by_name():
    with pytest.raises(InputError, match=r'plot_sine\.loss_color: "rot" is no colour'):
        check_params(SECTION | {"loss_color": "rot"}, PlotSineParams, "plot_sine")
