"""What recurrent layers take and give, and what happens to a gradient through time.

Run by DVC as `python -m stages.layers.probe OUT`: params -> data/plotted/layers/.

There is one network, applied T times: an unrolled picture shows time, not copies. A sequence is
(T, B, features), with `batch_first` (B, T, features): T time steps, B examples, and for text
(words, sentences, word vector). H is free, because W_I maps features to H.
"""

import csv
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor, nn

from stages.shared.errors import exit_on_input_error
from stages.shared.figures import (
    GREY,
    Color,
    FigureParams,
    figure_style,
    make_figure,
    save_figures,
)
from stages.shared.params import read_params

Layered = nn.RNN | nn.LSTM
Cell = nn.RNNCell | nn.LSTMCell
States = list[tuple[Tensor, ...]]  # (h,) or, for an LSTM, (h, c)

STEPS, BATCH, FEATURES, HIDDEN, FIRST_HIDDEN, LAYERS = 10, 3, 100, 20, 30, 4  # of the tour
TOLERANCE = 1e-5  # single precision rounds differently in a fused layer and a loop of cells


class ProbeParams(FigureParams):
    """Section `probe_layers` of params.yaml."""

    seed: int = Field(ge=0)  # of weights and inputs
    hidden: int = Field(gt=0)  # H of the networks whose gradients are followed
    distance: int = Field(gt=0)  # time steps from the first state to the last
    radii: list[float] = Field(min_length=1)  # spectral radii of W_R
    forget_biases: list[float | None] = Field(min_length=1)  # of the LSTMs; null: the default
    clip_norm: float = Field(gt=0)  # marked in the figure
    colors: list[Color] = Field(min_length=1)  # of the lines of a panel, in order


class Row(NamedTuple):
    """One module of the tour."""

    module: str
    arguments: str
    input_shape: str
    output_shape: str
    state_shapes: str
    parameters: int
    meaning: str


class Norm(NamedTuple):
    """How strongly the last state still depends on one `distance` steps before it."""

    case: str
    layer: str
    distance: int
    spectral_norm: float


def run_layers(modules: Iterable[nn.Module], sequence: Tensor) -> tuple[Tensor, States]:
    """Feed a sequence to modules one after another; also their last states, `(layers, B, H)`."""
    states: States = []
    for module in modules:
        if isinstance(module, nn.Linear):
            sequence = module(sequence)
            continue
        sequence, last = module(sequence)
        states.append(last if isinstance(last, tuple) else (last,))
    return sequence, states


def run_cells(cells: Sequence[Cell], sequence: Tensor) -> tuple[Tensor, States]:
    """The same for a stack of cells, which leave the loop over time to us; states `(B, H)`."""
    states: list[Any] = [None] * len(cells)
    outputs = []
    for signal in sequence:  # time steps run in order, never in parallel
        for i, cell in enumerate(cells):
            states[i] = cell(signal, states[i])
            signal = states[i][0] if isinstance(cell, nn.LSTMCell) else states[i]
        outputs.append(signal)
    return torch.stack(outputs), [s if isinstance(s, tuple) else (s,) for s in states]


def describe_modules(modules: Sequence[nn.Module], sequence: Tensor, meaning: str) -> Row:
    """Run modules on a sequence and write down the shapes."""
    given = sequence
    if isinstance(modules[0], Cell):
        output, states = run_cells(modules, sequence)
        given, output = sequence[0], output[-1]
    else:
        output, states = run_layers(modules, sequence)
    return Row(
        " + ".join(type(module).__name__ for module in modules),
        " + ".join(module.extra_repr() for module in modules),
        str(tuple(given.shape)),
        str(tuple(output.shape)),
        "; ".join(
            f"{name} {tuple(part.shape)}"
            for state in states
            for name, part in zip("hc", state, strict=False)  # an RNN has no c
        ),
        sum(weight.numel() for module in modules for weight in module.parameters()),
        meaning,
    )


