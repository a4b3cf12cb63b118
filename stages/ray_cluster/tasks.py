"""Tasks on the Ray cluster of RAY_ADDRESS.

Only a call travels, with the code of stages/. Imports neither torch nor NumPy: a process that waits
for its tasks needs little memory.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stages import SHARED_KERNELS
from stages.shared.errors import InputError, summarize

DECISIVE = ("numba", "numpy", "torch")  # packages that decide numbers: pyproject.toml pins them
PATIENCE = 4  # seconds, for a cluster to accept a connection, and to answer
STAGES_ALONE = ["/*", "!.", "!/stages", "__pycache__"]  # what does not travel, as git ignores
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the machine unasked
    "RAY_COLOR_PREFIX": "0",
}
# or Ray takes this machine's outer address for 127.0.0.1, where a head on loopback does not listen
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def run_tasks(
    ray: Any, name: str, device: str, function: Callable[..., Any], calls: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    """Number and answer of each call of a function on the cluster, as they end.

    Args:
        ray: the module, by `connect`.
        name: of the tasks, before their lines.
        device: of params.yaml.
        function: of a module of stages/, without InputErrors: Ray would wrap them.
        calls: arguments; arrays in them cannot be written there.

    Raises:
        InputError: a worker has other packages, or too many died.
    """
    has_gpu = ray.cluster_resources().get("GPU", 0) > 0
    num_gpus = int(device == "cuda" or (device == "auto" and has_gpu))
    task = ray.remote(call_there).options(name=name, num_gpus=num_gpus, max_retries=3)
    numbers = {}
    for number, call in enumerate(calls):
        numbers[task.remote(list_versions(), function, *call)] = number
    waiting = list(numbers)
    try:
        while waiting:
            [ended], waiting = ray.wait(waiting)
            refusal, answer = ray.get(ended)
            if refusal:
                raise InputError(refusal)
            yield numbers[ended], answer
    except ray.exceptions.RayTaskError:
        raise  # a fault in the code: its traceback tells where
    except ray.exceptions.RayError as error:
        raise InputError(
            f"{name}: the Ray cluster gave up ({summarize(error)}): see its logs, then repeat"
        ) from None


def connect(address: str) -> Any:
    """Become a client of the cluster; returns the module ray.

    Raises:
        InputError: Ray is not installed, or nobody answers, where Ray alone waits for minutes.
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
    code = {"working_dir": str(Path(__file__).parents[2]), "excludes": STAGES_ALONE}
    # before the worker starts, whatever of NumPy its Ray may load
    kernels = {"env_vars": SHARED_KERNELS}
    try:
        find_cluster(address)
        ray.init(runtime_env=code | kernels, logging_level="error")
    except (OSError, ImportError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise InputError(
            f"no Ray cluster for us at RAY_ADDRESS={address} ({summarize(error)}): start one, "
            "correct the address, or unset it to train on this machine"
        ) from None
    return ray


def find_cluster(address: str) -> None:
    """Ask Ray at HOST:PORT for its sign of life; where it looks for itself, at `auto`, let it.

    Raises:
        OSError: nobody listens there, or no Ray, or this machine has no part in it.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    if "://" in address:
        return  # a proxy of the cluster, with an answer of its own
    from ray._private.services import find_node_ids
    from ray._raylet import GcsClient

    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(GcsClient(address)), daemon=True)
    with silence():  # it would say every second that it tries once more
        asking.start()
        asking.join(PATIENCE)
    if not answers:
        raise ConnectionError("no Ray, or one that wants its token: RAY_AUTH_MODE=token")
    if not find_node_ids():
        raise ConnectionError(
            "this machine is no node of it: `ray start` here, or ray://HOST:10001"
        )


@contextmanager
def silence() -> Iterator[None]:
    """Keep stderr from libraries that write to it past Python."""
    kept = os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def call_there(
    versions: dict[str, str], function: Callable[..., Any], *call: Any
) -> tuple[str, Any]:
    """What a worker does: why it is not fit for that, or else what a function gives."""
    ours = list_versions()
    if ours != versions:
        versions_differ = f"the Ray worker has {ours} instead of {versions}"
        return f"{versions_differ}: install the same versions there", None
    return "", function(*call)


def list_versions() -> dict[str, str]:
    """The packages that decide numbers, without the suffix that names a build."""
    versions = {}
    for package in DECISIVE:
        try:
            versions[package] = version(package).partition("+")[0]
        except PackageNotFoundError:
            versions[package] = "none"
    return versions
