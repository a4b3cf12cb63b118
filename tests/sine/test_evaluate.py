import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from stages.models.sequence_forecaster import SequenceForecaster
from stages.models.window_forecaster import WindowForecaster
from stages.shared.bundle import Sizes, write_bundle
from stages.sine.baselines import copy_period, fit_autoregression, hold_last
from stages.sine.evaluate import EvaluateParams, draw_free_runs, main, score_free_runs
from stages.sine.preprocess import WindowParams, pair_series
from stages.sine.signals import SeriesParams, draw_segments
from stages.sine.train import SineParams, train

OFFICIAL = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))


def evaluate_params(**changes):
    return EvaluateParams(**{**OFFICIAL["evaluate_sine"], **changes})


def series(name="integer_starts", **changes):
    return SeriesParams.model_validate({**OFFICIAL["generate_sine"][name], **changes})


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu"])
def test_the_folded_free_run_is_the_stepwise_one(cell):
    torch.manual_seed(0)
    model = SequenceForecaster(cell, hidden=7).double()
    history = torch.sin(torch.arange(20.0, dtype=torch.double)).repeat(3, 1)
    nexts, state = model(history)

    folded = model._run_folded(nexts[:, -1:], state, 30)

    torch.testing.assert_close(folded, model._run_stepwise(nexts[:, -1:], state, 30))


@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "lstm"])
@pytest.mark.parametrize("horizon", [1, 2, 9])
def test_a_forecast_feeds_each_sample_back(cell, horizon):
    torch.manual_seed(0)
    model = SequenceForecaster(cell, hidden=5)
    history = torch.rand(2, 6)

    forecast = model.forecast(history, horizon)

    assert forecast.shape == (2, horizon)
    extended = torch.cat([history, forecast], dim=1)
    nexts, _ = model(extended)
    torch.testing.assert_close(forecast, nexts[:, 5:-1])


def test_a_window_forecaster_sees_its_window_alone():
    torch.manual_seed(0)
    model = WindowForecaster("lstm", hidden=5, window=4)
    history = torch.rand(1, 10)

    forecast = model.forecast(history, 3)

    window = torch.cat([history, forecast], dim=1)[:, 8:12]
    torch.testing.assert_close(forecast[:, 2:], model(window)[0])
    torch.testing.assert_close(forecast, model.forecast(history[:, -4:], 3))


def test_baselines_by_hand():
    history = np.array([[0.0, 1.0, 2.0, 3.0]])

    assert hold_last(history, 3).tolist() == [[3, 3, 3]]
    assert copy_period(history, 5, lag=3).tolist() == [[1, 2, 3, 1, 2]]


def test_two_coefficients_are_exact_on_a_clean_sine():
    times = np.arange(60) * 0.3
    samples = np.sin(times)[None]

    forecast = fit_autoregression(samples[:, :30], 2)(samples[:, :30], 30)

    np.testing.assert_allclose(forecast, samples[:, 30:], atol=1e-9)


def test_autoregression_finds_the_coefficients_that_made_a_series():
    samples = [1.0, 0.5]
    for _ in range(50):
        samples.append(0.9 * samples[-1] - 0.5 * samples[-2])
    made = np.array([samples])

    following = fit_autoregression(made, 2)(np.array([[1.0, 2.0]]), 1)

    assert following[0, 0] == pytest.approx(0.9 * 2 - 0.5 * 1)


def test_test_and_validation_phases_are_disjoint_and_from_training_too():
    params = evaluate_params()
    seed = {"starts": {"count": 64, "below": 2 * math.pi}, "seed": params.seed}

    phases = [
        draw_free_runs(series(), params, s, 10).contexts[:, 0]
        for s in (params.seed, params.validation_seed)
    ]
    trained = draw_segments(series("random_phases", **seed))[1][:, 0]

    assert len(np.intersect1d(*phases)) == 0
    assert len(np.intersect1d(phases[0], trained)) == 0


def test_noise_is_in_the_context_and_not_in_the_truth():
    clean = draw_free_runs(series(), evaluate_params(), 7, 20)
    noisy = draw_free_runs(series(noise=0.1), evaluate_params(), 7, 20)

    assert np.std(noisy.contexts - clean.contexts) == pytest.approx(0.1, rel=0.1)
    assert np.array_equal(noisy.truths, clean.truths)


def test_scores_average_the_steps_of_each_horizon():
    runs = draw_free_runs(series(), evaluate_params(), 7, 4)

    def off_by_growing(contexts, horizon):
        return runs.truths[:, :horizon] + np.arange(1, horizon + 1)

    scores, _ = score_free_runs(off_by_growing, runs, [2, 4])

    assert scores == pytest.approx(
        {"one_step_mse": 1, "free_run_mse_2": (1 + 4) / 2, "free_run_mse_4": (1 + 4 + 9 + 16) / 4}
    )


@pytest.mark.parametrize("model", ["carried_rnn", "lagged_rnn", "windowed_lstm_fast"])
def test_every_model_is_scored_beside_its_baselines(model, tmp_path, monkeypatch):
    entry = {**OFFICIAL["sine"][model], "iterations": 3, "refine": None}
    params = SineParams.model_validate(entry)
    cut = WindowParams.model_validate(OFFICIAL["preprocess_sine"][params.series])
    windows = pair_series(*draw_segments(series(params.series)), cut)
    trained = train(params, windows, model)
    monkeypatch.chdir(tmp_path)
    short = {**OFFICIAL["evaluate_sine"], "horizons": [49, 500], "phases": 4}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**OFFICIAL, "evaluate_sine": short}))
    np.savez("windows.npz", **windows)
    write_bundle(
        tmp_path / "t",
        Sizes("sine", params.architecture, params.network),
        trained.model,
        trained.curves,
    )
    np.save("t/state.npy", trained.state)

    main(model, "t", "windows.npz", "e")

    metrics = json.loads((tmp_path / "e/metrics.json").read_text())
    rows = list(csv.DictReader((tmp_path / "e/baselines.csv").read_text().splitlines()))
    assert metrics["data"] == params.series
    assert {
        "document_mse",
        "one_step_mse",
        "free_run_mse_500",
        "validation_free_run_mse_500",
    } <= metrics.keys()
    assert [row["forecaster"] for row in rows] == [
        model,
        "hold_last",
        "copy_period",
        "ar2",
        "ar_best",
    ]
    assert float(rows[3]["free_run_mse_500"]) < 1e-6 < metrics["free_run_mse_500"]
