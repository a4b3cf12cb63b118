"""Start the MLflow UI: `srn ui [--port N]`, which `make ui` calls.

Syncs MLflow with dvc.lock first, then starts MLflow's server on the store and prints the address of
each experiment. If MLFLOW_TRACKING_URI names a server, its addresses are printed instead.
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

from stages.shared.command import show
from stages.shared.errors import InputError, hide_secrets
from stages.tracking import track
from stages.tracking.mlflow_sync.mlflow_internals import find_view_address
from stages.tracking.mlflow_sync.store import find_uri, open_store

HOST = "127.0.0.1"
# Browsers resolve this name to 127.0.0.1 (RFC 6761). On the host 127.0.0.1 itself MLflow opens its
# chat assistant, which takes a third of the window.
_PAGE_HOST = "srn.localhost"
_START_SECONDS = 90


@contextlib.contextmanager
def serve(uri: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run MLflow's server until the block ends.

    Raises:
        InputError: if it did not start.
    """
    options = ["--host", HOST, "--port", str(port), "--workers", "1"]
    hosts = ",".join(f"{name}:{port}" for name in (_PAGE_HOST, HOST, "localhost"))
    options += ["--allowed-hosts", hosts]
    options += ["--cors-allowed-origins", f"http://{_PAGE_HOST}:{port}"]
    # uvicorn would put the working folder first in the search path for modules
    folder = shlex.quote(sysconfig.get_path("purelib"))
    quiet = ["--uvicorn-opts", f"--log-level warning --app-dir {folder}"]
    mlflow = [sys.executable, "-P", "-m", "mlflow", "ui", "--backend-store-uri", uri]
    # in a session of its own, so that Ctrl-C reaches it only through this process
    server = subprocess.Popen([*mlflow, *options, *quiet], start_new_session=True)
    try:
        wait_for(server, f"http://{HOST}:{port}/health")
        yield server
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def wait_for(server: subprocess.Popen[bytes], address: str) -> None:
    """Wait until the server answers.

    Raises:
        InputError: if it ended, or does not answer in time.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy for loopback
    for _ in range(_START_SECONDS * 5):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError):
            direct.open(address, timeout=5).close()
            return
        time.sleep(0.2)
    raise InputError("MLflow's server did not start: see above")


def _sync() -> None:
    """Sync MLflow with dvc.lock; print only the number of runs whose files are missing."""
    try:
        track.main()
    except InputError as error:
        first, *differences = str(error).splitlines()
        if not differences:  # the store cannot be used
            raise
        show(f"{first}, which `srn check` lists")


def main(port: int) -> None:
    """Start the UI, print the addresses, and wait for Ctrl-C.

    Raises:
        InputError: if the store cannot be read, or the server does not start, or the port is used.
    """
    uri = find_uri()
    is_remote = uri.startswith("http")
    if not is_remote:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise InputError(
                    f"port {port} cannot be used ({error}): choose another: make ui PORT={port + 1}"
                ) from None
    _sync()
    address = hide_secrets(uri).replace("***@", "") if is_remote else f"http://{_PAGE_HOST}:{port}"
    with open_store(uri) as store:
        # each address on a line of its own, which fits into a terminal of 100 columns
        lines = []
        for name, experiment in store.experiments.items():
            lines += [name, find_view_address(address, experiment)]
    addresses = "\n".join(lines)
    if is_remote:
        print(addresses)
        return
    print("starting MLflow …", flush=True)
    with serve(uri, port) as server:
        print(f"\n{addresses}\n", flush=True)
        print(f"If {_PAGE_HOST} is not found, use {HOST}. Ctrl-C ends MLflow.", flush=True)
        server.wait()
