"""Train one model, in this process or on the Ray cluster of RAY_ADDRESS.

Run by DVC as `python stages/run.py launch forecasting.train MODEL DATA OUT`. Does not import torch
or NumPy by itself: a process that only waits for the cluster needs little memory.
"""

import os
import sys
from importlib import import_module

from stages.ray_cluster.training import train_on_cluster
from stages.shared.command import run_as_command


def main(module: str, name: str, data: str, out: str) -> None:
    """Train a model here or on a cluster; both give the same bytes.

    Args:
        module: module below stages/ with a `main(name, data, out)`, such as `forecasting.train`.
        name: name of the model.
        data: input file or folder.
        out: output folder.

    Raises:
        InputError: if the training fails, or no cluster with the same packages can be reached.
    """
    if os.environ.get("RAY_ADDRESS"):
        train_on_cluster(module, name, data, out)
    else:
        import_module(f"stages.{module}").main(name, data, out)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
