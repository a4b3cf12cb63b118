import math
import subprocess
import sys
from itertools import pairwise

import pytest
from torch import nn

from stages.shared.errors import InputError
from stages.shared.training_loop import FitParams, Recorder, Step, fit, fit_lbfgs
from tests.shell import PROJECT

PARAMS = {
    "iterations": 10,
    "batch": 1,
    "optimizer": "sgd",
    "rate": 0.1,
    "clip_norm": None,
    "seed": 0,
}


def params(**changes):
    return FitParams(**{**PARAMS, **changes})


def ignore(iteration, batch, step):
    pass


def record(steps, params, name="x", observe=ignore, curves=None):
    """The curves of steps that nobody computed."""
    recorder = Recorder(params, name, observe, curves)
    for batch, step in enumerate(steps):
        recorder.add(batch, step)
    return recorder.curves


def make_steps(*losses):
    """Steps of one update each."""
    return [Step([float(loss)], 2.0, None) for loss in losses]


def test_every_update_is_recorded_and_its_loss_is_that_before_it():
    curves = record(make_steps(3, 2, 1), params())

    assert curves.iteration == [1, 2, 3]
    assert curves.loss == [3, 2, 1]
    assert curves.gradient_norm == [2.0, 2.0, 2.0]
    assert curves.mean_loss == [None, None, None]


def test_a_training_is_deterministic_without_torch_s_compiler():
    code = (
        "import sys, torch; from stages.shared.training_loop import *\n"
        "prepare_training(TrainingParams(seed=0))\n"
        "assert torch.is_deterministic_algorithms_warn_only_enabled()\n"
        "sys.exit('torch._inductor' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", f"import stages; {code}"], cwd=PROJECT)

    assert done.returncode == 0


def test_a_mean_is_recorded_even_where_no_row_is_due():
    curves = record(make_steps(*range(10)), params(log_every=4, mean_every=5))

    assert curves.iteration == [4, 5, 8, 10]
    assert curves.mean_loss == [None, (0 + 1 + 2 + 3 + 4) / 5, None, (5 + 6 + 7 + 8 + 9) / 5]


def test_the_observer_is_called_for_every_update():
    told = []
    first, second = make_steps(3, 2)

    record([first, second], params(log_every=2), observe=lambda *event: told.append(event))

    assert told == [(1, 0, first), (2, 1, second)]


def test_curves_are_continued():
    curves = record(make_steps(3, 2), params())

    continued = record(make_steps(1), params(), curves=curves)

    assert continued.iteration == [1, 2, 3]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_at_its_iteration(loss):
    with pytest.raises(InputError, match=rf"broken: the loss became {loss} at iteration 2: lower"):
        record(make_steps(1.0, loss), params(), "broken")


def make_blocks(*blocks):
    """Steps of several updates each."""
    return [Step(losses, 2.0, None) for losses in blocks]


def test_a_step_may_make_several_updates():
    told = []

    curves = record(
        make_blocks([5.0, 4.0], [3.0, 2.0], [1.0]),
        params(log_every=4, mean_every=2),
        observe=lambda iteration, batch, step: told.append((iteration, step.loss)),
    )

    assert told == [(2, 4.0), (4, 2.0), (5, 1.0)]
    assert curves.iteration == [2, 4]
    assert curves.loss == [4.0, 2.0]
    assert curves.mean_loss == [4.5, 2.5]


def test_a_loss_that_is_not_finite_stops_at_its_iteration_within_a_step():
    with pytest.raises(InputError, match="the loss became nan at iteration 3"):
        record(make_blocks([1.0, 1.0], [math.nan, 1.0]), params())


def square(model):
    """The loss w², and the w that gave it."""

    def loss_of(batch):
        return (model.weight**2).sum(), model.weight.clone()

    return loss_of


def make_model(weight):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


def train(model, num_updates=1, loss_of=None, **changes):
    """What updates of a model saw."""
    steps = []
    recorder = Recorder(params(**changes), "x", lambda _, batch, step: steps.append(step))
    weights = list(model.parameters())
    fit(loss_of or square(model), weights, range(num_updates), params(**changes), recorder)
    return steps


def test_a_step_of_sgd_by_hand():
    model = make_model(3.0)

    [step] = train(model)

    assert (step.loss, step.gradient_norm, step.outputs.item()) == (9.0, 6.0, 3.0)
    assert model.weight.item() == pytest.approx(3.0 - 0.1 * 6.0)


def test_a_clipped_gradient_makes_a_smaller_step_and_is_recorded_before_it():
    model = make_model(3.0)

    [step] = train(model, clip_norm=0.5, log_every=2)

    assert step.gradient_norm == pytest.approx(6.0)
    assert model.weight.item() == pytest.approx(3.0 - 0.1 * 0.5, rel=1e-5)


def test_the_gradient_norm_is_measured_where_a_row_of_the_curves_is_due():
    steps = train(make_model(3.0), num_updates=4, log_every=2)

    assert [step.gradient_norm is None for step in steps] == [True, False, True, False]


def test_a_one_cycle_rate_starts_low_and_ends_lower():
    model = make_model(1.0)

    steps = train(
        model, 10, lambda _: (model.weight.sum(), model.weight.clone()), schedule="one_cycle"
    )

    weights = [*(step.outputs.item() for step in steps), model.weight.item()]
    moves = [before - after for before, after in pairwise(weights)]
    assert max(moves) == pytest.approx(0.1, rel=1e-3)
    assert moves[-1] < moves[0] < max(moves)


def test_lbfgs_finds_the_minimum_of_a_parabola():
    model = make_model(3.0).double()
    steps = []
    recorder = Recorder(params(), "x", lambda _, batch, step: steps.append(step))

    fit_lbfgs(model, square(model), None, 5, recorder)

    assert steps[0].loss == 9.0
    assert steps[0].gradient_norm == 6.0
    assert steps[-1].loss < 1e-12
