import sys

import numpy as np
import pytest

from benchmarks.clock import Turns, alternate, run_measured
from stages.shared.errors import InputError


def test_two_calls_alternate_and_stop_when_the_budget_is_spent():
    calls = []

    turns = alternate(lambda: calls.append("a"), lambda: calls.append("b"), repeats=3)
    once = alternate(lambda: None, lambda: None, repeats=3, budget=0.0)

    assert "".join(calls) == "ababab"
    assert len(turns.ours) == len(turns.reference) == 3
    assert len(once.ours) == 1


def test_turns_are_compared_repeat_by_repeat():
    turns = Turns(ours=[1.0, 2.0], reference=[4.0, 10.0])

    assert turns.speed_ups == [4.0, 5.0]
    assert turns.shares == [0.25, 0.2]


def test_a_command_is_measured_without_the_memory_of_this_process(tmp_path):
    ballast = np.ones(50_000_000)  # 400 MB

    usage = run_measured([sys.executable, "-c", "pass"], tmp_path)

    assert 0 < usage.mebibytes < 100 < ballast.nbytes / 2**20


def test_a_failed_command_shows_its_output(tmp_path):
    with pytest.raises(InputError, match="it broke"):
        run_measured([sys.executable, "-c", "raise SystemExit('it broke')"], tmp_path)
