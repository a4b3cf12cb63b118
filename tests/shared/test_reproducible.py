"""A process that took other kernels than those that all processors share does not train."""

import subprocess
import sys
from pathlib import Path

import pytest

from stages import HAS_SHARED_KERNELS
from stages.shared.reproducible import describe_processor

PREPARE = "import stages, torch; from stages.shared.reproducible import make_reproducible; "
PREPARE += "make_reproducible()"


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.skipif(not HAS_SHARED_KERNELS, reason="other systems have no shared kernels")
def test_importing_stages_first_is_enough():
    done = run(PREPARE)

    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not HAS_SHARED_KERNELS, reason="other systems have no shared kernels")
@pytest.mark.parametrize(
    ("variable", "taken"),
    [
        ("ATEN_CPU_CAPABILITY", "avx512"),
        ("OPENBLAS_CORETYPE", "SkylakeX"),
        ("NPY_DISABLE_CPU_FEATURES", "X86_V4"),
    ],
)
def test_a_library_with_other_kernels_is_reported(variable, taken):
    if "avx512" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip("this processor has no other kernels to take")
    code = f"import os, stages; os.environ.pop({variable!r}); {PREPARE}"

    done = run(code)

    assert done.returncode == 1
    assert f"took kernels for {taken} instead of" in done.stderr


def test_the_processor_is_described_with_its_units():
    model, units = describe_processor().rsplit(", ", 1)

    assert model and units.isupper()
