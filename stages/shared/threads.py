"""One thread a process: small layers lose time to a second one, and sums change with it."""

import torch
from threadpoolctl import threadpool_limits


def use_one_thread() -> None:
    """Keep torch and the BLAS below NumPy to one thread, for the rest of the process."""
    torch.set_num_threads(1)
    threadpool_limits(1)