def tour_layers() -> list[Row]:
    """What each recurrent layer takes and gives."""
    words = torch.zeros(STEPS, BATCH, FEATURES)
    one, deep = (FEATURES, HIDDEN), (FEATURES, HIDDEN, LAYERS)
    sizes = (FEATURES, FIRST_HIDDEN, HIDDEN)
    clips = [nn.RNN(4, 5, batch_first=True), nn.Linear(5, 4)]
    entries: list[tuple[Sequence[nn.Module], Tensor, str]] = [
        ([nn.RNN(*one)], words, "10 words, 3 sentences, word vectors of 100"),
        ([nn.RNN(*deep)], words, "output: top layer, every step; h: every layer, last step"),
        ([nn.RNN(*deep, batch_first=True)], words.transpose(0, 1), "h keeps its axes"),
        ([nn.RNNCell(*one)], words, "one step a call, 10 calls"),
        ([nn.RNNCell(*pair) for pair in pairwise(sizes)], words, "each cell has its own h"),
        ([nn.LSTM(*one)], words, "h is also the output; c is the memory"),
        ([nn.LSTM(*deep)], words, "h and c of every layer, last step"),
        ([nn.LSTMCell(*one)], words, "one step a call, 10 calls"),
        ([nn.LSTMCell(*pair) for pair in pairwise(sizes)], words, "each cell has its own h, c"),
        (clips, torch.zeros(10, 49, 4), "10 clips of 50 frames of 4 pixels; target: next frame"),
    ]
    return [describe_modules(*entry) for entry in entries]


def split_layers(module: Layered) -> list[Cell]:
    """One cell for each layer of a module, with copies of its weights."""
    make = nn.LSTMCell if isinstance(module, nn.LSTM) else nn.RNNCell
    sizes = [module.input_size] + module.num_layers * [module.hidden_size]
    cells = [make(*pair) for pair in pairwise(sizes)]
    for i, cell in enumerate(cells):
        weights = {name: getattr(module, f"{name}_l{i}") for name in cell.state_dict()}
        cell.load_state_dict(weights)
    return cells


def measure_difference(modules: Sequence[Layered], sequence: Tensor) -> float:
    """Largest difference of outputs and last states between modules and cells of equal weights."""
    cells = [cell for module in modules for cell in split_layers(module)]
    with torch.no_grad():
        outputs, lasts = run_layers(modules, sequence)
        cell_outputs, cell_states = run_cells(cells, sequence)
    states = [pair for last in lasts for pair in zip(*last, strict=True)]  # one a layer
    differences = [outputs - cell_outputs]
    for pair, cell_pair in zip(states, cell_states, strict=True):
        differences += [s - t for s, t in zip(pair, cell_pair, strict=True)]
    return max(float(difference.abs().max()) for difference in differences)


def prove_equivalences(seed: int) -> dict[str, float]:
    """Largest difference for each claim that cells and layers are the same.

    Raises:
        RuntimeError: a claim does not hold.
    """
    torch.manual_seed(seed)
    sequence = torch.randn(STEPS, BATCH, FEATURES)
    differences: dict[str, float] = {}
    for make in (nn.RNN, nn.LSTM):
        name = make.__name__
        claims = {
            f"{name}Cell 100→20 = 1-layer {name}": [make(FEATURES, HIDDEN)],
            f"4 {name}Cells 100→20→20→20→20 = 4-layer {name}": [make(FEATURES, HIDDEN, LAYERS)],
            f"2 {name}Cells 100→30→20 = two 1-layer {name}s in sequence": [
                make(FEATURES, FIRST_HIDDEN),
                make(FIRST_HIDDEN, HIDDEN),
            ],
        }
        for claim, modules in claims.items():
            differences[claim] = measure_difference(modules, sequence)
    for claim, difference in differences.items():
        if not difference < TOLERANCE:
            raise RuntimeError(f"{claim}: the largest difference is {difference:.1e}")
    return differences


def make_rnn_cell(hidden: int, radius: float) -> nn.RNNCell:
    """A tanh cell without biases whose recurrent matrix W_R has a given spectral radius."""
    cell = nn.RNNCell(hidden, hidden, bias=False, dtype=torch.float64)
    recurrent = torch.randn(hidden, hidden, dtype=torch.float64)
    recurrent *= radius / torch.linalg.eigvals(recurrent).abs().max()
    cell.weight_hh.data = recurrent
    return cell


def make_lstm_cell(hidden: int, forget_bias: float | None) -> nn.LSTMCell:
    """A cell with PyTorch's weights; its forget gate's bias may be set."""
    cell = nn.LSTMCell(hidden, hidden, dtype=torch.float64)
    if forget_bias is not None:
        forget = slice(hidden, 2 * hidden)  # the gates are in the order input, forget, cell, output
        cell.bias_ih.data[forget] = forget_bias
        cell.bias_hh.data[forget] = 0  # PyTorch adds two biases: one is enough
    return cell


