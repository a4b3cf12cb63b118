"""Tasks on the Ray cluster of RAY_ADDRESS: a call is sent there, with the code of stages/.

Imports neither torch nor NumPy: a process that waits for its tasks needs little memory.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stages import SHARED_KERNELS
from stages.shared.errors import InputError, summarize

DECISIVE = (
    "numba",
    "numpy",
    "scipy",
    "statsmodels",
    "torch",
)  # packages that decide numbers: pyproject.toml pins them
_TIMEOUT = 4  # seconds, to connect to a cluster, and for its answer
_EXCLUDES = ["/*", "!.", "!/stages", "__pycache__"]  # what is not sent, in the syntax of .gitignore
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0"}  # no report, no colors
# or Ray takes this machine's outer address for 127.0.0.1, where a head on loopback does not listen
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def run_tasks(
    ray: Any, name: str, device: str, function: Callable[..., Any], calls: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    """Number and result of each call of a function on the cluster, as they end.

    Args:
        ray: the module, by `connect`.
        name: of the tasks, which the cluster prints before their lines.
        device: of params.yaml.
        function: of a module of stages/, without InputErrors: Ray would wrap them.
        calls: arguments; arrays in them are read-only there.

    Raises:
        InputError: a worker has other packages, or too many died.
    """
    has_gpu = ray.cluster_resources().get("GPU", 0) > 0
    num_gpus = int(device == "cuda" or (device == "auto" and has_gpu))
    task = ray.remote(_run_on_worker).options(name=name, num_gpus=num_gpus, max_retries=3)
    numbers = {}
    for number, call in enumerate(calls):
        numbers[task.remote(_list_versions(), function, *call)] = number
    waiting = list(numbers)
    try:
        while waiting:
            [ended], waiting = ray.wait(waiting)
            problem, result = ray.get(ended)
            if problem:
                raise InputError(problem)
            yield numbers[ended], result
    except ray.exceptions.RayTaskError:
        raise  # a bug: its traceback shows where
    except ray.exceptions.RayError as error:
        raise InputError(
            f"{name}: the Ray cluster gave up ({summarize(error)}): see its logs, then repeat"
        ) from None


def connect(address: str) -> Any:
    """Become a client of the cluster; returns the module ray.

    Raises:
        InputError: Ray is not installed, or no cluster answers within seconds.
    """
    settings = SETTINGS | LOOPBACK if "127.0.0.1" in address or "localhost" in address else SETTINGS
    for setting, value in settings.items():
        os.environ.setdefault(setting, value)
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError(
            "RAY_ADDRESS is set, and Ray is not installed: pip install -c constraints.txt "
            "-e '.[ray]', or unset it to train on this machine"
        ) from None
    environment = {
        "working_dir": str(Path(__file__).parents[2]),
        "excludes": _EXCLUDES,
        "env_vars": SHARED_KERNELS,  # set before the worker's Ray may load NumPy
    }
    try:
        _check_cluster(address)
        ray.init(runtime_env=environment, logging_level="error")
    except (OSError, ImportError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise InputError(
            f"no Ray cluster for us at RAY_ADDRESS={address} ({summarize(error)}): start one, "
            "correct the address, or unset it to train on this machine"
        ) from None
    return ray


def _check_cluster(address: str) -> None:
    """Check that a cluster answers at HOST:PORT; Ray checks other addresses, such as `auto`.

    Raises:
        OSError: nothing listens there, or not Ray, or this machine is no node of it.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT).close()
    if "://" in address:
        return  # a proxy of the cluster, which answers by itself
    from ray._private.services import find_node_ids
    from ray._raylet import GcsClient

    clients: list[Any] = []
    connecting = threading.Thread(target=lambda: clients.append(GcsClient(address)), daemon=True)
    stderr = os.dup(2)
    try:
        # past Python too: Ray's library would print every second that it tries again
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        connecting.start()
        connecting.join(_TIMEOUT)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    if not clients:
        raise ConnectionError("no Ray, or one that wants its token: RAY_AUTH_MODE=token")
    if not find_node_ids():
        raise ConnectionError(
            "this machine is no node of it: `ray start` here, or ray://HOST:10001"
        )


def _run_on_worker(
    versions: dict[str, str], function: Callable[..., Any], *call: Any
) -> tuple[str, Any]:
    """On the worker: why it cannot run the function, or else the result."""
    own = _list_versions()
    if own == versions:
        return "", function(*call)
    return f"the Ray worker has {own} instead of {versions}: install the same versions there", None


def _list_versions() -> dict[str, str]:
    """Versions of the packages that decide numbers, without the suffix that names a build."""
    versions = {}
    for package in DECISIVE:
        try:
            versions[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            versions[package] = "none"
    return versions
