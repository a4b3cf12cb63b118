import math

import pytest
import torch
from torch import nn

from stages.shared.lbfgs import LBFGS, Point, search_line

CORNER = 0.9  # largest slope, as a share of the first, at which a search may stop


def rosenbrock(point):
    x, y = point
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def search_from(*start, dtype=torch.float64):
    point = nn.Parameter(torch.tensor(start, dtype=dtype))
    return point, LBFGS([point], lambda: (rosenbrock(point), point.clone()))


def test_the_minimum_of_the_rosenbrock_function_is_found():
    point, search = search_from(-1.2, 1.0)

    losses = [search.step().loss for _ in range(60)]

    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-20
    torch.testing.assert_close(point.data, torch.ones(2, dtype=torch.float64))


def test_it_needs_about_as_many_iterations_as_pytorchs():
    _, search = search_from(-1.2, 1.0)
    point = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
    torchs = torch.optim.LBFGS([point], max_iter=30, line_search_fn="strong_wolfe")

    def measure():
        torchs.zero_grad()
        loss = rosenbrock(point)
        loss.backward()
        return loss

    torchs.step(measure)
    ours = [search.step().loss for _ in range(45)][-1]

    assert ours < max(1e-10, rosenbrock(point).item())


def test_a_step_returns_the_loss_at_its_starting_point():
    point, search = search_from(-1.2, 1.0)

    start = search.step()

    assert start.loss == pytest.approx(24.2)
    assert start.outputs.tolist() == [-1.2, 1.0]
    assert point.tolist() != [-1.2, 1.0]


def test_at_the_minimum_nothing_changes():
    point, search = search_from(1.0, 1.0)

    assert search.step().loss == search.step().loss == 0.0
    assert point.tolist() == [1.0, 1.0]


def make_function(function, slope):
    def evaluate(length):
        return Point(length, function(length), slope(length), torch.zeros(1), None)

    return evaluate


@pytest.mark.parametrize("first", [1e-4, 0.1, 1.0, 30.0, 1e6])
def test_a_line_search_satisfies_the_wolfe_conditions(first):
    def bumpy(t):
        return (t - 2) ** 2 + math.sin(3 * t)

    evaluate = make_function(bumpy, lambda t: 2 * (t - 2) + 3 * math.cos(3 * t))
    start = evaluate(0.0)

    found = search_line(evaluate, start, first)

    assert found.loss <= start.loss + 1e-4 * found.length * start.slope
    assert abs(found.slope) <= CORNER * abs(start.slope)


def test_a_line_search_recovers_from_an_overflow():
    def overflow(t):
        return (t - 1) ** 2 if t < 5 else math.nan

    evaluate = make_function(overflow, lambda t: 2 * (t - 1) if t < 5 else math.nan)

    found = search_line(evaluate, evaluate(0.0), 40.0)

    assert 0 < found.length < 2
