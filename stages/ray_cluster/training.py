"""One training as a task of a Ray cluster.

The files that it reads are sent there, and its outs come back; DVC, its lock and its cache stay on
the machine that runs DVC.
"""

import os
import signal
from contextlib import chdir
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stages.ray_cluster.tasks import connect, run_tasks
from stages.shared.errors import InputError, explain_error
from stages.shared.params import PARAMS_FILE, SECTIONS, read_params

_Files = dict[str, bytes]  # by path


def train_on_cluster(module: str, name: str, data: str, out: str) -> None:
    """Run `main(name, data, out)` of a module such as `forecasting.train` on a cluster.

    It is that of RAY_ADDRESS. The lines of the training are printed after the name of the model. A
    worker or node that dies is replaced, at most three times; when this process ends, however it
    ends, so does the task.

    Raises:
        InputError: that of the training, or no cluster, or one with other packages.
    """
    section = SECTIONS[module.partition(".")[0]]
    entry = read_params(f"{section}.{name}", dict[str, Any])
    device = str(entry.get("device", "cpu"))
    inputs = _read_files(PARAMS_FILE, Path(data))
    ray = connect(os.environ["RAY_ADDRESS"])
    # end at once and without Ray's traces; the cluster cancels a task when its client disconnects
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    [(_, outs)] = run_tasks(ray, name, device, _train, [(inputs, module, name, data, out)])
    if isinstance(outs, str):
        raise InputError(outs)
    _write_files(outs)


def _train(inputs: _Files, module: str, name: str, data: str, out: str) -> _Files | str:
    """On the worker: the files that a training writes, or its error in one line."""
    with TemporaryDirectory() as folder, chdir(folder):
        _write_files(inputs)
        try:
            import_module(f"stages.{module}").main(name, data, out)
        except Exception as error:
            message = explain_error(error)
            if message is None:
                raise
            return message
        return _read_files(Path(out))


def _read_files(*paths: Path) -> _Files:
    """Content of files, and of those in folders."""
    files = {}
    for path in paths:
        for file in [path, *path.glob("*")]:
            if file.is_file():
                files[str(file)] = file.read_bytes()
    return files


def _write_files(files: _Files) -> None:
    """Write them where they were read, from the working folder on."""
    for path, content in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)
