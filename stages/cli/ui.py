"""Open MLflow on the runs: `srn ui [--port N]`, what `make ui` calls.

Starts MLflow on the store, waits until it answers, and prints where each experiment opens. Where
MLFLOW_TRACKING_URI names a server, that is shown instead.
"""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator

from stages.cli.text import align
from stages.shared.errors import InputError, hide_passwords
from stages.tracking.mlflow_sync.mlflow_internals import find_view_address
from stages.tracking.mlflow_sync.store import find_uri, open_store

HOST = "127.0.0.1"
_START_SECONDS = 90


def _check_port(port: int) -> None:
    """Reject a port on which another server listens.

    Raises:
        InputError: the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"port {port} cannot be used ({error}): choose another: make ui PORT={port + 1}"
            ) from None


@contextlib.contextmanager
def serve(uri: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's own server, as long as it is wanted.

    Raises:
        InputError: it did not start.
    """
    options = ["--host", HOST, "--port", str(port), "--workers", "1"]
    # its server would look for modules in the working folder first
    folder = shlex.quote(sysconfig.get_path("purelib"))
    quiet = ["--uvicorn-opts", f"--log-level warning --app-dir {folder}"]
    command = [
        sys.executable,
        "-P",
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        uri,
        *options,
        *quiet,
    ]
    server = subprocess.Popen(command, start_new_session=True)  # Ctrl-C reaches it through us
    try:
        wait_for(server, f"http://{HOST}:{port}/health")
        yield server
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def wait_for(server: subprocess.Popen[bytes], address: str) -> None:
    """Wait until the server answers.

    Raises:
        InputError: it ended, or it takes too long.
    """
    for _ in range(_START_SECONDS * 5):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        time.sleep(0.2)
    raise InputError("MLflow's server did not start: see above")


def _say_addresses(experiments: dict[str, str], server: str) -> str:
    """Where each experiment opens.

    Args:
        experiments: ids by name.
        server: address.
    """
    rows = [(name, find_view_address(server, number)) for name, number in experiments.items()]
    return hide_passwords(align(rows))


def main(port: int) -> None:
    """Print the addresses, and serve them until Ctrl-C.

    Raises:
        InputError: there is no store, its server does not start or the port is taken.
    """
    uri = find_uri()
    is_remote = uri.startswith("http")
    if not is_remote:
        _check_port(port)
    with open_store(uri) as store:
        experiments = dict(store.experiments)
    if is_remote:
        print(_say_addresses(experiments, uri))
        return
    print("starting MLflow …", flush=True)
    with serve(uri, port) as server:
        addresses = _say_addresses(experiments, f"http://{HOST}:{port}")
        print(f"\n{addresses}\n\nCtrl-C ends MLflow.", flush=True)
        server.wait()
