import json

import numpy as np
import pytest
import torch
from torch import nn

from stages.layers.gradients import ProbeParams, trace_gradient, trace_gradients
from stages.layers.probe import main
from stages.layers.tour import (
    HandWrittenCell,
    measure_difference,
    prove_equivalences,
    tour_layers,
)

SECTION = {
    "seed": 5,
    "hidden": 20,
    "distance": 39,
    "radii": [0.5, 1.0, 1.5],
    "forget_biases": [None, 3.0],
    "clip_norm": 10.0,
}


@pytest.fixture(scope="module")
def farthest():
    norms = trace_gradients(ProbeParams(**SECTION))
    return {(norm.case, norm.layer): norm.spectral_norm for norm in norms if norm.distance == 39}


@pytest.mark.parametrize(("radius", "published"), [("0.5", 4e-12), ("1", 2.3), ("1.5", 1.7e7)])
def test_without_input_the_gradient_follows_the_spectral_radius(farthest, radius, published):
    assert farthest["zero input", f"spectral radius {radius}"] == pytest.approx(published, rel=0.5)


def test_saturation_makes_every_gradient_shrink(farthest):
    shrunk = {layer: norm for (case, layer), norm in farthest.items() if case == "normal inputs"}

    assert len(shrunk) == 3
    for layer, norm in shrunk.items():
        assert norm < min(1, farthest["zero input", layer])


def test_the_gradient_vanishes_by_default_and_not_with_an_open_forget_gate(farthest):
    assert 1e-9 < farthest["LSTM", "default forget bias"] < 1e-6  # published: 1.4e-7
    assert 0.5 < farthest["LSTM", "forget bias 3"] < 10  # published: 2.4


def test_without_input_the_product_is_a_power_of_the_recurrent_matrix():
    torch.manual_seed(0)
    cell = nn.RNNCell(4, 4, bias=False, dtype=torch.float64)

    norms = trace_gradient(cell, torch.zeros(4, 4, dtype=torch.float64))

    power = torch.linalg.matrix_power(cell.weight_hh.data, 3)
    assert len(norms) == 3
    assert norms[-1] == pytest.approx(float(torch.linalg.matrix_norm(power, 2)))


def test_the_product_of_step_jacobians_is_the_gradient_that_autograd_gives():
    torch.manual_seed(0)
    cell = nn.LSTMCell(3, 3, dtype=torch.float64)
    inputs = torch.randn(5, 3, dtype=torch.float64)

    def run(state):
        for signal in inputs[1:]:
            state = torch.cat(cell(signal, state.chunk(2)))
        return state

    zeros = torch.zeros(3, dtype=torch.float64)
    first = torch.cat(cell(inputs[0], (zeros, zeros))).detach()
    whole = torch.autograd.functional.jacobian(run, first)

    assert trace_gradient(cell, inputs)[-1] == pytest.approx(
        float(torch.linalg.matrix_norm(whole, 2))
    )


def test_the_tour_has_the_published_shapes():
    rows = [(row.module, row.output_shape, row.state_shapes) for row in tour_layers()]

    assert rows == [
        ("RNN", "(10, 3, 20)", "h (1, 3, 20)"),
        ("RNN", "(10, 3, 20)", "h (4, 3, 20)"),
        ("RNN", "(3, 10, 20)", "h (4, 3, 20)"),
        ("RNNCell", "(3, 20)", "h (3, 20)"),
        ("RNNCell + RNNCell", "(3, 20)", "h (3, 30); h (3, 20)"),
        ("LSTM", "(10, 3, 20)", "h, c (1, 3, 20)"),
        ("LSTM", "(10, 3, 20)", "h, c (4, 3, 20)"),
        ("LSTMCell", "(3, 20)", "h, c (3, 20)"),
        ("LSTMCell + LSTMCell", "(3, 20)", "h, c (3, 30); h, c (3, 20)"),
        ("HandWrittenCell", "(1, 18)", "h (1, 128)"),
        ("RNN + Linear", "(10, 49, 4)", "h (1, 10, 5)"),
    ]


def test_parameters_are_counted_by_hand():
    rows = {row.module: row for row in tour_layers() if "num_layers" not in row.arguments}

    assert rows["RNN"].parameters == 20 * 100 + 20 * 20 + 20 + 20
    assert rows["HandWrittenCell"].parameters == 128 * 57 + 128 * 128 + 18 * 128 + 128 + 128 + 18


def test_the_tour_has_the_shapes_of_all_weights():
    shapes = {(row.module, row.arguments): row.weight_shapes for row in tour_layers()}

    assert shapes["RNN", "100, 20"] == (
        "weight_ih (20, 100); weight_hh (20, 20); bias_ih, bias_hh (20,)"
    )
    assert shapes["RNN", "100, 20, num_layers=4"].startswith("weight_ih (20, 100), 3 × (20, 20); ")
    assert shapes["LSTMCell + LSTMCell", "100, 30 + 30, 20"].startswith(
        "weight_ih (120, 100), (80, 30); weight_hh (120, 30), (80, 20); "
    )
    assert shapes["HandWrittenCell", "57, 128, 18"] == (
        "u.weight (128, 57); u.bias, w.bias (128,); w.weight (128, 128); v.weight (18, 128); "
        "v.bias (18,)"
    )


def test_the_hand_written_cell_is_that_of_torch_with_a_head():
    torch.manual_seed(0)
    cell, theirs = HandWrittenCell(57, 128, 18), nn.RNNCell(57, 128)
    weights = {"weight_ih": cell.u.weight, "bias_ih": cell.u.bias}
    weights |= {"weight_hh": cell.w.weight, "bias_hh": cell.w.bias}
    theirs.load_state_dict(weights)
    letter, state = torch.eye(57)[:1], torch.randn(1, 128)

    answer, following = cell(letter, state)

    torch.testing.assert_close(following, theirs(letter, state))
    torch.testing.assert_close(answer, cell.v(following).log_softmax(dim=1))


def test_every_equivalence_holds():
    differences = prove_equivalences(seed=0)

    assert len(differences) == 6
    assert max(differences.values()) < 1e-5


def test_a_layer_with_other_arithmetic_is_detected():
    torch.manual_seed(0)
    relu = nn.RNN(4, 3, nonlinearity="relu")  # its cells would be tanh

    assert measure_difference([relu], torch.randn(5, 2, 4)) > 0.01


def test_a_claim_that_does_not_hold_stops_the_stage(monkeypatch):
    monkeypatch.setattr("stages.layers.tour.TOLERANCE", 0.0)

    with pytest.raises(RuntimeError, match="the largest difference is"):
        prove_equivalences(seed=0)


def test_same_params_give_same_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = SECTION | {"hidden": 4, "distance": 3}
    params = {"probe_layers": section, "figures": {"dpi": 40}}
    (tmp_path / "params.yaml").write_text(json.dumps(params), encoding="utf-8")

    main("first")
    main("second")

    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / out).iterdir()}
        for out in ("first", "second")
    )
    tables = {"layers.csv", "equivalences.csv", "gradients.csv"}
    assert set(first) == tables | {"gradients.png", "unrolled.png"}
    assert first == second
    rows = np.genfromtxt(tmp_path / "first/gradients.csv", delimiter=",", skip_header=1)
    assert len(rows) == 3 * (2 * 3 + 2)
