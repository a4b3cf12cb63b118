"""Train one model, in this process or on the Ray cluster of RAY_ADDRESS.

Run by DVC as `python stages/run.py launch forecasting.train MODEL DATA OUT`. Imports neither torch
nor NumPy itself: while it waits for the cluster, it needs little memory.
"""

import os
import sys
from importlib import import_module

from stages.ray_cluster.training import train_on_cluster
from stages.shared.command import run_as_command


def main(module: str, name: str, data: str, out: str) -> None:
    """Train; a cluster gives the bytes that this machine would.

    Args:
        module: below stages/, whose `main(name, data, out)` trains: `forecasting.train`.
        name: of the model.
        data: file or folder that it reads.
        out: folder that it writes.

    Raises:
        InputError: that of the training, or no cluster, or one with other packages.
    """
    if os.environ.get("RAY_ADDRESS"):
        train_on_cluster(module, name, data, out)
    else:
        import_module(f"stages.{module}").main(name, data, out)


if __name__ == "__main__":
    run_as_command(main, *sys.argv[1:])
