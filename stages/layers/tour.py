"""Shapes of inputs and outputs of recurrent layers; a cell applied T times equals a layer.

There is one network, applied T times: an unrolled diagram shows time steps, not copies. A sequence
has the shape (T, B, features), with `batch_first` (B, T, features): T time steps and B examples,
for text (words, sentences, word vector). H is free, because W_I maps features to H.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_Layer = nn.RNN | nn.LSTM
_Cell = nn.RNNCell | nn.LSTMCell
_State = tuple[Tensor, ...]  # (h,) or, for an LSTM, (h, c)

STEPS, BATCH, FEATURES, HIDDEN, FIRST_HIDDEN, LAYERS = 10, 3, 100, 20, 30, 4
TOLERANCE = 1e-5  # single precision rounds differently in a fused layer and a loop of cells


class Row(NamedTuple):
    """A row of layers.csv: one module."""

    module: str
    arguments: str
    input_shape: str
    output_shape: str
    state_shapes: str
    weight_shapes: str
    parameters: int
    meaning: str


class HandWrittenCell(nn.Module):
    """One step of the network in the walk-through about surnames: h_t = tanh(u(x_t) + w(h_{t-1})).

    U, W and V of the textbooks are the weights of u, w and v; the output is log-softmax(v(h_t)).
    """

    def __init__(self, num_letters: int, hidden: int, num_languages: int) -> None:
        super().__init__()
        self.u = nn.Linear(num_letters, hidden)
        self.w = nn.Linear(hidden, hidden)
        self.v = nn.Linear(hidden, num_languages)

    def forward(self, letter: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """A one-hot letter `(B, 57)` and h `(B, H)` -> log-probabilities `(B, 18)`, the next h."""
        hidden = torch.tanh(self.u(letter) + self.w(hidden))
        return self.v(hidden).log_softmax(dim=1), hidden

    def extra_repr(self) -> str:
        """Return the sizes, as other modules do."""
        return f"{self.u.in_features}, {self.w.in_features}, {self.v.out_features}"


def _run_layers(modules: Iterable[nn.Module], sequence: Tensor) -> tuple[Tensor, list[_State]]:
    """Run modules one after another on a sequence; return output and last states."""
    states = []
    for module in modules:
        if isinstance(module, nn.Linear):
            sequence = module(sequence)
            continue
        sequence, last = module(sequence)
        states.append(_as_tuple(last))
    return sequence, states


def _run_cells(cells: Sequence[nn.Module], sequence: Tensor) -> tuple[Tensor, list[_State]]:
    """Run a stack of cells in a loop over time; return outputs and last states `(B, H)`."""
    states: list[Any] = [None] * len(cells)
    outputs = []
    for signal in sequence:  # time steps run in order, never in parallel
        for i, cell in enumerate(cells):
            states[i] = cell(signal, states[i])
            signal = _as_tuple(states[i])[0]
        outputs.append(signal)
    return torch.stack(outputs), [_as_tuple(state) for state in states]


def _as_tuple(state: Tensor | _State) -> _State:
    """Return a state as (h,) or (h, c)."""
    return state if isinstance(state, tuple) else (state,)


def _describe_modules(modules: Sequence[nn.Module], sequence: Tensor, meaning: str) -> Row:
    """Run modules on a sequence and describe their shapes."""
    if isinstance(modules[0], HandWrittenCell):
        output, state = modules[0](sequence[0], sequence.new_zeros(1, modules[0].w.in_features))
        states: list[_State] = [(state,)]
        given = sequence[0]
    elif isinstance(modules[0], _Cell):
        outputs, states = _run_cells(modules, sequence)
        given, output = sequence[0], outputs[-1]
    else:
        output, states = _run_layers(modules, sequence)
        given = sequence
    shapes = []
    for state in states:  # h and c have the same shape
        shapes.append(f"{', '.join('hc'[: len(state)])} {tuple(state[0].shape)}")
    arguments = []
    for module in modules:
        if isinstance(module, nn.Linear):
            arguments.append(f"{module.in_features}, {module.out_features}")
        else:
            arguments.append(module.extra_repr())
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return Row(
        " + ".join(type(module).__name__ for module in modules),
        " + ".join(arguments),
        str(tuple(given.shape)),
        str(tuple(output.shape)),
        "; ".join(shapes),
        _describe_weights(modules),
        sum(parameter.numel() for parameter in parameters),
        meaning,
    )


def _describe_weights(modules: Sequence[nn.Module]) -> str:
    """List the shapes of all weights: "weight_ih (20, 100), 3 × (20, 20)" of four layers."""
    shapes: dict[str, Counter[tuple[int, ...]]] = {}
    for module in modules:
        for name, weight in module.named_parameters():
            kind = re.sub(r"_l\d+$", "", name)
            shapes.setdefault(kind, Counter())[tuple(weight.shape)] += 1
    names: dict[str, list[str]] = {}  # shapes as text -> names that have them
    for kind, counted in shapes.items():
        parts = [f"{n} × {shape}" if n > 1 else f"{shape}" for shape, n in counted.items()]
        names.setdefault(", ".join(parts), []).append(kind)
    return "; ".join(f"{', '.join(kinds)} {text}" for text, kinds in names.items())


def tour_layers() -> list[Row]:
    """Return the rows of layers.csv."""
    words = torch.zeros(STEPS, BATCH, FEATURES)
    two_rnn_cells = [nn.RNNCell(FEATURES, FIRST_HIDDEN), nn.RNNCell(FIRST_HIDDEN, HIDDEN)]
    two_lstm_cells = [nn.LSTMCell(FEATURES, FIRST_HIDDEN), nn.LSTMCell(FIRST_HIDDEN, HIDDEN)]
    batch_first = nn.RNN(FEATURES, HIDDEN, LAYERS, batch_first=True)
    top_layer = "output: top layer, every step; h: every layer, last step"
    letters = torch.zeros(12, 1, 57)
    letter_by_letter = "h = tanh(u(x) + w(h)): 57 symbols, 18 languages"
    clips = torch.zeros(10, 49, 4)
    clip_modules = [nn.RNN(4, 5, batch_first=True), nn.Linear(5, 4)]
    next_frame = "10 clips of 50 frames of 4 pixels; target: next frame"
    tour: list[tuple[Sequence[nn.Module], Tensor, str]] = [
        ([nn.RNN(FEATURES, HIDDEN)], words, "10 words, 3 sentences, word vectors of 100"),
        ([nn.RNN(FEATURES, HIDDEN, LAYERS)], words, top_layer),
        ([batch_first], words.transpose(0, 1), "h keeps its axes"),
        ([nn.RNNCell(FEATURES, HIDDEN)], words, "one step a call, 10 calls"),
        (two_rnn_cells, words, "each cell has its own h"),
        ([nn.LSTM(FEATURES, HIDDEN)], words, "h is also the output; c the memory"),
        ([nn.LSTM(FEATURES, HIDDEN, LAYERS)], words, "h and c of every layer, last step"),
        ([nn.LSTMCell(FEATURES, HIDDEN)], words, "one step a call, 10 calls"),
        (two_lstm_cells, words, "each cell has its own h and c"),
        ([HandWrittenCell(57, 128, 18)], letters, letter_by_letter),
        (clip_modules, clips, next_frame),
    ]
    return [_describe_modules(*stop) for stop in tour]


def measure_difference(modules: Sequence[_Layer], sequence: Tensor) -> float:
    """Return the largest difference of outputs and states between layers and equal cells."""
    cells: list[_Cell] = []
    for module in modules:
        cell_class = nn.LSTMCell if isinstance(module, nn.LSTM) else nn.RNNCell
        sizes = [module.input_size] + module.num_layers * [module.hidden_size]
        for i, (given, hidden) in enumerate(pairwise(sizes)):
            cell = cell_class(given, hidden)
            weights = {name: getattr(module, f"{name}_l{i}") for name in cell.state_dict()}
            cell.load_state_dict(weights)
            cells.append(cell)
    with torch.no_grad():
        outputs, lasts = _run_layers(modules, sequence)
        cell_outputs, cell_states = _run_cells(cells, sequence)
    by_layer: list[_State] = []
    for last in lasts:
        by_layer += zip(*last, strict=True)  # (layers, B, H) -> (B, H) each
    differences = [outputs - cell_outputs]
    for state, cell_state in zip(by_layer, cell_states, strict=True):
        for part, cell_part in zip(state, cell_state, strict=True):
            differences.append(part - cell_part)
    return max(float(difference.abs().max()) for difference in differences)


def prove_equivalences(seed: int) -> dict[str, float]:
    """Return the largest difference for each claim that cells equal layers.

    Raises:
        RuntimeError: a claim is wrong.
    """
    torch.manual_seed(seed)
    sequence = torch.randn(STEPS, BATCH, FEATURES)
    claims: dict[str, list[_Layer]] = {
        "RNNCell 100→20 = 1-layer RNN": [nn.RNN(FEATURES, HIDDEN)],
        "4 RNNCells 100→20→20→20→20 = 4-layer RNN": [nn.RNN(FEATURES, HIDDEN, LAYERS)],
        "2 RNNCells 100→30→20 = two 1-layer RNNs in sequence": [
            nn.RNN(FEATURES, FIRST_HIDDEN),
            nn.RNN(FIRST_HIDDEN, HIDDEN),
        ],
        "LSTMCell 100→20 = 1-layer LSTM": [nn.LSTM(FEATURES, HIDDEN)],
        "4 LSTMCells 100→20→20→20→20 = 4-layer LSTM": [nn.LSTM(FEATURES, HIDDEN, LAYERS)],
        "2 LSTMCells 100→30→20 = two 1-layer LSTMs in sequence": [
            nn.LSTM(FEATURES, FIRST_HIDDEN),
            nn.LSTM(FIRST_HIDDEN, HIDDEN),
        ],
    }
    differences = {}
    for claim, modules in claims.items():
        difference = measure_difference(modules, sequence)
        if not difference < TOLERANCE:
            raise RuntimeError(f"{claim}: the largest difference is {difference:.1e}")
        differences[claim] = difference
    return differences
