"""The arithmetic and the one torch thread of every stage, and no telemetry."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("SURNAMES_ZIP", None)  # a tester's own copy must not decide a test

from stages.shared.arithmetic import prepare_arithmetic

prepare_arithmetic()
