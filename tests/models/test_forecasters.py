import gc

import numpy as np
import pytest
import torch

from stages.models.direct_forecaster import DirectForecaster
from stages.models.echo_state_forecaster import EchoStateForecaster
from stages.models.sequence_forecaster import ElmanScan, SequenceForecaster
from stages.models.window_forecaster import WindowForecaster


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu"])
def test_the_folded_closed_loop_is_the_stepwise_one(cell):
    torch.manual_seed(0)
    model = SequenceForecaster(cell, hidden=7).double()
    history = torch.sin(torch.arange(20.0, dtype=torch.double)).repeat(3, 1)
    nexts, state = model(history)

    folded = model.forecast_closed_loop(nexts[:, -1:], state, 30)

    model.can_fold_head = False
    torch.testing.assert_close(folded, model.forecast_closed_loop(nexts[:, -1:], state, 30))


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


def test_the_scan_gives_what_nn_rnn_gives():
    torch.manual_seed(0)
    model = SequenceForecaster("rnn_tanh", hidden=6)
    window, state = torch.rand(3, 9), torch.rand(1, 3, 6)

    forecasts, last = model(window, state)
    states, torchs_last = model.recurrent(window.unsqueeze(-1), state)

    torch.testing.assert_close(forecasts, model.head(states).squeeze(-1))
    torch.testing.assert_close(last, torchs_last)


def test_the_gradient_of_the_scan_is_correct():
    torch.manual_seed(0)
    sizes = (5, 2, 3), (2, 3), (3, 3)
    arguments = [torch.randn(size, dtype=torch.double, requires_grad=True) for size in sizes]

    assert torch.autograd.gradcheck(ElmanScan.apply, arguments)


def test_a_long_forecast_keeps_no_tensor_of_each_step():
    model = WindowForecaster("lstm", hidden=3, window=4)
    counts = []
    model.register_forward_hook(lambda *_: counts.append(count_tensors()))

    with torch.inference_mode():
        model.forecast(torch.zeros(2, 4), 5)

    assert len(counts) == 5 and counts[-1] == counts[1]


def count_tensors():
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def make_linear_echo_state(window=3, lags=2):
    """Its state is always zero: what is left is a linear map of the last samples."""
    return EchoStateForecaster(1, window, lags, radius=0, input_scale=0, bias_scale=0)


def test_a_readout_of_samples_alone_is_applied_to_its_own_forecasts():
    model = make_linear_echo_state()
    model.readout.data[:] = torch.tensor([9.0, 0.0, 2.0, 1.0])  # y = 2 x + 1

    forecast = model.forecast(torch.tensor([[0.0, 5.0, 1.0]]), 4)

    assert forecast.tolist() == [[3, 7, 15, 31]]
    assert forecast.dtype == torch.float64


def test_a_diverging_closed_loop_stays_within_the_bound():
    model = make_linear_echo_state()
    model.readout.data[:] = torch.tensor([0.0, 0.0, -2.0, 0.0])
    model.bound.fill_(5.0)

    forecast = model.forecast(torch.ones(1, 3), 4)

    assert forecast.tolist() == [[-2, 4, -5, 5]]


def test_the_bound_is_ten_times_the_largest_sample_of_training():
    model = make_linear_echo_state()

    model.fit_readout(torch.tensor([[1.0, -3.0, 2.0]]), torch.tensor([[1.0]]), 0.1)

    assert model.bound.item() == 30


def test_without_a_state_the_fitted_readout_is_ridge_regression():
    generator = np.random.default_rng(0)
    inputs, targets = generator.standard_normal((50, 3)), generator.standard_normal((50, 1)) + 4
    model = make_linear_echo_state(lags=3)

    model.fit_readout(torch.from_numpy(inputs), torch.from_numpy(targets), penalty=0.2)

    centred = inputs - inputs.mean(axis=0)
    gram = centred.T @ centred + 50 * 0.2 * np.eye(3)
    weights = np.linalg.solve(gram, centred.T @ (targets - targets.mean()))
    np.testing.assert_allclose(model.readout.detach()[1:4], weights[:, 0])
    residuals = targets - model(torch.from_numpy(inputs))[0].numpy()
    assert abs(residuals.mean()) < 1e-12  # the constant is not penalised


