import json
from pathlib import Path

import pytest
import torch

from stages.models.elman_classifier import ElmanClassifier
from stages.shared.checkpoints import read_model, write_model
from stages.shared.errors import InputError
from stages.shared.model_config import ModelConfig, read_config
from stages.shared.tables import Curves, read_curves
from stages.shared.yaml_files import format_yaml
from stages.surnames.blend import main


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Two trained members."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        network = {"num_letters": 5, "num_languages": 3, "hidden": 4}
        config = ModelConfig("surnames", "elman_classifier", network)
        write_model(tmp_path / name, config, ElmanClassifier(**network))
    return tmp_path


def write_weights(*weights):
    section = {"blend_classifiers": {"weights": list(weights)}}
    Path("params.yaml").write_text(format_yaml(section))


def test_a_blend_is_rebuilt_as_the_weighted_mean_of_its_members(workspace):
    write_weights(0.25, 0.75)
    name = torch.tensor([[0, 1, 2]]), torch.tensor([3])

    main("one", "two", "blend")

    one, two, blend = (read_model(workspace / f)(*name) for f in ("one", "two", "blend"))
    torch.testing.assert_close(blend, (0.25 * one + 0.75 * two).log_softmax(1))


def test_a_blend_says_what_it_is_made_of_and_has_no_curves(workspace):
    write_weights(0.5, 0.5)

    main("one", "two", "blend")

    config = read_config(workspace / "blend")
    assert config.architecture == "blend_classifier"
    member = {"architecture": "elman_classifier", "network": read_config(workspace / "one").network}
    assert config.network == {"members": [member, member], "weights": [0.5, 0.5]}
    assert read_curves(workspace / "blend/curves.csv") == Curves()
    times = json.loads((workspace / "blend/times.json").read_text())
    assert list(times) == ["started", "ended", "processor"]


def test_each_member_needs_its_weight(workspace):
    write_weights(0.5)

    with pytest.raises(InputError, match="has 1 values for 2 members"):
        main("one", "two", "blend")
