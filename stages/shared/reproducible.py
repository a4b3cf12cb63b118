"""Limit a process to one thread and to fixed CPU kernels: the same bytes on every processor.

Does not import PyTorch, which takes a second and which not every stage needs.
"""

import platform
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from stages import HAS_SHARED_KERNELS, SHARED_KERNELS
from stages.shared.errors import InputError

_AVX2 = "X86_V3"  # NumPy's name for it


def make_reproducible() -> None:
    """Limit this process to one thread, and check that it uses the kernels of `SHARED_KERNELS`.

    A second thread slows small layers down and changes the order of sums.

    Raises:
        InputError: if NumPy or PyTorch were imported before `stages` and use other kernels.
    """
    threadpool_limits(1)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    if HAS_SHARED_KERNELS:
        # vector extensions that NumPy uses beyond its baseline
        features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
        if _AVX2 in features:
            _check_kernels(features)
            return
        reason = "this processor has no AVX2"
    else:
        reason = f"{platform.system()} on {platform.machine()} is not Linux on x86-64"
    print(f"WARNING: {reason}: bytes will differ from dvc.lock", file=sys.stderr)


def _check_kernels(features: list[str]) -> None:
    """Compare the kernels that the libraries use with `SHARED_KERNELS`."""
    disabled = SHARED_KERNELS["NPY_DISABLE_CPU_FEATURES"].split()
    chosen = {feature: _AVX2 for feature in features if feature in disabled}
    if "torch" in sys.modules:
        import torch

        taken = torch.backends.cpu.get_cpu_capability().lower()
        chosen[taken] = SHARED_KERNELS["ATEN_CPU_CAPABILITY"]
    for library in threadpool_info():
        if library["internal_api"] == "openblas":
            chosen[library["architecture"]] = SHARED_KERNELS["OPENBLAS_CORETYPE"]
    for taken, wanted in chosen.items():
        if taken != wanted:
            raise InputError(
                f"NumPy or PyTorch was imported before `stages` and uses kernels for {taken} "
                f"instead of {wanted}: import stages first"
            )


def describe_processor() -> str:
    """Return the model of the processor, and the vector extensions that PyTorch uses."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"
