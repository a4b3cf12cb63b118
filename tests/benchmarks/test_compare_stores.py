"""Two stores that were filled from one dvc.lock hold the same."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from benchmarks.compare_stores import list_differences, main, read_runs
from tests.shell import run
from tests.store import find_filled_template
from tests.workspace import RUNS


@pytest.mark.slow
def test_two_syncs_of_one_lock_are_equal_in_all_that_is_compared(workspace):
    run(workspace, "python stages/run.py tracking.track")

    first = read_runs(workspace / "mlflow.db")
    second = read_runs(find_filled_template() / "mlflow.db")

    assert sorted(name for _, name in first) == RUNS
    assert list_differences(first, second) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("update metrics set value = 7 where key = 'curves/loss' and step = 2", "metrics differ"),
        ("update params set value = 'x' where key = 'seed'", "params differ: seed"),
        ("update tags set value = 'x' where key = 'kind'", "tags differ: kind"),
        ("update datasets set digest = 'x'", "data sets differ: data/"),
        ("update runs set status = 'FAILED'", "status FINISHED, FAILED"),
        ("delete from logged_models", "model differ: MLmodel"),
        ("update runs set name = 'x' where name = 'carried_rnn'", "carried_rnn: only in the first"),
    ],
)
def test_each_kind_of_difference_is_named(tmp_path, capsys, change, difference):
    original = find_filled_template() / "mlflow.db"
    changed = shutil.copy(original, tmp_path / "mlflow.db")
    with closing(sqlite3.connect(changed)) as store, store:
        store.execute(change)

    with pytest.raises(SystemExit, match="True"):
        main(str(original), str(changed))

    assert difference in capsys.readouterr().out
