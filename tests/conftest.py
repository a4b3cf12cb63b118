"""The arithmetic and the one torch thread of every stage, no telemetry; a workspace, a cluster."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("SURNAMES_ZIP", None)  # a tester's own copy must not decide a test

from stages import SHARED_KERNELS
from stages.shared.reproducible import make_reproducible
from tests.shell import find_templates

make_reproducible()
find_templates()  # before the workers of xdist start

LOOPBACK = {"node_ip_address": "127.0.0.1", "include_dashboard": False}  # of a Ray node


def add_node(cluster: Any, **resources: int) -> Any:
    """Add a node with one core to a Ray cluster on this machine.

    Each node unpacks the code into a folder of its own. They share one otherwise, which Ray empties
    when a second node unpacks the same code, under a worker of the first that is importing it.
    """
    folder = f"runtime_resources_{len(cluster.worker_nodes)}"
    return cluster.add_node(num_cpus=1, runtime_env_dir_name=folder, **resources, **LOOPBACK)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: results, and no store yet."""
    from tests.workspace import copy_workspace, work_in  # imports what few tests need

    folder = copy_workspace(tmp_path / "workspace")
    work_in(folder, monkeypatch)
    return folder


@pytest.fixture(scope="module")
def ray() -> Any:
    """The package."""
    return pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")


@pytest.fixture(scope="module")
def cluster(ray: Any) -> Iterator[Any]:
    """A head, to which clients connect, and two nodes that compute."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for name in SHARED_KERNELS:  # that the tests have chosen
            patch.delenv(name, raising=False)
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **LOOPBACK})
        for _ in range(2):
            add_node(nodes)
        yield nodes
        nodes.shutdown()
