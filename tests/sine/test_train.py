from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from benchmarks.published import carried_rnn, lagged_rnn, small_init_rnn, windowed_lstm
from stages.models.sequence_forecaster import ElmanScan, SequenceForecaster
from stages.shared.errors import InputError
from stages.shared.params import check_params
from stages.sine.evaluate import (
    EvaluateParams,
    forecast_continuation,
    forecast_one_point,
    forecast_recursive,
    wrap_network,
)
from stages.sine.preprocess import WindowParams, pair_series
from stages.sine.signals import SeriesParams, draw_segments
from stages.sine.train import SineParams, draw_windows, train

OFFICIAL = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))


def params_of(model, **changes):
    return SineParams.model_validate({**OFFICIAL["sine"][model], **changes})


def series_of(model, **changes):
    entry = OFFICIAL["generate_sine"][OFFICIAL["sine"][model]["series"]]
    return SeriesParams.model_validate({**entry, **changes})


def windows_of(model, **changes):
    cut = OFFICIAL["preprocess_sine"][OFFICIAL["sine"][model]["series"]]
    segments = draw_segments(series_of(model, **changes))
    return pair_series(*segments, WindowParams.model_validate(cut))


def start_weights(literal):
    """The walk-through's initial weights: ours are drawn from the same seed in the same order."""
    return literal.train(0, seed=3).model.state_dict()


@pytest.mark.parametrize(
    ("model", "literal"), [("carried_rnn", carried_rnn), ("small_init_rnn", small_init_rnn)]
)
def test_losses_are_those_of_the_published_program(model, literal):
    params = params_of(model, iterations=200, seed=3)
    windows = windows_of(model)
    draws = draw_windows(params, len(windows["inputs"]))[:, 0].tolist()

    ours = train(params, windows, model)
    theirs = literal.train(200, draws=draws, initial=start_weights(literal))

    np.testing.assert_allclose(ours.curves.loss, theirs.losses, rtol=1e-5)
    np.testing.assert_allclose(ours.state[0], theirs.state, rtol=1e-3, atol=1e-5)


def test_losses_of_the_lagged_rnn_are_those_of_the_published_program():
    windows = windows_of("lagged_rnn", starts={"count": 200, "apart": np.pi})

    ours = train(params_of("lagged_rnn", iterations=200, seed=3), windows, "lagged_rnn")
    theirs = lagged_rnn.train(200, initial=start_weights(lagged_rnn))

    np.testing.assert_allclose(ours.curves.loss, theirs.losses, rtol=1e-5)


def test_losses_of_the_windowed_lstm_are_those_of_the_published_program():
    params = params_of("windowed_lstm", iterations=200, seed=3, mean_every=None)
    windows = windows_of("windowed_lstm")
    series = torch.from_numpy(
        np.concatenate([windows["inputs"][0], windows["targets"][:, 0], windows["test"]])
    )

    ours = train(params, windows, "windowed_lstm")
    theirs = windowed_lstm.train(200, initial=start_weights(windowed_lstm), series=series)

    np.testing.assert_allclose(ours.curves.loss, theirs.losses, rtol=1e-5)


def document_mse(model, trained, test, seed=0):
    evaluate = {**OFFICIAL["evaluate_sine"], "document_seed": seed}
    state = torch.from_numpy(trained.state)[0] if trained.state.size else None
    forecast = wrap_network(trained.model, state)
    return test(forecast, windows_of(model), series_of(model), EvaluateParams(**evaluate)).mse


def test_the_windowed_lstm_gives_the_published_score():
    trained = train(params_of("windowed_lstm"), windows_of("windowed_lstm"), "windowed_lstm")

    assert document_mse("windowed_lstm", trained, forecast_recursive) == pytest.approx(
        0.0089, abs=5e-5
    )
    assert trained.curves.loss[-1] == pytest.approx(1.3e-4, rel=0.05)  # last window
    assert trained.curves.mean_loss[-1] == pytest.approx(4.3e-4, rel=0.05)  # mean of the epoch


