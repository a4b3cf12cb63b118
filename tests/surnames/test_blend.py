import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stages.models.elman_classifier import ElmanClassifier
from stages.shared.checkpoints import read_model, write_model
from stages.shared.errors import InputError
from stages.shared.model_config import ModelConfig, read_config
from stages.shared.tables import Curves, read_curves
from stages.shared.yaml_files import format_yaml
from stages.surnames.blend import fit_weights, main
from stages.surnames.names import Names, Vocabulary, write_vocabulary


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


def write_weights(*weights, **changes):
    section = {"blend_classifiers": {"weights": list(weights), **changes}}
    Path("params.yaml").write_text(format_yaml(section))


class Fixed(nn.Module):
    """Answers with the same log-probabilities for a name, whatever the names before."""

    def __init__(self, answers):
        super().__init__()
        self.answers = torch.tensor(answers).log()

    def forward(self, letters, lengths):
        return self.answers[letters[:, 0]]


def test_auto_weights_the_member_that_is_right_on_validation():
    right, wrong = [[0.8, 0.2], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]
    languages = np.array([0, 1] * 50)
    names = Names(languages[:, None].astype(np.uint8), np.ones(100, dtype=np.int64), languages)

    first, second = fit_weights([Fixed(right), Fixed(wrong)], names)

    assert first > 1 > 0.1 > second >= 0


def test_the_official_names_have_weights_of_their_own(workspace):
    for data in ("official", "custom (a.csv)"):
        write_vocabulary(workspace, Vocabulary(data, "abcde", ["A", "B", "C"]))
        write_weights(0.5, 0.5, official_weights=[0.25, 0.75])
        main(".", "one", "two", data)

    assert read_config(workspace / "official").network["weights"] == [0.25, 0.75]
    assert read_config(workspace / "custom (a.csv)").network["weights"] == [0.5, 0.5]


def test_a_blend_is_rebuilt_as_the_weighted_mean_of_its_members(workspace):
    write_weights(0.25, 0.75)
    name = torch.tensor([[0, 1, 2]]), torch.tensor([3])

    main(".", "one", "two", "blend")

    one, two, blend = (read_model(workspace / f)(*name) for f in ("one", "two", "blend"))
    torch.testing.assert_close(blend, (0.25 * one + 0.75 * two).log_softmax(1))


def test_a_blend_lists_its_members_and_has_no_curves(workspace):
    write_weights(0.5, 0.5)

    main(".", "one", "two", "blend")

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
        main(".", "one", "two", "blend")
