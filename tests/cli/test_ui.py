"""`make ui` leads to the prepared pages, and to nobody else's server."""

import json
import re
import signal
import socket
import sys
import urllib.request

import pytest

from tests.shell import call, find_free_port, start
from tests.store import fill

UI = [sys.executable, "stages/run.py", "cli", "ui"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_fills_mlflow_and_prints_where_each_experiment_opens(workspace, number):
    (workspace / "data/trained/carried_rnn/weights.pt").unlink()  # as Ctrl-C leaves a training
    port = find_free_port()
    # that of a company, which knows nothing of this machine
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    ui = start(workspace, [*UI, "--port", str(port)], **proxy)
    said = []
    while not said or "Ctrl-C" not in said[-1]:
        said.append(ui.stdout.readline())
        assert said[-1], ui.communicate()

    found = dict(re.findall(r"^(\w+)\nhttp\S+/#/experiments/(\d+)/", "".join(said), re.MULTILINE))
    server = f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow"
    for name, experiment in found.items():
        address = f"{server}/experiments/get?experiment_id={experiment}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert json.load(answer)["experiment"]["name"] == name
    ui.send_signal(number)
    ui.communicate(timeout=30)

    assert found.keys() == {"forecasting", "surnames", "layers"}
    assert max(len(line.rstrip()) for line in said if "http" in line) <= 100
    assert "is behind dvc.lock: 1 difference, which `srn check` lists" in "".join(said)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0  # the server has ended too


@pytest.mark.slow
def test_a_used_port_is_a_one_line_error(workspace):
    fill(workspace)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        stopped = call(workspace, *UI, "--port", str(port))

    assert stopped.returncode == 1
    [line] = stopped.stdout.splitlines()
    assert f"port {port} cannot be used" in line and "PORT=" in line
