"""One thread, and the CPU kernels that `stages` chose: the same bytes on every processor.

Loads no PyTorch by itself: that takes a second, which not every stage needs.
"""

import platform
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from stages import HAS_SHARED_KERNELS, SHARED_KERNELS
from stages.shared.errors import InputError

_AVX2 = "X86_V3"  # its name in NumPy


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
    if HAS_SHARED_KERNELS:
        # vector units that NumPy uses beyond those of its build
        features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
        if _AVX2 in features:
            _check_kernels(features)
            return
        reason = "this processor has no AVX2"
    else:
        reason = f"{platform.system()} on {platform.machine()} is not Linux on x86-64"
    print(f"WARNING: {reason}: bytes will differ from dvc.lock", file=sys.stderr)


def _check_kernels(features: list[str]) -> None:
    """Compare the kernels that the libraries took with those that were chosen."""
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
                f"NumPy or PyTorch was loaded before `stages` and took kernels for {taken} "
                f"instead of {wanted}: import stages first"
            )


def describe_processor() -> str:
    """Model of the processor, and the vector units that PyTorch uses."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"
