import numpy as np
import pytest
import torch

from stages.forecasting.global_training import group_by_length, index_windows, train_network
from stages.models.global_forecaster import GlobalForecaster
from stages.shared.errors import InputError
from stages.shared.training_loop import FitParams

NETWORK = {"cell": "gru", "hidden": 8, "window": 6, "horizon": 4, "season": 1, "patch": 3}
RECIPE = FitParams(
    seed=0,
    iterations=100,
    batch=32,
    optimizer="adamw",
    rate=0.01,
    schedule="one_cycle",
    weight_decay=0.001,
    clip_norm=1.0,
)


def make_panel(num_series=20):
    """Series of several lengths that grow by a rate of their own."""
    generator = np.random.default_rng(0)
    panel = []
    for row in range(num_series):
        times = np.arange(20 + row % 3)
        rate = generator.uniform(-0.05, 0.05)
        noise = 0.002 * generator.standard_normal(len(times))
        panel.append(10.0 ** generator.integers(-2, 5) * np.exp(rate * times + noise))
    return panel


def test_windows_are_those_that_all_targets_follow():
    model = GlobalForecaster(**NETWORK)
    lengths = [9, 5, 4, 9]
    panel = [np.exp(np.arange(length) + 100.0 * row) for row, length in enumerate(lengths)]

    windows = index_windows(model, panel)

    around = torch.arange(-6, 4)
    cut = windows.samples[torch.from_numpy(windows.starts)[:, None] + around]
    assert len(cut) == 3 + 3 + 1  # from 3 samples on, of the short one from 1; of 4 there are none
    wanted = {
        tuple(100.0 * row + np.clip(np.arange(-6, 4) + first, 0, None))
        for row, first in [(0, 3), (0, 4), (0, 5), (1, 1), (3, 3), (3, 4), (3, 5)]
    }
    assert {tuple(map(round, row)) for row in cut.tolist()} == wanted
    assert windows.scales.tolist() == pytest.approx([1.0] * 7)


def test_series_are_grouped_by_length():
    panel = [np.full(length, float(row)) for row, length in enumerate([3, 2, 3])]

    groups = [(rows.tolist(), samples[:, 0].tolist()) for rows, samples in group_by_length(panel)]

    assert groups == [([1], [1.0]), ([0, 2], [0.0, 2.0])]


def test_one_network_learns_the_growth_of_all_series():
    panel = make_panel()
    seen = [samples[:-4] for samples in panel]

    model, curves = train_network(seen, NETWORK, RECIPE, "made")

    errors, naive = [], []
    for samples in panel:
        with torch.inference_mode():
            forecast = model.forecast(torch.from_numpy(samples[None, :-4]), 4).numpy()[0]
        errors.append(np.abs(np.log(forecast / samples[-4:])).mean())
        naive.append(np.abs(np.log(samples[-5] / samples[-4:])).mean())
    assert np.mean(errors) < 0.2 * np.mean(naive)
    assert len(curves.loss) == 100 and np.mean(curves.loss[-10:]) < 0.3 * np.mean(curves.loss[:10])


def test_training_gives_the_same_bytes_twice():
    recipe = RECIPE.model_copy(update={"iterations": 5})
    first, _ = train_network(make_panel(), NETWORK, recipe, "made")

    again, _ = train_network(make_panel(), NETWORK, recipe, "made")
    other, _ = train_network(make_panel(), NETWORK, recipe.model_copy(update={"seed": 1}), "made")

    assert all(map(torch.equal, first.parameters(), again.parameters()))
    assert not torch.equal(first.head.weight, other.head.weight)


def test_the_last_samples_of_a_series_are_targets_of_its_training():
    panel = make_panel(1)
    changed = [panel[0].copy()]
    changed[0][-1] *= 1.1
    recipe = RECIPE.model_copy(update={"iterations": 5})

    first, _ = train_network(panel, NETWORK, recipe, "made")
    other, _ = train_network(changed, NETWORK, recipe, "made")

    assert not torch.equal(first.head.weight, other.head.weight)


def test_a_network_learns_from_pooled_panels_too():
    series = [np.exp(0.1 * np.arange(6.0))]
    seen = [(make_panel(), 1), (make_panel(3), 4)]

    model, curves = train_network(series, NETWORK, RECIPE, "made", seen)
    falling = 100 * np.exp(-0.05 * np.arange(20.0))
    with torch.inference_mode():
        forecast = model.forecast(torch.from_numpy(falling[None]), 4).numpy()[0]

    assert curves.loss[-1] < 0.3 * curves.loss[0]
    assert forecast == pytest.approx(100 * np.exp(-0.05 * np.arange(20, 24)), rel=0.05)


def test_a_panel_without_a_window_is_an_error():
    with pytest.raises(InputError, match="no series has more than 4 samples"):
        train_network([np.ones(4), np.ones(2)], NETWORK, RECIPE, "made")
