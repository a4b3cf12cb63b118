"""The arithmetic of a process: one thread, and the kernels that `stages` chose at its import.

Loads no PyTorch by itself: that takes a second, which not every stage needs.
"""

import platform
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from stages import HAS_SHARED_KERNELS, SHARED_KERNELS
from stages.shared.errors import InputError

AVX2 = "X86_V3"  # as NumPy calls what has it


def make_reproducible() -> None:
    """Keep this process to one thread and to the kernels that all processors share.

    One thread, since small layers lose time to a second one, and sums change with it.

    Raises:
        InputError: NumPy or PyTorch were loaded before `stages`, and took other kernels.
    """
    threadpool_limits(1)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    if not HAS_SHARED_KERNELS:
        warn(f"{platform.system()} on {platform.machine()} is not Linux on x86-64")
    elif AVX2 not in list_features():
        warn("this processor has no AVX2")
    else:
        check_kernels()


def check_kernels() -> None:
    """Hold what the libraries took against what was chosen.

    Raises:
        InputError: they took something else.
    """
    found = {}
    refused = SHARED_KERNELS["NPY_DISABLE_CPU_FEATURES"].split()
    for feature in list_features():
        if feature in refused:
            found[feature] = AVX2
    if "torch" in sys.modules:
        found[find_capability().lower()] = SHARED_KERNELS["ATEN_CPU_CAPABILITY"]
    for library in threadpool_info():
        if library["internal_api"] == "openblas":
            found[library["architecture"]] = SHARED_KERNELS["OPENBLAS_CORETYPE"]
    for taken, chosen in found.items():
        if taken != chosen:
            raise InputError(
                f"NumPy or PyTorch was loaded before `stages` and took kernels for {taken} "
                f"instead of {chosen}: import stages first"
            )


def list_features() -> list[str]:
    """Vector units that NumPy uses beyond those of its build."""
    features: list[str] = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return features


def find_capability() -> str:
    """Vector units that PyTorch uses."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


def warn(reason: str) -> None:
    """Say that the bytes will be others."""
    print(f"WARNING: {reason}: bytes will differ from dvc.lock", file=sys.stderr)


def describe_processor() -> str:
    """Model of the processor and the vector units in use."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {find_capability()}"
