import numpy as np
import pytest
import torch

from stages.forecasting.baselines import make_linear
from stages.forecasting.combine import main
from stages.forecasting.forecasters import describe_model, wrap_model
from stages.models.transformed_forecaster import TransformedForecaster
from stages.models.window_forecaster import WindowForecaster
from stages.shared.checkpoints import read_model, write_model
from stages.shared.model_config import read_config

UNITS = {"mean": 20.0, "std": 5.0, "log": False, "differences": [], "floor": None}


@pytest.fixture
def folders(tmp_path):
    """A network and a baseline of one series, and a folder for their combination."""
    torch.manual_seed(0)
    arguments = {"cell": "gru", "hidden": 3, "window": 5}
    network = TransformedForecaster([WindowForecaster(**arguments)], **UNITS)
    write_model(tmp_path / "network", describe_model(network, arguments), network)
    baseline = TransformedForecaster([make_linear(np.eye(4))], **UNITS)
    write_model(tmp_path / "baseline", describe_model(baseline), baseline)
    return [str(tmp_path / name) for name in ("network", "baseline", "combined")]


def test_a_combination_forecasts_the_mean_of_its_members(folders, tmp_path):
    history = np.sin(np.arange(24.0)).reshape(2, 12)

    main(*folders)

    network, baseline, combined = (
        wrap_model(read_model(tmp_path / name)) for name in ("network", "baseline", "combined")
    )
    mean = (network(history, 6) + baseline(history, 6)) / 2
    np.testing.assert_allclose(combined(history, 6), mean, atol=1e-6)
    members = read_config(tmp_path / "combined").network["members"]
    assert [member["network"]["mean"] for member in members] == [20.0, 20.0]


def test_a_combination_needs_the_history_that_its_baseline_needs(folders, tmp_path):
    main(*folders)

    combined = read_model(tmp_path / "combined")

    assert combined.shortest_history == 4
    with pytest.raises(ValueError, match="a history needs 4 samples, not 3"):
        combined.forecast(torch.zeros(1, 3, dtype=torch.double), 2)


def test_the_same_members_give_the_same_bytes(folders, tmp_path):
    main(*folders)
    first = (tmp_path / "combined/weights.pt").read_bytes()

    main(*folders)

    assert (tmp_path / "combined/weights.pt").read_bytes() == first
