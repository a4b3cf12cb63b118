"""Run one training on a Ray cluster.

Its input files are sent there and its outs are sent back; dvc.lock and DVC's cache stay on the
machine that runs DVC.
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

_Files = dict[str, bytes]  # path -> content


def train_on_cluster(module: str, name: str, data: str, out: str) -> None:
    """Run `main(name, data, out)` of a module such as `forecasting.train` on a cluster.

    Prints the output of the training, each line after the name of the model. A worker or node that
    dies is replaced, at most three times. The task ends when this process ends.

    Raises:
        InputError: if the training fails, its task has no entry in SECTIONS, or no cluster with
            the same packages can be reached.
    """
    task = module.partition(".")[0]
    section = SECTIONS.get(task)
    if section is None:
        raise InputError(
            f"{task} is not in SECTIONS of stages/shared/params.py: add the section of params.yaml "
            "that has its models, or unset RAY_ADDRESS to train on this machine"
        )
    entry = read_params(f"{section}.{name}", dict[str, Any])
    device = str(entry.get("device", "cpu"))
    inputs = _read_files(PARAMS_FILE, Path(data))
    ray = connect(os.environ["RAY_ADDRESS"])
    # exit without Ray's tracebacks; the cluster cancels a task when its client disconnects
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    [(_, outs)] = run_tasks(ray, name, device, _train, [(inputs, module, name, data, out)])
    if isinstance(outs, str):
        raise InputError(outs)
    _write_files(outs)


def _train(inputs: _Files, module: str, name: str, data: str, out: str) -> _Files | str:
    """Train on the worker; return the files that the training wrote, or its error in one line."""
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
    """Read files, and the files in folders."""
    files = {}
    for path in paths:
        for file in [path, *path.glob("*")]:
            if file.is_file():
                files[str(file)] = file.read_bytes()
    return files


def _write_files(files: _Files) -> None:
    """Write files to the same paths, relative to the working folder."""
    for path, content in files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)