def trace_gradient(cell: Cell, inputs: Tensor) -> list[float]:
    """Spectral norms of ds_T/ds_k for k = T-1, ..., 1; s is h, for an LSTM (h, c) end to end.

    By the chain rule it is the product of the Jacobians of single steps; for a tanh cell
    diag(1 - h_i^2) W_R each. It vanishes or explodes with the product of W_R.

    Args:
        cell: maps states of size S.
        inputs: `(T, features)`.
    """
    num_parts = 2 if isinstance(cell, nn.LSTMCell) else 1

    def step(state: Tensor, signal: Tensor) -> Tensor:
        nexts = cell(signal, state.chunk(2) if num_parts == 2 else state)
        return torch.cat(nexts) if num_parts == 2 else nexts

    state = torch.zeros(num_parts * cell.hidden_size, dtype=inputs.dtype)
    jacobians = []
    for signal in inputs:
        jacobians.append(torch.autograd.functional.jacobian(partial(step, signal=signal), state))
        state = step(state, signal).detach()
    norms, product = [], torch.eye(len(state), dtype=inputs.dtype)
    for jacobian in reversed(jacobians[1:]):  # the first one leads from s_0 to s_1
        product = product @ jacobian
        norms.append(float(torch.linalg.matrix_norm(product, ord=2)))
    return norms


CASES = {
    "zero input": "(a) tanh RNN, zero input:\nf' = 1, the product is $W_R^k$",
    "normal inputs": "(b) tanh RNN, unit-normal inputs:\nsaturation makes all of them shrink",
    "LSTM": "(c) LSTM, unit-normal inputs: the open\nforget gate is the remedy, not the name",
}


def trace_gradients(params: ProbeParams) -> list[Norm]:
    """The gradient through time of every case and layer."""
    torch.manual_seed(params.seed)
    noise = torch.randn(params.distance + 1, params.hidden, dtype=torch.float64)
    layers: list[tuple[str, str, Cell, Tensor]] = []
    for radius in params.radii:
        torch.manual_seed(params.seed)  # the same matrix, scaled
        cell = make_rnn_cell(params.hidden, radius)
        layers.append(("zero input", f"spectral radius {radius:g}", cell, torch.zeros_like(noise)))
        layers.append(("normal inputs", f"spectral radius {radius:g}", cell, noise))
    for bias in params.forget_biases:
        torch.manual_seed(params.seed)
        name = "default forget bias" if bias is None else f"forget bias {bias:g}"
        layers.append(("LSTM", name, make_lstm_cell(params.hidden, bias), noise))
    return [
        Norm(case, name, distance, norm)
        for case, name, cell, inputs in layers
        for distance, norm in enumerate(trace_gradient(cell, inputs), start=1)
    ]


def draw_gradients(norms: Sequence[Norm], params: ProbeParams) -> Figure:
    """One panel a case, one line a layer, named at its end."""
    subject = f"random weights, H = {params.hidden}, seed {params.seed}"
    title = "The gradient through time"
    figure = make_figure(title, subject, 2 * params.width, 1.2 * params.height)
    for axes, (case, headline) in zip(
        figure.subplots(1, 3, sharey=True), CASES.items(), strict=True
    ):
        lines: dict[str, list[Norm]] = {}
        for norm in norms:
            if norm.case == case:
                lines.setdefault(norm.layer, []).append(norm)
        for color, (layer, points) in zip(cycle(params.colors), lines.items(), strict=False):
            ys = [point.spectral_norm for point in points]
            label = f"{layer}: {ys[-1]:.2g}"
            axes.plot([point.distance for point in points], ys, color=color, label=label)
        axes.axhline(params.clip_norm, color=GREY, ls="--", lw=1)
        where = {"xy": (1, params.clip_norm), "xycoords": axes.get_yaxis_transform()}
        label = f"clipping norm {params.clip_norm:g}"
        axes.annotate(label, ha="right", va="bottom", color=GREY, **where)
        axes.set(yscale="log", title=headline, xlabel="distance $T - k$ (time steps)")
        axes.legend(title=f"at distance {params.distance}", loc="lower left")
    figure.axes[0].set_ylabel(r"spectral norm of $\partial s_T / \partial s_k$")
    return figure


def write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file; numbers with six digits, since the last ones depend on the processor."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        for row in rows:
            table.writerow(f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row)


def main(out: str) -> None:
    """Write the tables and the figure."""
    params = read_params("probe_layers", ProbeParams)
    torch.set_num_threads(1)
    differences, norms = prove_equivalences(params.seed), trace_gradients(params)
    folder = Path(out)
    with figure_style():
        save_figures({"gradients": draw_gradients(norms, params)}, folder, params.dpi)
    write_table(folder / "layers.csv", Row._fields, tour_layers())
    write_table(folder / "gradients.csv", Norm._fields, norms)
    header = ("claim", "largest_difference")
    write_table(folder / "equivalences.csv", header, differences.items())


if __name__ == "__main__":
    with exit_on_input_error():
        main(*sys.argv[1:])