def test_the_state_of_an_echo_state_network_follows_its_equation():
    torch.manual_seed(0)
    model = EchoStateForecaster(2, window=2, lags=0, leak=0.3)
    model.readout.data[:] = torch.tensor([1.0, 10.0, 0.0])

    forecast, _ = model(torch.tensor([[0.5, -1.0]]))

    state = torch.zeros(2, dtype=torch.float64)
    for sample in (0.5, -1.0):
        drive = model.recurrent @ state + sample * model.inward + model.bias
        state = 0.7 * state + 0.3 * torch.tanh(drive)
    torch.testing.assert_close(forecast[0, 0], state[0] + 10 * state[1])


def test_the_random_weights_of_an_echo_state_network_have_the_radius():
    torch.manual_seed(0)
    model = EchoStateForecaster(400, window=4, radius=0.8, input_scale=0.5)

    radius = torch.linalg.eigvals(model.recurrent).abs().max().item()

    assert radius == pytest.approx(0.8, rel=0.05)
    assert 0.45 < model.inward.abs().max() <= 0.5
    assert [name for name, _ in model.named_parameters()] == ["readout"]


def test_lags_end_at_the_window():
    assert EchoStateForecaster(2, window=3, lags=11).readout.shape == (2 + 3 + 1,)
    assert DirectForecaster("gru", 2, window=3, horizon=5, lags=11).skip.weight.shape == (5, 3)


def test_the_linear_map_of_a_direct_forecaster_sees_its_lags_alone():
    model = DirectForecaster("gru", hidden=1, window=3, horizon=1, lags=2)
    model.skip.weight.data[:] = torch.tensor([[-1.0, 5.0]])

    forecast = model.forecast(torch.tensor([[90.0, 1.0, 3.0]]), 1)

    assert forecast.tolist() == [[3 - (1 - 3)]]


def test_an_untrained_direct_forecaster_repeats_the_last_sample():
    torch.manual_seed(0)
    model = DirectForecaster("gru", hidden=3, window=4, horizon=2)

    forecast = model.forecast(torch.tensor([[5.0, 1.0, 2.0, 7.0]]), 5)

    assert forecast.tolist() == [[7] * 5]


def test_a_direct_forecaster_continues_from_its_own_block():
    model = DirectForecaster("lstm", hidden=1, window=2, horizon=2)
    model.skip.weight.data[:] = torch.tensor([[-1.0, 0.0], [-2.0, 0.0]])  # continues a line

    forecast = model.forecast(torch.tensor([[9.0, 1.0, 3.0]]), 5)

    assert forecast.tolist() == [[5, 7, 9, 11, 13]]


@pytest.mark.parametrize(
    "model",
    [
        EchoStateForecaster(4, window=3),
        DirectForecaster("rnn_tanh", hidden=2, window=3, horizon=2),
    ],
    ids=["echo state", "direct"],
)
def test_a_shorter_history_is_preceded_by_its_first_sample_and_a_longer_one_is_cut(model):
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    history = torch.tensor([[0.5, 0.5, -1.0]], dtype=torch.float64)

    forecast = model.forecast(history, 4)

    assert torch.equal(model.forecast(history[:, 1:], 4), forecast)
    longer = torch.cat([torch.ones(1, 2, dtype=torch.float64), history], dim=1)
    assert torch.equal(model.forecast(longer, 4), forecast)


def test_an_echo_state_network_forecasts_from_its_own_forecasts():
    torch.manual_seed(0)
    model = EchoStateForecaster(5, window=3)
    torch.nn.init.normal_(model.readout, std=0.3)
    history = torch.rand(2, 3)

    forecast = model.forecast(history, 4)

    extended = torch.cat([history.double(), forecast], dim=1)
    torch.testing.assert_close(model(extended)[0][:, :-1], forecast)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (EchoStateForecaster, {"hidden": 0, "window": 3}),
        (EchoStateForecaster, {"hidden": 2, "window": 3, "lags": -1}),
        (EchoStateForecaster, {"hidden": 2, "window": 3, "leak": 0.0}),
        (EchoStateForecaster, {"hidden": 2, "window": 3, "radius": 1e300}),
        (DirectForecaster, {"cell": "lstm", "hidden": 2, "window": 3, "horizon": 0}),
        (DirectForecaster, {"cell": "lstm", "hidden": 2, "window": 3, "horizon": 1, "lags": 0}),
    ],
)
def test_sizes_that_make_no_network_are_rejected(make, arguments):
    with pytest.raises(ValueError, match=r"must|at least"):
        make(**arguments)
