"""The compiled kernels beside automatic differentiation, and their bytes on other processors."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numba.core import caching

from stages.forecasting.train import CompiledGradient, WindowBatch
from stages.models.elman_classifier import ElmanClassifier
from stages.models.sequence_forecaster import SequenceForecaster
from stages.models.window_forecaster import WindowForecaster
from stages.shared import kernels
from stages.surnames.train import update_by_hand

ROOT = Path(__file__).parents[2]
FLAGS = Path("/proc/cpuinfo").read_text("utf-8").split() if Path("/proc/cpuinfo").exists() else []
PROCESSORS = {"generic": "sse2", "haswell": "avx2", "skylake-avx512": "avx512vl", "host": "sse2"}
# 300 updates of each kernel, of sizes that fill no vector, and what they leave
DIGEST = """
import hashlib
import stages
import numpy as np
from stages.shared import kernels

r = np.random.default_rng(0)
f = lambda *shape: r.uniform(-0.3, 0.3, shape).astype(np.float32)
weights = f(13, 30), f(13), f(13, 13), f(13), f(7, 13), f(7)
losses, logits, digest = np.empty(300), f(7), hashlib.md5()
lengths = r.integers(1, 12, 300)
letters = r.integers(0, 30, (300, 12)), lengths, r.integers(0, 7, 300)
norm = kernels.train_names(*letters, weights, 0.05, losses, logits)
for array in (*weights, losses, logits, np.array(norm)):
    digest.update(array.tobytes())
for differentiate, rows, num_targets in (
    (kernels.differentiate_elman, 13, 21),
    (kernels.differentiate_lstm, 52, 1),
):
    flat, targets, state = f(rows * 16 + 14), f(1, num_targets), np.zeros(13, np.float32)
    gradient, forecasts = np.empty_like(flat), np.empty_like(targets)
    for _ in range(300):
        differentiate(f(1, 21), targets, state, flat, gradient, forecasts)
        flat -= np.float32(0.05) * gradient
        digest.update(forecasts.tobytes())
    digest.update(flat.tobytes())
print(digest.hexdigest())
"""


def start_digest(cache, **environment):
    """A process that compiles the kernels, and says what they computed."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", DIGEST], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )


def read_digest(process):
    said, _ = process.communicate()
    assert process.returncode == 0
    return said.strip()


def test_tanh_is_as_near_as_its_comment_says():
    x = np.linspace(-12, 12, 1_000_001, dtype=np.float32)

    ours = x.copy()
    kernels.squash(ours)

    errors = np.abs(ours - np.tanh(x.astype(np.float64)))
    assert errors.max() < 3.5e-7
    small = np.abs(x) < 0.01
    np.testing.assert_allclose(ours[small], np.tanh(x[small]), rtol=3e-7)


@pytest.mark.parametrize("x", [-50.0, -3.7, -1e-9, 0.0, 0.3, 2.9])
def test_exp_is_that_of_the_library(x):
    assert kernels.exp(x) == pytest.approx(math.exp(x), rel=1e-9)


@pytest.mark.parametrize("x", [1.0, 1.001, 2.7, 18.0, 300.0])
def test_log_is_that_of_the_library(x):
    assert kernels.log(x) == pytest.approx(math.log(x), rel=1e-8, abs=1e-9)


def build_classifier():
    torch.manual_seed(0)
    return ElmanClassifier(num_letters=5, num_languages=3, hidden=9)


@pytest.mark.parametrize("name", [[3, 0, 3, 3, 1, 0, 4], [2]])
def test_an_update_by_hand_moves_the_weights_as_automatic_differentiation_does(name):
    letters, lengths = torch.tensor([[*name, 0]]), torch.tensor([len(name)])
    languages = torch.tensor([2])
    by_hand, automatic = build_classifier(), build_classifier()
    log_probabilities = automatic(letters, lengths)
    torch.nn.functional.nll_loss(log_probabilities, languages).backward()

    step = update_by_hand(by_hand, 0.1, (letters, lengths, languages))

    gradients = [weight.grad for weight in automatic.parameters()]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    assert step.loss == pytest.approx(-log_probabilities[0, 2].item(), rel=1e-6)
    assert step.gradient_norm == pytest.approx(norm, rel=1e-6)
    torch.testing.assert_close(step.outputs.log_softmax(1), log_probabilities.detach())
    for moved, weight in zip(by_hand.parameters(), automatic.parameters(), strict=True):
        torch.testing.assert_close(moved, weight - 0.1 * weight.grad, rtol=1e-6, atol=1e-7)


