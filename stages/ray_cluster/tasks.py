"""Run function calls on the Ray cluster of RAY_ADDRESS, with the code of stages/.

Does not import torch or NumPy: a process that waits for its tasks needs little memory.
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

# packages that change numerical results; pyproject.toml pins them exactly
DECISIVE = ("numba", "numpy", "scipy", "statsmodels", "torch")
_TIMEOUT = 4  # seconds to connect to a cluster
_EXCLUDES = ["/*", "!.", "!/stages", "__pycache__"]  # files not to send, in .gitignore syntax
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0"}  # no telemetry, no colors
# otherwise Ray replaces 127.0.0.1 by the machine's address, on which a local head does not listen
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def run_tasks(
    ray: Any, name: str, device: str, function: Callable[..., Any], calls: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    """Yield the number and the result of each call, in the order in which they finish.

    Args:
        ray: the module, returned by `connect`.
        name: name of the tasks; the cluster prints it before each line of their output.
        device: `device` of the model in params.yaml.
        function: function of a module in stages/. It must not raise InputError, which Ray wraps.
        calls: arguments of each call; arrays are read-only on the worker.

    Raises:
        InputError: if a worker has other packages, or workers died too often.
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
    """Connect to a cluster, and return the module `ray`.

    Raises:
        InputError: if Ray is not installed, or no cluster answers within seconds.
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
        "env_vars": SHARED_KERNELS,  # set before the worker imports NumPy
    }
    try:
        _check_cluster(address)
        ray.init(runtime_env=environment, logging_level="error")
    except (OSError, ImportError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise InputError(
            f"no Ray cluster at RAY_ADDRESS={address} can be used ({summarize(error)}): start "
            "one, correct the address, or unset it to train on this machine"
        ) from None
    return ray


def _check_cluster(address: str) -> None:
    """Check that a cluster answers at HOST:PORT; Ray checks other addresses, such as `auto`.

    Raises:
        OSError: if nothing or something else listens there, or this machine is not a node.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT).close()
    if "://" in address:
        return  # the cluster's proxy for clients, to which Ray connects with a time limit
    from ray._private.services import find_node_ids
    from ray._raylet import GcsClient

    clients: list[Any] = []
    connecting = threading.Thread(target=lambda: clients.append(GcsClient(address)), daemon=True)
    stderr = os.dup(2)
    try:
        # the C++ part of Ray would print every second that it tries again
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        connecting.start()
        connecting.join(_TIMEOUT)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    if not clients:
        raise ConnectionError("no Ray, or it needs a token: RAY_AUTH_MODE=token")
    if not find_node_ids():
        raise ConnectionError(
            "this machine is not one of its nodes: `ray start` here, or use ray://HOST:10001"
        )


def _run_on_worker(
    versions: dict[str, str], function: Callable[..., Any], *call: Any
) -> tuple[str, Any]:
    """Call the function, on the worker; return a problem, or "" and the result."""
    own = _list_versions()
    if own == versions:
        return "", function(*call)
    return f"the Ray worker has {own} instead of {versions}: install the same versions there", None


def _list_versions() -> dict[str, str]:
    """Return the versions of `DECISIVE` packages, without a build suffix such as `+cpu`."""
    versions = {}
    for package in DECISIVE:
        try:
            versions[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            versions[package] = "none"
    return versions
