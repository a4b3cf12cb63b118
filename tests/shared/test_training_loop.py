import math
from itertools import pairwise

import pytest
from torch import nn

from stages.shared.errors import InputError
from stages.shared.training_loop import FitParams, Step, fit, make_lbfgs_update, make_update

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


def answer_batch(batch, watched):
    """An update whose loss is its batch."""
    return Step([float(batch)], 2.0 if watched else None, batch)


def test_every_update_is_recorded_and_its_loss_is_that_before_it():
    curves = fit(answer_batch, [3, 2, 1], params(), "x", ignore)

    assert curves.iteration == [1, 2, 3]
    assert curves.loss == [3, 2, 1]
    assert curves.gradient_norm == [2.0, 2.0, 2.0]
    assert curves.mean_loss == [None, None, None]


def test_a_mean_is_recorded_even_where_no_row_is_due():
    curves = fit(answer_batch, range(10), params(log_every=4, mean_every=5), "x", ignore)

    assert curves.iteration == [4, 5, 8, 10]
    assert curves.mean_loss == [None, (0 + 1 + 2 + 3 + 4) / 5, None, (5 + 6 + 7 + 8 + 9) / 5]
    assert curves.gradient_norm == [2.0, None, 2.0, None]


def test_the_observer_is_told_of_every_update():
    told = []

    fit(answer_batch, [3, 2], params(log_every=2), "x", lambda *event: told.append(event))

    assert told == [(1, 3, Step([3.0], None, 3)), (2, 2, Step([2.0], 2.0, 2))]


def test_curves_are_continued():
    curves = fit(answer_batch, [3, 2], params(), "x", ignore)

    continued = fit(answer_batch, [1], params(), "x", ignore, curves)

    assert continued.iteration == [1, 2, 3]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_at_its_iteration(loss):
    with pytest.raises(InputError, match=rf"broken: the loss became {loss} at iteration 2: lower"):
        fit(answer_batch, [1.0, loss], params(), "broken", ignore)


def answer_block(batch, watched):
    """A step of several updates, whose losses are its batch."""
    return Step(batch, 2.0, None)


def test_a_step_may_make_several_updates():
    told = []
    blocks = [[5.0, 4.0], [3.0, 2.0], [1.0]]

    curves = fit(
        answer_block,
        blocks,
        params(log_every=4, mean_every=2),
        "x",
        lambda iteration, batch, step: told.append((iteration, step.loss)),
    )

    assert told == [(2, 4.0), (4, 2.0), (5, 1.0)]
    assert curves.iteration == [2, 4]
    assert curves.loss == [4.0, 2.0]
    assert curves.mean_loss == [4.5, 2.5]


def test_a_loss_that_is_no_number_stops_at_its_iteration_within_a_step():
    with pytest.raises(InputError, match="the loss became nan at iteration 3"):
        fit(answer_block, [[1.0, 1.0], [math.nan, 1.0]], params(), "x", ignore)


def square(model):
    """The loss w², and the w that gave it."""

    def loss_of(batch):
        return (model.weight**2).sum(), model.weight.clone()

    return loss_of


def make_model(weight):
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


def test_a_step_of_sgd_by_hand():
    model = make_model(3.0)

    step = make_update(model, square(model), params())(None, True)

    assert (step.loss, step.gradient_norm, step.outputs.item()) == (9.0, 6.0, 3.0)
    assert model.weight.item() == pytest.approx(3.0 - 0.1 * 6.0)


def test_a_clipped_gradient_makes_a_smaller_step_and_is_recorded_before_it():
    model = make_model(3.0)

    step = make_update(model, square(model), params(clip_norm=0.5))(None, False)

    assert step.gradient_norm == pytest.approx(6.0)
    assert model.weight.item() == pytest.approx(3.0 - 0.1 * 0.5, rel=1e-5)


def test_the_gradient_norm_is_left_out_where_nobody_asks():
    model = make_model(3.0)

    assert make_update(model, square(model), params())(None, False).gradient_norm is None


def test_a_one_cycle_rate_starts_low_and_ends_lower():
    model = make_model(1.0)
    update = make_update(
        model, lambda _: (model.weight.sum(), model.weight), params(schedule="one_cycle")
    )

    weights = [1.0]
    for _ in range(10):
        update(None, False)
        weights.append(model.weight.item())

    steps = [before - after for before, after in pairwise(weights)]
    assert max(steps) == pytest.approx(0.1, rel=1e-3)
    assert steps[-1] < steps[0] < max(steps)


def test_lbfgs_finds_the_bottom_of_a_parabola():
    model = make_model(3.0).double()
    update = make_lbfgs_update(model, square(model), None)

    steps = [update(None, True) for _ in range(5)]

    assert steps[0].loss == 9.0
    assert steps[0].gradient_norm == 6.0
    assert steps[-1].loss < 1e-12
