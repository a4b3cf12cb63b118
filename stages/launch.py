"""Train one model, in this process or on the Ray cluster of RAY_ADDRESS.

Run by DVC as `python stages/run.py launch forecasting.train MODEL DATA OUT`. Imports neither torch
nor NumPy: a process that waits for the cluster needs little memory.
"""

import os
import sys
from importlib import import_module

from stages.ray_cluster.training import train_on_cluster
from stages.shared.command import run_as_command


def main(module: str, name: str, data: str, out: str) -> None:
    """Train a model here or on a cluster, with the same bytes.

    Args:
        module: module below stages/ with a `main(name, data, out)`, such as `forecasting.train`.
        name: name of the model.
        data: input file or folder.
        out: output folder.

    Raises:
        InputError: the training fails, or there is no cluster with the same packages.
    """
    if os.environ.get("RAY_ADDRESS"):
        train_on_cluster(module, name, data, out)
    else:
        import_module(f"stages.{module}").main(name, data, out)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
