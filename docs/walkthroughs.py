"""# The walk-throughs, step by step

It loads what `make repro` has made, makes one update of each published network with all shapes
printed, compares it with the first update of the pipeline, and redraws three figures. Nothing is
computed twice: networks, draws and figures are the functions of the stages.

It runs as a notebook, docs/walkthroughs.ipynb, and as `python docs/walkthroughs.py`, in seconds.
[walkthroughs.md](walkthroughs.md) explains what it shows.
"""

# %%
import io
import os
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

here = [Path.cwd(), *Path.cwd().parents]
os.chdir(next((folder for folder in here if (folder / "dvc.yaml").exists()), here[0]))
sys.path.insert(0, str(Path.cwd()))

from stages.forecasting.plot import draw_snapshots, draw_walkthrough_test, draw_window  # noqa: E402
from stages.forecasting.series import GeneratedSeries, read_series  # noqa: E402
from stages.forecasting.train import ForecasterParams, draw_windows  # noqa: E402
from stages.shared.arrays import read_arrays  # noqa: E402
from stages.shared.checkpoints import build_network  # noqa: E402
from stages.shared.figures import figure_style  # noqa: E402
from stages.shared.params import read_params  # noqa: E402
from stages.shared.tables import read_curves, read_table  # noqa: E402
from stages.surnames.names import format_answer, read_splits, read_vocabulary  # noqa: E402
from stages.surnames.train import ClassifierParams, draw_names  # noqa: E402
from stages.tracking.leaderboards import find_scores, read_scores  # noqa: E402

FORECASTERS = ("carried_rnn", "lagged_rnn", "windowed_lstm", "small_init_rnn")
needed = [Path("data/trained", name, "curves.csv") for name in (*FORECASTERS, "surname_rnn")]
needed += [find_scores("forecasting", name) for name in FORECASTERS]
needed.append(find_scores("surnames", "surname_rnn"))
if missing := [path for path in needed if not path.exists()]:
    raise SystemExit(f"{missing[0]} is missing: run `make repro`, or `make pull`, first")

# %% [markdown]
# ## What the pipeline found
#
# The score with which each walk-through ends; `carried_rnn` and `small_init_rnn` start their test
# at one of three places, and the mean over all three says more.

# %%
for name in FORECASTERS:
    scores = read_scores("forecasting", name)
    mean = scores.get("walkthrough_mse_all_starts", scores["walkthrough_mse"])
    print(f"{name:15} error {scores['walkthrough_mse']:.4f}, mean over its starts {mean:.4f}")
print(f"{'surname_rnn':15} accuracy {read_scores('surnames', 'surname_rnn')['accuracy']:.3f}")

# %% [markdown]
# ## One update of the four that forecast a sine
#
# x is the window that the first update draws, `(B, T, 1)`; the recurrent layer gives a state for
# each time step, `(B, T, H)`, and h, the last of them, as `(layers, B, H)`, whatever `batch_first`
# is; an LSTM gives h and c. y is what the head makes of the states. Each weight is printed with the
# norm of its gradient; clipping looks at all of them together.


# %%
def print_shapes(**tensors: Tensor) -> None:
    """Print the shape of each tensor by its name."""
    print("  " + ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items()))


def finish_update(name: str, model: nn.Module, loss: Tensor, rate: float) -> None:
    """Go back through time, look at the gradients, and compare the loss with the pipeline's."""
    loss.backward()
    gradients = {}
    for weight, values in model.named_parameters():
        assert values.grad is not None
        gradients[weight] = values.grad
        print(f"    {weight:24} {tuple(values.shape)!s:10} gradient {values.grad.norm():.2g}")
    print(f"  norm of all gradients {nn.utils.get_total_norm(gradients.values()):.3g}", end=", ")
    first = read_curves(Path("data/trained", name, "curves.csv"))
    if first.iteration[0] == 1:
        assert abs(first.loss[0] - loss.item()) < 1e-4 * loss.item(), name
        print(f"loss {loss:.6f}: that of the pipeline's first update", end=", ")
    print(f"rate {rate}")