def test_a_block_of_names_is_the_same_updates_one_after_another():
    names = torch.tensor([[3, 0, 4, 1], [2, 2, 0, 0], [1, 0, 0, 0]])
    lengths, languages = torch.tensor([4, 2, 1]), torch.tensor([2, 0, 1])
    together, apart = build_classifier(), build_classifier()

    block = update_by_hand(together, 0.1, (names, lengths, languages))
    steps = []
    for n in range(3):
        batch = names[n : n + 1], lengths[n : n + 1], languages[n : n + 1]
        steps.append(update_by_hand(apart, 0.1, batch))

    assert block.losses == [step.loss for step in steps]
    assert block.gradient_norm == steps[-1].gradient_norm
    assert torch.equal(block.outputs, steps[-1].outputs)
    for ours, theirs in zip(together.parameters(), apart.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("build", "kernel", "num_targets"),
    [
        (lambda: SequenceForecaster("rnn_tanh", hidden=7), "differentiate_elman", 11),
        (lambda: WindowForecaster("lstm", hidden=7, window=11), "differentiate_lstm", 1),
    ],
)
def test_a_compiled_gradient_is_that_of_automatic_differentiation(build, kernel, num_targets):
    torch.manual_seed(0)
    model = build()
    carries = num_targets > 1
    state = torch.rand(1, 1, 7) if carries else None
    batch = WindowBatch(torch.randn(1, 11), torch.randn(1, num_targets), np.zeros(1))
    forecasts, last = model(batch.inputs, state)
    loss = torch.nn.functional.mse_loss(forecasts, batch.targets)
    automatic = torch.cat([g.flatten() for g in torch.autograd.grad(loss, model.parameters())])
    gradient = CompiledGradient(model, kernel, carry_state=carries)
    if carries:
        gradient.hidden[:] = state.numpy().ravel()

    compiled_loss, compiled_forecasts = gradient(batch)

    assert compiled_loss == pytest.approx(loss.item(), rel=1e-6)
    torch.testing.assert_close(compiled_forecasts, forecasts.detach(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient.vector.grad, automatic, rtol=1e-5, atol=3e-7)
    if carries:
        torch.testing.assert_close(gradient.state, last.detach(), rtol=1e-6, atol=1e-6)


def test_weights_of_a_compiled_gradient_are_those_of_the_model():
    model = SequenceForecaster("rnn_tanh", hidden=4)
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach()

    CompiledGradient(model, "differentiate_elman", carry_state=False).weights[:] += 1

    after = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    assert torch.equal(after, before + 1)


@pytest.mark.slow  # 15 s: each processor compiles all kernels
def test_bytes_do_not_depend_on_the_processor(tmp_path):
    digests = {}
    for name, flag in PROCESSORS.items():
        if flag in FLAGS:
            digests[name] = read_digest(start_digest(tmp_path, NUMBA_CPU_NAME=name))

    assert len(digests) > 2
    assert len(set(digests.values())) == 1, digests


@pytest.mark.slow  # 10 s: compiles all kernels
def test_processes_that_compile_at_once_share_a_cache(tmp_path):
    pair = [start_digest(tmp_path), start_digest(tmp_path)]
    digests = [read_digest(process) for process in pair]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}

    digests.append(read_digest(start_digest(tmp_path)))

    assert len(set(digests)) == 1
    assert len(kept) == 3
    assert kept == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    double = kernels.kernel(lambda x: 2 * x)

    assert double(3) == 6
