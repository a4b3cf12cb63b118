"""The pipeline. Importing it chooses the CPU kernels, before NumPy and PyTorch load.

By default these libraries choose kernels by the maker and the vector units of the processor, and
the last bits of results differ. The same kernels are forced on every x86-64 processor with AVX2, so
that the same inputs give the same bytes.
"""

import os
import sys

SHARED_KERNELS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own
    "MKL_CBWR": "COMPATIBLE",  # matrix products; AVX2 would silently become AUTO on an AMD
    "ONEDNN_MAX_CPU_ISA": "AVX",  # LSTMs; as fast here, and emulators can prove it
    "OPENBLAS_CORETYPE": "Haswell",  # NumPy's matrix products
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's own
}
HAS_SHARED_KERNELS = sys.platform == "linux" and os.uname().machine == "x86_64"

if HAS_SHARED_KERNELS:
    os.environ.update(SHARED_KERNELS)