for name in FORECASTERS:
    params = read_params(f"forecasters.{name}", ForecasterParams)
    series = read_series(Path(f"data/preprocessed/series/{params.series}.npz"))
    assert isinstance(series, GeneratedSeries)
    windows = series.windows
    rows = draw_windows(params, len(windows.inputs))[0]
    x, target = (torch.from_numpy(part[rows]) for part in (windows.inputs, windows.targets))
    torch.manual_seed(params.seed)
    model: Any = build_network(params.architecture, params.network, name)
    y, _ = model(x)
    samples = x.unsqueeze(-1)  # a time step has one feature
    states, last = model.recurrent(samples)
    print(f"{name}: {len(windows.inputs)} windows")
    last = (last,) if isinstance(last, Tensor) else last
    print_shapes(x=samples, states=states, **dict(zip("hc", last, strict=False)), y=y)
    finish_update(name, model, nn.functional.mse_loss(y, target), params.rate)

# %% [markdown]
# ## One update of the hand-written cell
#
# A name of T letters is T time steps: U (128, 57) reads a letter, W (128, 128) the state before it,
# V (18, 128) answers after the last one. In the file a letter is its number, in the formulas a
# one-hot vector of 57: u(x) is a column of U.

# %%
folder = Path("data/preprocessed/surnames")
training, vocabulary = read_splits(folder).train, read_vocabulary(folder)
recipe = read_params("classifiers.surname_rnn", ClassifierParams)
[row] = draw_names(recipe.model_copy(update={"iterations": 1}), training.languages)
lengths = torch.from_numpy(training.lengths[row : row + 1])
letters = torch.from_numpy(training.letters[row : row + 1, : lengths[0]]).long()
language = torch.from_numpy(training.languages[row : row + 1])
torch.manual_seed(recipe.seed)
sizes = {"num_letters": len(vocabulary.symbols), "num_languages": len(vocabulary.languages)}
model = build_network(recipe.architecture, sizes | recipe.network, "surname_rnn")
log_probabilities = model(letters, lengths)
word = "".join(vocabulary.symbols[letter] for letter in letters[0])
print(f"surname_rnn: {word}, {vocabulary.languages[language]}")
one_hot = nn.functional.one_hot(letters, len(vocabulary.symbols)).transpose(0, 1)
print_shapes(x=one_hot, y=log_probabilities)
loss = nn.functional.nll_loss(log_probabilities, language)
finish_update("surname_rnn", model, loss, recipe.rate)

# %% [markdown]
# After 200,000 of them it answers:

# %%
answers: dict[str, list[tuple[float, str]]] = {}
for answer in read_table(find_scores("surnames", "surname_rnn").with_name("queries.csv")):
    ranked = answers.setdefault(answer["query"], [])
    ranked.append((float(answer["log_probability"]), answer["language"]))
for query, ranked in answers.items():
    print("\n".join(format_answer(query, ranked)))

# %% [markdown]
# ## Three figures
#
# The first half-period, what `lagged_rnn` says at updates 0, 25, 50 and 75, and the closing test of
# `carried_rnn` from all three starts.


# %%
def show(figure: Figure) -> None:
    """Show a figure in a notebook; elsewhere it is drawn, and that is all."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80)
    if "IPython" in sys.modules:
        from IPython.display import Image, display

        display(Image(picture.getvalue()))
    else:
        print(f"{figure.get_suptitle()}: drawn")


half_periods = read_series(Path("data/preprocessed/series/half_periods.npz"))
assert isinstance(half_periods, GeneratedSeries)
snapshots = read_arrays(Path("data/trained/lagged_rnn/snapshots.npz"))
forecasts = read_arrays(find_scores("forecasting", "carried_rnn").with_name("forecasts.npz"))
units, step = half_periods.units, half_periods.spacing
with figure_style():
    show(draw_window(half_periods, step, "lagged_rnn"))
    show(draw_snapshots(snapshots, step, units, "lagged_rnn", color="blue"))
    show(draw_walkthrough_test(forecasts, {}, units, "carried_rnn"))
