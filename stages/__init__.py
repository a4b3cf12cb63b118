"""The pipeline. Importing this package fixes the CPU kernels of NumPy and PyTorch.

By default these libraries choose kernels by the vendor and the vector extensions of the processor,
so that the last bits of results differ. Here the same kernels are forced on every x86-64 processor
with AVX2: the same inputs give the same bytes. It has to be imported before NumPy and PyTorch.
"""

import os
import sys

SHARED_KERNELS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own
    "MKL_CBWR": "COMPATIBLE",  # matrix products; on an AMD processor AVX2 silently becomes AUTO
    "ONEDNN_MAX_CPU_ISA": "AVX",  # LSTMs; as fast as AVX2 here, and can be tested in an emulator
    "OPENBLAS_CORETYPE": "Haswell",  # NumPy's matrix products
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's own
}
HAS_SHARED_KERNELS = sys.platform == "linux" and os.uname().machine == "x86_64"

if HAS_SHARED_KERNELS:
    os.environ.update(SHARED_KERNELS)