@pytest.mark.parametrize(
    ("model", "test", "loss_band", "score_band"),
    [
        ("carried_rnn", forecast_one_point, (1.9e-3, 1.7e-2), (0.045, 1.5)),
        ("lagged_rnn", forecast_continuation, (4.5e-5, 5.2e-4), (2.2e-3, 6.0e-2)),
        pytest.param(
            "small_init_rnn",
            forecast_one_point,
            (9e-5, 5.9e-4),
            (0.015, 0.71),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_median_of_five_seeds_lies_in_the_published_band(model, test, loss_band, score_band):
    losses, scores = [], []
    for seed in range(5):
        trained = train(params_of(model, seed=seed, print_every=None), windows_of(model), model)
        losses.append(trained.curves.loss[-1])
        scores.append(document_mse(model, trained, test, seed))

    assert loss_band[0] < np.median(losses) < loss_band[1]
    assert score_band[0] < np.median(scores) < score_band[1]


def test_snapshots_show_input_and_forecast_of_the_chosen_updates():
    windows = windows_of("lagged_rnn")

    snapshots = train(params_of("lagged_rnn"), windows, "lagged_rnn").snapshots

    assert snapshots["iterations"].tolist() == [0, 25, 50, 75]
    assert np.array_equal(snapshots["inputs"][1], windows["inputs"][25])
    errors = ((snapshots["predictions"] - snapshots["targets"]) ** 2).mean(axis=1)
    assert errors[0] > 0.1 > 0.01 > errors[-1]


def test_same_seed_same_weights_and_another_seed_others():
    windows = windows_of("carried_rnn")

    first, again, other = (
        train(params_of("carried_rnn", seed=seed), windows, "x").model.state_dict()
        for seed in (1, 1, 2)
    )

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_a_clipped_gradient_makes_a_smaller_step():
    windows = windows_of("carried_rnn")
    sgd = {"optimizer": "sgd", "rate": 1.0, "iterations": 1, "seed": 5}

    def moved(clip_norm):
        params = params_of("carried_rnn", clip_norm=clip_norm, **sgd)
        before = train(params_of("carried_rnn", **{**sgd, "rate": 1e-12}), windows, "x")
        after = train(params, windows, "x")
        steps = [
            a - b for a, b in zip(after.model.parameters(), before.model.parameters(), strict=True)
        ]
        return torch.nn.utils.get_total_norm(steps).item(), after.curves.gradient_norm[0]

    assert moved(0.1)[0] == pytest.approx(0.1, rel=1e-3)
    assert moved(None)[0] == pytest.approx(moved(0.1)[1], rel=1e-3)  # recorded before clipping


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
def test_every_cell_learns_and_carries_its_state(cell):
    params = params_of(
        "carried_rnn", network={"cell": cell, "hidden": 8, "layers": 2}, iterations=60
    )

    trained = train(params, windows_of("carried_rnn"), "x")

    assert trained.curves.loss[-1] < 0.5 * trained.curves.loss[0]
    assert trained.state.shape == (2 if cell == "lstm" else 1, 2, 1, 8)


def test_closed_loop_training_lowers_the_error_of_the_free_run():
    params = params_of("closed_loop_rnn", iterations=60)

    trained = train(params, windows_of("closed_loop_rnn"), "x")

    assert trained.curves.loss[-1] < 0.5 * trained.curves.loss[0]


def test_refinement_continues_the_curves_downwards():
    params = params_of("windowed_lstm_fast", iterations=20, refine={"iterations": 10, "batch": 40})

    curves = train(params, windows_of("windowed_lstm_fast"), "x").curves

    assert curves.iteration == list(range(1, 31))
    assert curves.loss[-1] < 0.1 * curves.loss[20]


def test_a_loss_that_is_no_number_stops_at_its_iteration():
    params = params_of("windowed_lstm", optimizer="sgd", rate=1e30, iterations=50)

    with pytest.raises(
        InputError, match=r"broken: the loss became (nan|inf) at iteration \d+: lower"
    ):
        train(params, windows_of("windowed_lstm"), "broken")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"network": {"cell": "rnn_tanh", "hidden": 10, "colour": 1}},
            "network.colour is not a known",
        ),
        ({"network": {"cell": "rnn_tanh", "hidden": "10"}}, "network.hidden: .*got '10'"),
        ({"network": {"cell": "rnn_tanh"}}, "network.hidden is missing"),
        ({"network": {"cell": "rnn_tanh", "hidden": 0}}, r"hidden \(0\).*at least 1"),
        ({"network": {"cell": "tan", "hidden": 3}}, "network.cell"),
        (
            {"architecture": "transformer"},
            r"no stages/models/transformer.py: choose one of .*sequence",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_named(changes, reason):
    params = params_of("carried_rnn", **changes)

    with pytest.raises(InputError, match=reason):
        train(params, windows_of("carried_rnn"), "x")


@pytest.mark.parametrize(
    "changes", [{"rate": -1.0}, {"rate": "0.1"}, {"batch": 2}, {"ratee": 1.0}, {"order": "sorted"}]
)
def test_params_out_of_range_are_refused(changes):
    with pytest.raises(InputError, match=r"^p: sine.x"):
        check_params({**OFFICIAL["sine"]["carried_rnn"], **changes}, SineParams, "p: sine.x")


def test_the_scan_gives_what_nn_rnn_gives():
    torch.manual_seed(0)
    model = SequenceForecaster("rnn_tanh", hidden=6)
    window, state = torch.rand(3, 9), torch.rand(1, 3, 6)

    forecasts, last = model(window, state)
    states, torchs_last = model.recurrent(window.unsqueeze(-1), state)

    torch.testing.assert_close(forecasts, model.head(states).squeeze(-1))
    torch.testing.assert_close(last, torchs_last)


def test_the_scan_is_differentiated_rightly():
    torch.manual_seed(0)
    sizes = (5, 2, 3), (2, 3), (3, 3)
    arguments = [torch.randn(size, dtype=torch.double, requires_grad=True) for size in sizes]

    assert torch.autograd.gradcheck(ElmanScan.apply, arguments)


@pytest.mark.parametrize(
    ("model", "changes", "reason"),
    [
        ("windowed_lstm", {"architecture": "sequence_forecaster"}, "forecasts 40 samples"),
        ("windowed_lstm", {"carry_state": True}, "has no state"),
        ("windowed_lstm", {"closed_loop": {"context": 4, "horizon": 4}}, "has no free run"),
    ],
)
def test_a_network_that_does_not_fit_its_series_is_refused(model, changes, reason):
    sequence = {"network": {"cell": "lstm", "hidden": 4}} if "architecture" in changes else {}

    with pytest.raises(InputError, match=reason):
        train(params_of(model, **changes, **sequence), windows_of(model), model)


def test_a_mean_is_recorded_even_where_no_row_is_due():
    params = params_of("carried_rnn", iterations=10, log_every=4, mean_every=5)

    curves = train(params, windows_of("carried_rnn"), "x").curves

    assert curves.iteration == [4, 5, 8, 10]
    assert [mean is not None for mean in curves.mean_loss] == [False, True, False, True]
