import gc

import pytest
import torch

from stages.models.sequence_forecaster import ElmanScan, SequenceForecaster
from stages.models.window_forecaster import WindowForecaster


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu"])
def test_the_folded_closed_loop_is_the_stepwise_one(cell):
    torch.manual_seed(0)
    model = SequenceForecaster(cell, hidden=7).double()
    history = torch.sin(torch.arange(20.0, dtype=torch.double)).repeat(3, 1)
    nexts, state = model(history)

    folded = model.forecast_closed_loop(nexts[:, -1:], state, 30)

    model.folds = False
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


def test_the_scan_is_differentiated_rightly():
    torch.manual_seed(0)
    sizes = (5, 2, 3), (2, 3), (3, 3)
    arguments = [torch.randn(size, dtype=torch.double, requires_grad=True) for size in sizes]

    assert torch.autograd.gradcheck(ElmanScan.apply, arguments)


def test_a_long_forecast_keeps_no_tensor_of_each_step():
    model = WindowForecaster("lstm", hidden=3, window=4)
    counts = []
    model.register_forward_hook(lambda *_: counts.append(count_tensors()))

    with torch.inference_mode():
        model.forecast(torch.zeros(2, 4), 20)

    assert len(counts) == 20 and counts[-1] == counts[1]


def count_tensors():
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
