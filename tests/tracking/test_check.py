"""`track --check` says what a sync would do, and writes nothing; what is stale: see test_sync."""

import pytest

from stages.shared.errors import InputError
from stages.tracking.mlflow_sync.store import Store, find_uri
from tests.store import check, fill, find_run, list_files


def test_a_missing_store_lacks_every_run_and_is_not_made(workspace):
    with pytest.raises(InputError, match="carried_rnn: no run"):
        check()

    assert not (workspace / "mlflow.db").exists()


@pytest.mark.parametrize("name", ["surname_blend", "layer_tour"])
def test_a_store_that_lacks_a_run_stays_as_it_is(workspace, name):
    fill(workspace)
    Store(find_uri()).drop_run(find_run(name))
    before = list_files(workspace)

    with pytest.raises(InputError, match=f"{name}: no run"):
        check()

    assert list_files(workspace) == before
