import pytest
import torch

from stages.models.sequence_forecaster import SequenceForecaster
from stages.shared.checkpoints import build_network, read_model, write_model
from stages.shared.errors import InputError
from stages.shared.model_config import ModelConfig, read_config

SMALL = {"cell": "rnn_tanh", "hidden": 3}


@pytest.mark.parametrize(
    ("architecture", "network", "reason"),
    [
        ("sequence_forecaster", SMALL | {"colour": 1}, "network.colour is not a known"),
        ("sequence_forecaster", SMALL | {"hidden": "10"}, "network.hidden: .*got '10'"),
        ("sequence_forecaster", {"cell": "rnn_tanh"}, "network.hidden is missing"),
        ("sequence_forecaster", SMALL | {"hidden": 0}, r"hidden \(0\).*at least 1"),
        ("sequence_forecaster", SMALL | {"cell": "tan"}, "network.cell"),
        ("transformer", SMALL, r"no stages/models/transformer.py: choose one of .*sequence"),
    ],
)
def test_a_network_that_cannot_be_built_is_named(architecture, network, reason):
    with pytest.raises(InputError, match=f"params.yaml: forecasters.x.*{reason}"):
        build_network(architecture, network, "params.yaml: forecasters.x")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_is_rebuilt_from_its_files_alone(tmp_path, dtype):
    model = SequenceForecaster(**SMALL).to(dtype)
    config = ModelConfig("forecasting", "sequence_forecaster", SMALL)
    write_model(tmp_path, config, model)

    rebuilt = read_model(tmp_path)

    assert read_config(tmp_path) == config
    history = torch.rand(2, 5, dtype=dtype)
    torch.testing.assert_close(rebuilt.forecast(history, 4), model.forecast(history, 4))
    assert not rebuilt.training


def test_the_same_weights_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        torch.manual_seed(0)
        write_model(
            tmp_path / name,
            ModelConfig("forecasting", "sequence_forecaster", SMALL),
            SequenceForecaster(**SMALL),
        )

    first, second = ((tmp_path / name / "weights.pt").read_bytes() for name in ("one", "two"))
    assert first == second


def test_a_view_is_saved_without_the_storage_that_it_looks_into(tmp_path):
    model = torch.nn.Linear(2, 1)
    model.weight = torch.nn.Parameter(torch.zeros(1000, 2)[:1])

    write_model(tmp_path, ModelConfig("forecasting", "linear", {}), model)

    assert (tmp_path / "weights.pt").stat().st_size < 4000
